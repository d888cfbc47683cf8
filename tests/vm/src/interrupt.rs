//! Ctrl-C: one flag, looked at wherever this program waits, so that guests are ended and what is known is still told.

use std::sync::atomic::{AtomicBool, Ordering};

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Takes over SIGINT, SIGTERM and SIGHUP. A second one ends the process as the first would have.
pub(crate) fn watch() {
    // It fails only if the signals have a handler already; then that one counts.
    let _ = ctrlc::set_handler(|| {
        // ATOMICS: a lone flag that orders nothing else; pairs with the relaxed load in `seen`.
        if INTERRUPTED.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
    });
}

/// Whether a signal came.
pub(crate) fn seen() -> bool {
    // ATOMICS: see `watch`; a waiter looks again within a fraction of a second.
    INTERRUPTED.load(Ordering::Relaxed)
}
