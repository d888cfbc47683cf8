//! The two probes on `getaddrinfo`.

use cutaway::{Links, Loaded, Uprobe};
use cutaway_programs::getaddrinfo::names as object;

use crate::error::CliError;

/// Attaches both programs. The return probe is attached last and detached first, so that each call that it sees has
/// passed the entry probe.
pub(crate) fn attach_both(loaded: &Loaded, probe: impl Fn(bool) -> Uprobe) -> Result<Links, CliError> {
    let mut links = Links::default();
    links.push(probe(false).attach(loaded.program(object::ENTRY)?)?);
    links.push(probe(true).attach(loaded.program(object::RETURN)?)?);
    Ok(links)
}
