//! The kernel's functions that the function tracer can patch: `available_filter_functions` in tracefs.

use std::io::{self, BufRead, BufReader};

use super::tracefs::Tracefs;

/// Calls `each` with the name of each function, and its module's name if it belongs to one. Functions of one name, in
/// several files of the kernel, are passed several times.
pub(super) fn functions(mut each: impl FnMut(&str, Option<&str>)) -> io::Result<()> {
    let why = "reads which functions of the kernel the function tracer can patch";
    let file = Tracefs::open()?.file("available_filter_functions", why)?;
    for line in BufReader::new(file).lines() {
        let line = line?;
        // A module's name follows the names of its functions: `nft_do_chain [nf_tables]`.
        let mut words = line.split_whitespace();
        let name = words.next().unwrap_or_default();
        let module = words.next().and_then(|module| module.strip_prefix('[')?.strip_suffix(']'));
        if !name.starts_with("__ftrace_invalid_address__") {
            each(name, module);
        }
    }
    Ok(())
}
