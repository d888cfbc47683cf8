//! Ctrl-C: one flag that every waiting loop of this program checks, so that guests are ended and the results so far are
//! reported.

use std::sync::atomic::{AtomicBool, Ordering};

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Handles SIGINT, SIGTERM and SIGHUP. A second one ends the process, as the first would have without the handler.
pub(crate) fn watch() {
    // Fails only if the signals already have a handler, which then stays.
    let _ = ctrlc::set_handler(|| {
        // ATOMICS: a lone flag that orders nothing else; pairs with the relaxed load in `seen`.
        if INTERRUPTED.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
    });
}

/// Returns true if a signal has arrived.
pub(crate) fn seen() -> bool {
    // ATOMICS: see `watch`; a waiter checks again within a fraction of a second.
    INTERRUPTED.load(Ordering::Relaxed)
}
