//! The three transports, for tests that run once for each: `test!(name, transports(), transports::missing)`.

use cutaway_programs::getaddrinfo::Transport;

use crate::requirements;

/// Returns each transport with its label in a test's name.
pub(crate) fn transports() -> impl Iterator<Item = (String, Transport)> {
    Transport::ALL.into_iter().map(|transport| (transport.to_string().replace('-', "_"), transport))
}

/// Returns the reason why a transport cannot be used here.
pub(crate) fn missing(transport: Transport) -> Option<String> {
    match transport {
        Transport::Ring => requirements::ring(),
        Transport::PerfStack | Transport::PerfHeap => requirements::root(),
    }
}
