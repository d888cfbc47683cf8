//! Reads the guest's console after its end, to find the reason in the kernel's last messages.
//!
//! The outcome of a test never comes from here. A result channel that ended without `done` shows that the guest died;
//! the console only gives the cause. A test can print to the console without end, so it is read line by line, and of a
//! large one the middle is cut out.

mod cut;

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader, Read as _};
use std::path::Path;

pub(crate) use cut::Cut;

/// A crash of the kernel, in the kernel's own words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Crash {
    /// The reason, in one line.
    pub reason: String,
    /// The console from the first alarm on.
    pub trace: String,
}

/// Words that begin a kernel's report of its own failure.
const ALARMS: &[&str] = &[
    "Kernel panic - not syncing",
    "BUG: ",
    "Oops: ",
    "Oops - ",
    "general protection fault",
    "Unable to handle kernel",
    "detected stalls on CPUs",
    "self-detected stall on CPU",
    "blocked for more than",
    "Out of memory and no killable processes",
    "NMI received for unknown reason",
];

/// The largest number of lines of a trace; more lines only repeat.
const MAX_LINES: usize = 150;
/// The largest number of warnings that are reported.
const MAX_WARNINGS: usize = 100;
/// The largest number of last lines that are kept.
const MAX_TAIL: usize = 20;
/// The longest line in bytes. A longer one is read as several.
const LINE_LIMIT: u64 = 16 << 10;

/// The content of a console that matters for the report.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Log {
    panic: Option<String>,
    /// The lines from the first alarm on.
    trace: Vec<String>,
    beyond_trace: usize,
    warnings: Vec<String>,
    beyond_warnings: usize,
    tail: VecDeque<String>,
}

impl Log {
    /// Reads a console's file. One that cannot be read counts as empty: QEMU may have ended before it created it.
    #[must_use]
    pub fn read(path: &Path) -> Self {
        File::open(path).map(|file| Self::of(BufReader::new(file))).unwrap_or_default()
    }

    /// Reads a console's text.
    #[must_use]
    pub fn of(mut console: impl BufRead) -> Self {
        let mut log = Self::default();
        let mut line = Vec::new();
        loop {
            line.clear();
            match console.by_ref().take(LINE_LIMIT).read_until(b'\n', &mut line) {
                Ok(1..) => log.take(String::from_utf8_lossy(&line).trim_end_matches(['\n', '\r'])),
                Ok(0) | Err(_) => return log,
            }
        }
    }

    fn take(&mut self, line: &str) {
        if !self.trace.is_empty() || ALARMS.iter().any(|alarm| line.contains(alarm)) {
            if self.trace.len() < MAX_LINES {
                self.trace.push(line.to_owned());
            } else {
                self.beyond_trace += 1;
            }
            if self.panic.is_none() && line.contains("Kernel panic - not syncing") {
                self.panic = Some(message(line).to_owned());
            }
        }
        if line.contains("WARNING: ") && line.contains(" at ") {
            if self.warnings.len() < MAX_WARNINGS {
                self.warnings.push(message(line).to_owned());
            } else {
                self.beyond_warnings += 1;
            }
        }
        if self.tail.len() == MAX_TAIL {
            self.tail.pop_front();
        }
        self.tail.push_back(line.to_owned());
    }

    /// Returns the kernel's crash, if there was one.
    #[must_use]
    pub fn crash(&self) -> Option<Crash> {
        let cause = message(self.trace.first()?);
        // The panic line is the reason; the first alarm is added as the cause, if it is another line.
        let reason = match &self.panic {
            Some(panic) if panic == cause => panic.clone(),
            Some(panic) => format!("{panic} ({cause})"),
            None => cause.to_owned(),
        };
        let mut trace = self.trace.join("\n");
        if self.beyond_trace > 0 {
            trace.push_str(&format!("\n[{} more lines on the console]", self.beyond_trace));
        }
        Some(Crash { reason, trace })
    }

    /// Returns the kernel's warnings (`WARN_ON`), which do not end a guest but must be reported.
    pub fn warnings(&self) -> impl Iterator<Item = String> + '_ {
        let more = (self.beyond_warnings > 0).then(|| format!("{} more times", self.beyond_warnings));
        self.warnings.iter().cloned().chain(more)
    }

    /// Returns the last 20 lines, for a guest that gave no other reason.
    #[must_use]
    pub fn tail(&self) -> String {
        self.tail.iter().map(String::as_str).collect::<Vec<_>>().join("\n")
    }
}

/// Returns a line without its timestamp.
fn message(line: &str) -> &str {
    match line.trim_start().strip_prefix('[').and_then(|rest| rest.split_once("] ")) {
        Some((_stamp, message)) => message.trim(),
        None => line.trim(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(text: &str) -> Log {
        Log::of(text.as_bytes())
    }

    #[test]
    fn panic_is_reported_with_its_cause() {
        let console = "[    0.0] Linux version 6.1\n[    3.1] BUG: kernel NULL pointer dereference, address: 0\r\n\
            [    3.2] RIP: 0010:f+0x1/0x2\n[    3.3] Kernel panic - not syncing: Fatal exception\n[    3.4] Kernel Offset: 0\n";
        let crash = log(console).crash().unwrap();
        assert_eq!(
            crash.reason,
            "Kernel panic - not syncing: Fatal exception (BUG: kernel NULL pointer dereference, address: 0)"
        );
        assert!(crash.trace.starts_with("[    3.1] BUG") && crash.trace.ends_with("Kernel Offset: 0"));
    }

    #[test]
    fn console_without_alarm_has_no_crash() {
        assert_eq!(log("[    0.0] Linux version 6.1\n[    1.0] debug: fine\n").crash(), None);
        assert_eq!(
            log("[    1.0] WARNING: CPU: 0 PID: 1 at kernel/x.c:3 f+0x1\n").warnings().collect::<Vec<_>>(),
            ["WARNING: CPU: 0 PID: 1 at kernel/x.c:3 f+0x1"]
        );
        let numbers: String = (0..30).map(|number| format!("{number}\n")).collect();
        assert!(log(&numbers).tail().starts_with("10\n") && log(&numbers).tail().ends_with("\n29"));
    }

    #[test]
    fn endless_repetition_stays_small() {
        let text = "BUG: WARNING: x at y\n".repeat(1000) + &"z".repeat(1 << 20);
        let log = log(&text);
        assert_eq!(log.warnings().last().unwrap(), "900 more times");
        assert!(log.crash().unwrap().trace.ends_with(" more lines on the console]"));
        assert!(log.tail().len() as u64 <= 20 * (LINE_LIMIT + 1));
    }
}
