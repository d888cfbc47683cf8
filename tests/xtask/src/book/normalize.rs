//! Compares outputs without the values that differ from run to run.
//!
//! It ignores times of day, durations, addresses, the kernel's release, ids of processes, CPUs, maps, programs and
//! events, fds, the path of the C library and offsets in it, the width of columns, and line breaks. Everything else has
//! to be equal. A line `…` stands for any lines.

/// The line that stands for elided lines.
const ELLIPSIS: &str = "…";

/// Returns whether an output is elided.
pub(super) fn is_elided(text: &str) -> bool {
    text.lines().any(|line| line == ELLIPSIS)
}

/// Returns whether two outputs are equal; the first may be elided.
pub(super) fn outputs(shown: &str, printed: &str) -> bool {
    let printed = steady(printed);
    let mut rest = printed.as_slice();
    let mut parts = vec![String::new()];
    for line in shown.lines() {
        match parts.last_mut() {
            Some(part) if line != ELLIPSIS => part.extend([line, "\n"]),
            _ => parts.push(String::new()),
        }
    }
    let open = parts.last().is_some_and(String::is_empty) && parts.len() > 1;
    for (index, part) in parts.iter().enumerate() {
        let part = steady(part);
        let found = match index {
            0 => rest.starts_with(&part).then_some(0),
            _ => (0..=rest.len()).find(|&at| rest.get(at..).is_some_and(|rest| rest.starts_with(&part))),
        };
        let Some(behind) = found.and_then(|at| rest.get(at + part.len()..)) else { return false };
        rest = behind;
    }
    rest.is_empty() || open
}

/// Returns whether two outputs have the same lines, in any order.
pub(super) fn shuffled_outputs(shown: &str, printed: &str) -> bool {
    let lines = |text: &str| {
        let mut lines: Vec<_> = text.lines().map(steady).collect();
        lines.sort_unstable();
        lines
    };
    lines(shown) == lines(printed)
}

/// Returns whether two pictures are equal. Numbers in them differ as in outputs.
pub(super) fn pictures(one: &str, other: &str) -> bool {
    outputs(one, other)
}

/// Returns the words of a text, normalized.
fn steady(text: &str) -> Vec<String> {
    let is_unit = |word: &str| ["ns", "µs", "ms", "s"].contains(&word.trim_end_matches([',', ')', ':', ';']));
    let words: Vec<&str> = text.split_whitespace().collect();
    let word = |index: usize| words.get(index).copied().unwrap_or_default();
    let mut made = Vec::new();
    for (index, &this) in words.iter().enumerate() {
        let before = index.checked_sub(1).map_or("", word);
        made.push(if is_time(this) {
            "TIME".to_owned()
        } else if is_number(this) && is_unit(word(index + 1)) {
            "N".to_owned()
        } else if is_number(before) && is_unit(this) {
            // A duration may have another unit in another run.
            this.replace("ns", "s").replace("µs", "s").replace("ms", "s")
        } else if before == "Linux" {
            "RELEASE".to_owned()
        } else if (is_time(before) && is_number(this))
            || takes_fd(before)
            || (is_named(before) && this.trim_start_matches('(').starts_with(digit))
            || (before == "=" && word(index + 1) == "#" && this != "0" && is_number(this))
        {
            masked(this)
        } else {
            pieces(this)
        });
    }
    made
}

fn digit(character: char) -> bool {
    character.is_ascii_digit()
}

/// Returns whether a word is a time of day: `12:34:56`, or `12:34:56.789`.
fn is_time(word: &str) -> bool {
    word.len() >= 8 && word.matches(':').count() == 2 && word.chars().all(|c| digit(c) || c == ':' || c == '.')
}

fn is_number(word: &str) -> bool {
    word.starts_with(digit) && word.chars().all(|c| digit(c) || c == '.' || c == ',')
}

/// Returns whether a word is an operation of `ioctl` whose argument is an fd.
fn takes_fd(operation: &str) -> bool {
    ["op=PERF_EVENT_IOC_SET_OUTPUT,", "op=PERF_EVENT_IOC_SET_BPF,"].contains(&operation)
}

/// Returns whether a number after this word differs from run to run.
fn is_named(word: &str) -> bool {
    // A line may begin with the brackets of a picture.
    let word = word.rsplit(['>', '(', '"', '`']).next().unwrap_or_default();
    ["ring", "map", "fd", "pid", "process", "CPU", "CPUs", "online", "possible", "id"].contains(&word)
}

/// Replaces each number in a word by `N`.
fn masked(word: &str) -> String {
    let mut made = String::new();
    for character in word.chars() {
        match character {
            digit if digit.is_ascii_digit() && made.ends_with('N') => {}
            digit if digit.is_ascii_digit() => made.push('N'),
            other => made.push(other),
        }
    }
    made
}

/// Masks the values of `…fd`, `pid` and so on, addresses, and numbers in brackets.
fn pieces(word: &str) -> String {
    /// Keys whose values differ between runs or machines, in `key=value` and in `"key":value`.
    const KEYS: [&str; 12] = [
        "pid",
        "tid",
        "id",
        "cpu",
        "uid",
        "time",
        "time_ns",
        "latency_ns",
        "config",
        "type",
        "probe_offset",
        "uprobe_path",
    ];
    let own = |key: &str| key.ends_with("fd") || KEYS.contains(&key);
    let bare = word.trim_start_matches(['(', '[']).trim_end_matches([',', ')', ';', ':', ']']);
    let address = |text: &str| {
        text.strip_prefix("0x").is_some_and(|hex| hex.len() >= 7 && hex.chars().all(|c| c.is_ascii_hexdigit()))
    };
    if address(bare) {
        return word.replace(bare, "ADDRESS");
    }
    if let Some((key, value)) = word.split_once('=') {
        let name = key.rsplit(['(', ',', '{']).next().unwrap_or_default();
        let bare = value.trim_end_matches([',', ')', ';']);
        if address(bare) || value.starts_with('"') && own(name) {
            return format!("{key}=…{}", value.replace(bare, ""));
        }
        if own(name) {
            return format!("{key}={}", masked(value));
        }
    }
    if word.starts_with("{\"") {
        let fields = word.split(',').map(|field| match field.split_once("\":") {
            Some((key, value)) if own(key.trim_start_matches(['{', '"', '['])) => format!("{key}\":{}", masked(value)),
            _ => field.to_owned(),
        });
        return fields.collect::<Vec<_>>().join(",");
    }
    // `getent (4711, fd 3)`, `on_exec (12, TRACEPOINT)`
    if word.starts_with('(') && bare.chars().all(digit) && !bare.is_empty() {
        return masked(word);
    }
    word.to_owned()
}

#[cfg(test)]
mod tests {
    use super::{outputs, shuffled_outputs, steady};

    #[test]
    fn values_of_one_run_are_ignored() {
        for (one, other) in [
            ("11:39:35.553   24872 getent   ok  3.89 ms", "17:01:02.003 131 getent ok 512.0 µs"),
            ("11:39:35   24872 getent   ok  3.89 ms", "17:01:02 131 getent ok 512 µs"),
            ("ring 231681 `events`, 65536 bytes", "ring 7 `events`, 65536 bytes"),
            ("held by  cutaway (1691, fd 4, stopped)", "held by  cutaway (16, fd 14, stopped)"),
            ("bpf(cmd=X, map_fd=3, size=8) = 5    # why", "bpf(cmd=X, map_fd=12, size=8) = 7    # why"),
            ("mmap(length=4096) = 0x7f1200000000    # why", "mmap(length=4096) = 0x7ffff0000000    # why"),
            (
                "ioctl(fd=19, op=PERF_EVENT_IOC_SET_OUTPUT, argument=18)",
                "ioctl(fd=9, op=PERF_EVENT_IOC_SET_OUTPUT, argument=8)",
            ),
            ("{\"pid\":12,\"ret\":0,\"time_ns\":4}", "{\"pid\":2,\"ret\":0,\"time_ns\":44}"),
            (
                "open(type=8, uprobe_path=\"/lib/libc.so.6\", pid=-1)",
                "open(type=9,\n  uprobe_path=\"/usr/lib64/libc.so.6\", pid=-1)",
            ),
        ] {
            assert_eq!(steady(one), steady(other), "{one}");
        }
    }

    #[test]
    fn other_values_are_compared() {
        for (one, other) in [
            ("ring 7 `events`, 65536 bytes", "ring 7 `events`, 4096 bytes"),
            ("ring 7 `events`, 65536 bytes", "ring 7 `others`, 65536 bytes"),
            ("producer_pos 984", "producer_pos 1968"),
            ("mmap(length=4096) = 0x7f1200000000    # why", "mmap(length=8192) = 0x7f1200000000    # why"),
            ("ioctl(fd=19, op=PERF_EVENT_IOC_ENABLE, argument=0)", "ioctl(fd=9, op=PERF_EVENT_IOC_ENABLE, argument=1)"),
            ("bpf(cmd=X) = 0    # why", "bpf(cmd=X) = 3    # why"),
            ("received 1, lost 0", "received 1, lost 1"),
            ("{\"pid\":12,\"ret\":0}", "{\"pid\":12,\"ret\":1}"),
        ] {
            assert_ne!(steady(one), steady(other), "{one}");
        }
    }

    #[test]
    fn lines_may_be_shuffled() {
        assert!(shuffled_outputs("a b\nc\n", "c\na  b\n") && !outputs("a b\nc\n", "c\na b\n"));
        assert!(!shuffled_outputs("a\nc\n", "c\n"));
    }

    #[test]
    fn an_ellipsis_stands_for_any_lines() {
        assert!(outputs("a\n…\nd\n", "a\nb\nc\nd\n"));
        assert!(outputs("…\nc\n…\n", "a\nb\nc\nd\n"));
        assert!(outputs("a\n…\n", "a\n"));
        for (shown, printed) in [("a\n…\nd\n", "b\nd\n"), ("a\n", "a\nb\n"), ("…\nc\n", "c\nd\n"), ("a\nb\n", "a\n")]
        {
            assert!(!outputs(shown, printed), "{shown}");
        }
    }
}
