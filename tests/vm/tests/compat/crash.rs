//! A real crash of a guest by an object: the kernel panics when a program of a certain name has just been loaded.
//!
//! The loader reports each system call to the crate `log`, before it goes on. A logger here waits for the report of the
//! program's load and writes to `/proc/sysrq-trigger`.

use std::fs;

use log::{LevelFilter, Log, Metadata, Record};

/// The name of the program.
pub(crate) const PROGRAM: &str = "enter";

struct Crash;

impl Log for Crash {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let name = record.key_values().get("prog_name".into()).map(|name| name.to_string());
        if name.is_some_and(|name| name.trim_matches('"') == PROGRAM) {
            let _ = fs::write("/proc/sysrq-trigger", "c");
        }
    }

    fn flush(&self) {}
}

/// Lets this process crash its kernel, if it runs in a guest.
pub(crate) fn prepare() {
    if std::env::var_os("CUTAWAY_VM").is_some() && log::set_logger(&Crash).is_ok() {
        log::set_max_level(LevelFilter::Trace);
    }
}
