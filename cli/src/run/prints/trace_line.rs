//! Lines of the kernel's trace (`trace_pipe`).
//!
//! ```text
//!             sender-4138    [001] ...21    12.345678: bpf_trace_printk: call 1 of 3
//!     CPU:1 [LOST 12 EVENTS]
//! ```

/// A text, and the process that ran the program.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TraceLine {
    pub(super) text: String,
    /// `None` for a line that continues the text before it.
    pub(super) process: Option<TracedProcess>,
}

/// The process that ran a program.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TracedProcess {
    pub(super) comm: String,
    /// The id of the thread.
    pub(super) tid: u32,
    pub(super) cpu: u32,
    /// Nanoseconds of the trace's clock, to the microsecond; `None` if it is not `CLOCK_MONOTONIC`.
    pub(super) time_ns: Option<u64>,
}

impl TraceLine {
    /// Parses a line. `monotonic` says that the trace's clock is `CLOCK_MONOTONIC`.
    pub(super) fn parse(line: &str, monotonic: bool) -> Self {
        Self::with_process(line, monotonic).unwrap_or_else(|| Self { text: line.to_owned(), process: None })
    }

    fn with_process(line: &str, monotonic: bool) -> Option<Self> {
        // A name can contain any character, also ` [0] `: the first such text that follows `-TID` counts.
        let (comm, tid, cpu, rest) = line.match_indices(" [").find_map(|(at, _)| {
            let (head, rest) = line.split_at_checked(at)?;
            let (cpu, rest) = rest.strip_prefix(" [")?.split_once("] ")?;
            let (comm, tid) = head.trim().rsplit_once('-')?;
            Some((comm, tid.trim().parse().ok()?, cpu.parse().ok()?, rest))
        })?;
        let (flags_and_time, rest) = rest.split_once(": ")?;
        let time = flags_and_time.split_whitespace().next_back()?;
        // The name of the event, or before Linux 5.9 the address of the caller.
        let (_, text) = rest.split_once(": ").unwrap_or((rest, ""));
        let time_ns = nanoseconds(time).filter(|_| monotonic);
        let process = TracedProcess { comm: comm.to_owned(), tid, cpu, time_ns };
        Some(Self { text: text.to_owned(), process: Some(process) })
    }
}

/// Returns the CPU and the number of texts of a line that reports losses; the number is `None` if the line does not
/// have it.
pub(super) fn lost(line: &str) -> Option<(u32, Option<u64>)> {
    let (cpu, rest) = line.trim().strip_prefix("CPU:")?.split_once(" [LOST ")?;
    let cpu: u32 = cpu.trim().parse().ok()?;
    // The beginning alone can be the name of a thread.
    if rest == "EVENTS]" {
        return Some((cpu, None));
    }
    let count: u64 = rest.strip_suffix(" EVENTS]")?.parse().ok()?;
    Some((cpu, Some(count)))
}

/// Parses seconds with a fraction.
fn nanoseconds(time: &str) -> Option<u64> {
    let (seconds, fraction) = time.split_once('.')?;
    let fraction: u64 = format!("{fraction:0<9}").get(..9)?.parse().ok()?;
    seconds.parse::<u64>().ok()?.checked_mul(1_000_000_000)?.checked_add(fraction)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn text_and_process_are_parsed() {
        let line = "    a [0] b-c-4138    [001] ...21    12.345678: bpf_trace_printk: call 1 of 3: [x] done";
        let TraceLine { text, process } = TraceLine::parse(line, true);
        let expected = TracedProcess { comm: "a [0] b-c".to_owned(), tid: 4138, cpu: 1, time_ns: Some(12_345_678_000) };
        assert_eq!((text.as_str(), process), ("call 1 of 3: [x] done", Some(expected)));
        let old = TraceLine::parse("  <...>-7     [000] d... 12.345678: 0x00000001: x", false);
        let expected = TracedProcess { comm: "<...>".to_owned(), tid: 7, cpu: 0, time_ns: None };
        assert_eq!((old.text.as_str(), old.process), ("x", Some(expected)));
        for continued in ["second line", "", "a-b [x] c", "a-1 [001]", "-[", " [", "a-1 [001] x"] {
            let expected = TraceLine { text: continued.to_owned(), process: None };
            assert_eq!(TraceLine::parse(continued, true), expected);
        }
    }

    #[test]
    fn losses_are_recognized() {
        assert_eq!(lost("CPU:1 [LOST 12 EVENTS]"), Some((1, Some(12))));
        assert_eq!(lost("CPU:1 [LOST EVENTS]"), Some((1, None)));
        assert_eq!(lost("  a-1 [001] .... 1.0: bpf_trace_printk: CPU:1 [LOST 12 EVENTS]"), None);
        assert_eq!(lost("  CPU:1 [LOST 12 -4138    [001] ...21    12.345678: bpf_trace_printk: text"), None);
        assert_eq!(lost("  CPU:1 [LOST 12 -4138    [001] ...21    12.345678: bpf_trace_printk: 1 EVENTS]"), None);
    }

    proptest! {
        #[test]
        fn any_line_is_parsed(line in "[-a \\[\\]:.0-9ß]{0,40}|CPU:[0-9]{0,12} \\[LOST[ A-Z0-9\\]]{0,12}") {
            let parsed = TraceLine::parse(&line, true);
            prop_assert!(line.contains(&parsed.text));
            lost(&line);
        }
    }
}
