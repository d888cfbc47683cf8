//! Loads the kernel modules that the run asks for.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;

use rustix::system::finit_module;

use crate::modules::{Listed, load_list};

/// The largest number of kernel messages in the report of a refused module.
const MESSAGES: usize = 3;

/// Loads the modules in the order of the list. The error is the sentence for the report.
pub(super) fn load() -> Result<(), String> {
    let list = load_list().map_err(|error| format!("the list of kernel modules cannot be read: {error}"))?;
    for module in list {
        if let Err(error) = one(&module) {
            let mut why = format!("the kernel module {} was not loaded: {error}", module.name);
            for line in last_messages().unwrap_or_default() {
                why.push_str(&format!("\nthe kernel printed: {line}"));
            }
            return Err(why);
        }
    }
    Ok(())
}

fn one(module: &Listed) -> io::Result<()> {
    let file = File::open(&module.path)?;
    let parameters = std::ffi::CString::new(module.parameters.as_str())?;
    match finit_module(&file, &parameters, 0) {
        // A module may have loaded another one by itself.
        Ok(()) | Err(rustix::io::Errno::EXIST) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Returns the last messages of the kernel's log.
fn last_messages() -> io::Result<Vec<String>> {
    let mut log = File::options().read(true).custom_flags(libc::O_NONBLOCK).open("/dev/kmsg")?;
    let mut lines = Vec::new();
    let mut record = [0; 8 << 10];
    // Each read returns one record: `PRIORITY,NUMBER,TIME,FLAGS;TEXT`. EAGAIN follows the last one.
    while let Ok(length @ 1..) = log.read(&mut record) {
        let text = String::from_utf8_lossy(record.get(..length).unwrap_or_default()).into_owned();
        lines.extend(text.lines().next().and_then(|line| line.split_once(';')).map(|(_, text)| text.to_owned()));
    }
    let excess = lines.len().saturating_sub(MESSAGES);
    Ok(lines.split_off(excess))
}
