//! Reads the guest's console after its end, to find the reason in the kernel's last messages.
//!
//! The outcome of a test never comes from here. A result channel that ended without `done` shows that the guest died;
//! the console only gives the cause.

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

/// Finds a crash in a console's text.
#[must_use]
pub fn crash(console: &str) -> Option<Crash> {
    let alarming = |line: &&str| ALARMS.iter().any(|alarm| line.contains(alarm));
    let first = console.lines().position(|line| alarming(&line))?;
    let lines: Vec<&str> = console.lines().skip(first).collect();
    // The panic line is the reason; the first alarm is added as the cause, if it is another line.
    let panic = lines.iter().find(|line| line.contains("Kernel panic - not syncing")).copied();
    let cause = lines.first().copied().unwrap_or_default();
    let reason = match panic {
        Some(panic) if panic == cause => message(panic).to_owned(),
        Some(panic) => format!("{} ({})", message(panic), message(cause)),
        None => message(cause).to_owned(),
    };
    let cut = lines.len().saturating_sub(MAX_LINES);
    let mut trace = lines.iter().take(MAX_LINES).copied().collect::<Vec<_>>().join("\n");
    if cut > 0 {
        trace.push_str(&format!("\n[{cut} more lines on the console]"));
    }
    Some(Crash { reason, trace })
}

/// Returns the kernel's warnings (`WARN_ON`), which do not end a guest but must be reported.
pub fn warnings(console: &str) -> impl Iterator<Item = &str> {
    console.lines().filter(|line| line.contains("WARNING: ") && line.contains(" at ")).map(message)
}

/// Returns the last lines, for a guest that gave no other reason.
#[must_use]
pub fn tail(console: &str, lines: usize) -> String {
    let all: Vec<&str> = console.lines().collect();
    all.iter().skip(all.len().saturating_sub(lines)).copied().collect::<Vec<_>>().join("\n")
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

    #[test]
    fn panic_is_reported_with_its_cause() {
        let console = "[    0.0] Linux version 6.1\n[    3.1] BUG: kernel NULL pointer dereference, address: 0\n\
            [    3.2] RIP: 0010:f+0x1/0x2\n[    3.3] Kernel panic - not syncing: Fatal exception\n[    3.4] Kernel Offset: 0\n";
        let crash = crash(console).unwrap();
        assert_eq!(
            crash.reason,
            "Kernel panic - not syncing: Fatal exception (BUG: kernel NULL pointer dereference, address: 0)"
        );
        assert!(crash.trace.starts_with("[    3.1] BUG") && crash.trace.ends_with("Kernel Offset: 0"));
    }

    #[test]
    fn console_without_alarm_has_no_crash() {
        assert_eq!(crash("[    0.0] Linux version 6.1\n[    1.0] debug: fine\n"), None);
        assert_eq!(
            warnings("[    1.0] WARNING: CPU: 0 PID: 1 at kernel/x.c:3 f+0x1\n").collect::<Vec<_>>(),
            ["WARNING: CPU: 0 PID: 1 at kernel/x.c:3 f+0x1"]
        );
        assert_eq!(tail("a\nb\nc\n", 2), "b\nc");
    }
}
