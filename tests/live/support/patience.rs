//! Waits, with a limit, for an event that must happen.

use std::{
    thread,
    time::{Duration, Instant},
};

/// The time limit; emulated machines are slow.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Calls `poll` until it returns something. Panics after [`PATIENCE`].
pub(crate) fn wait_until<T>(what: &str, mut poll: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = poll() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited {PATIENCE:?}, and it is not so that {what}");
        thread::sleep(Duration::from_millis(2));
    }
}
