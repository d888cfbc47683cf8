//! Parses the output of the standard test harness and of libtest-mimic: the stable text format, because JSON is nightly
//! only.
//!
//! The text of a whole run cannot be parsed reliably: a test may print `test x ... ok` itself, and a dead process
//! prints nothing more. So each test runs in a process of its own, `BINARY --exact NAME`. Its exit status, output and
//! time then belong to it alone. Only the closing `test result:` line of the text counts, and it must agree with the
//! exit status.

/// A command line for a harness, split by purpose.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Arguments {
    /// Parts of names: a test whose name contains any of them is chosen.
    pub filters: Vec<String>,
    /// Other options that choose tests: `--skip`, `--exact`, `--ignored`, `--include-ignored`.
    pub choosing: Vec<String>,
    /// Options that each test's own process needs as well: `--ignored`, `--include-ignored`, and unknown ones.
    pub running: Vec<String>,
    /// Whether the caller wants something other than a run of tests (`--list`, `--help`): pass the line on unchanged.
    pub verbatim: bool,
}

impl Arguments {
    /// Splits a harness's command line. Options for presentation and threads are dropped, because every test gets a
    /// process of its own.
    #[must_use]
    pub fn parse(line: &[String]) -> Self {
        let mut parsed = Self::default();
        let mut rest = line.iter();
        while let Some(word) = rest.next() {
            let (name, inline) = match word.split_once('=') {
                Some((name, value)) if name.starts_with("--") => (name, Some(value)),
                _ => (word.as_str(), None),
            };
            match name {
                "--list" | "--help" | "-h" | "--bench" => parsed.verbatim = true,
                "--format" | "--test-threads" | "--color" | "--logfile" | "--shuffle-seed" => {
                    if inline.is_none() {
                        rest.next();
                    }
                }
                "--nocapture" | "--no-capture" | "--show-output" | "--quiet" | "-q" | "--shuffle" | "--report-time" => {
                }
                "--test" => {}
                "--skip" => {
                    parsed.choosing.push(word.clone());
                    if inline.is_none() {
                        parsed.choosing.extend(rest.next().cloned());
                    }
                }
                "--ignored" | "--include-ignored" => {
                    parsed.choosing.push(word.clone());
                    parsed.running.push(word.clone());
                }
                "--exact" => parsed.choosing.push(word.clone()),
                "-Z" => {
                    let value = rest.next().cloned();
                    for list in [&mut parsed.choosing, &mut parsed.running] {
                        list.push(word.clone());
                        list.extend(value.clone());
                    }
                }
                _ if word.starts_with('-') => {
                    parsed.choosing.push(word.clone());
                    parsed.running.push(word.clone());
                }
                _ => parsed.filters.push(word.clone()),
            }
        }
        parsed
    }

    /// Returns the command lines that list the chosen tests, one `NAME: test` per line. There is one for each filter,
    /// because libtest-mimic accepts no more.
    #[must_use]
    pub fn to_list(&self) -> Vec<Vec<String>> {
        let line = |filter: Option<&String>| {
            let mut line: Vec<String> = filter.cloned().into_iter().collect();
            line.extend(self.choosing.iter().cloned());
            line.extend(["--list", "--format", "terse"].map(String::from));
            line
        };
        if self.filters.is_empty() {
            return vec![line(None)];
        }
        self.filters.iter().map(|filter| line(Some(filter))).collect()
    }

    /// Returns the command line that runs the test `name`. With two threads, the outcome is on a line of its own after
    /// the test's output. Without capture, the output of the test's children is in order.
    #[must_use]
    pub fn to_run(&self, name: &str) -> Vec<String> {
        let mut line = vec!["--exact".to_owned(), name.to_owned()];
        line.extend(self.running.iter().cloned());
        line.extend(["--nocapture", "--test-threads", "2", "--color", "never"].map(String::from));
        line
    }
}

/// Parses the names in the output of [`Arguments::to_list`].
#[must_use]
pub fn listed(output: &str) -> Vec<String> {
    output.lines().filter_map(|line| line.strip_suffix(": test")).map(str::to_owned).collect()
}

/// The outcome that a process printed for the one test that it ran.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// One test passed.
    Passed,
    /// One test failed.
    Failed,
    /// The test was ignored, with its reason (empty if it has none).
    Ignored(String),
    /// There is no closing line, or it does not report exactly one test.
    Nothing,
}

/// Parses the closing line of a run of the test `name`, and the test's own line before it. They must agree: a closing
/// line alone may come from another harness that the test itself ran.
#[must_use]
pub fn said(output: &str, name: &str) -> Said {
    let Some((before, summary)) = output.rfind("test result: ").and_then(|at| output.split_at_checked(at)) else {
        return Said::Nothing;
    };
    let count = |what: &str| -> Option<u64> {
        let end = summary.find(what)?;
        summary.get(..end)?.split_whitespace().next_back()?.parse().ok()
    };
    let word = verdict(before, name).unwrap_or_default();
    match (count(" passed"), count(" failed"), count(" ignored")) {
        (Some(1), Some(0), Some(0)) if word.starts_with("ok") => Said::Passed,
        (Some(0), Some(1), Some(0)) => Said::Failed,
        (Some(0), Some(0), Some(1)) => word.strip_prefix("ignored").map_or(Said::Nothing, |rest| {
            // libtest-mimic puts the reason in parentheses.
            let reason = rest.trim_start_matches(',').trim();
            let bare = reason.strip_prefix('(').and_then(|inner| inner.strip_suffix(')'));
            Said::Ignored(bare.unwrap_or(reason).to_owned())
        }),
        _ => Said::Nothing,
    }
}

/// Returns the text after `test NAME ... `: on the same line, or on the last line if the test printed in between.
fn verdict<'t>(before: &'t str, name: &str) -> Option<&'t str> {
    let start = before.rfind(&format!("test {name}"))?;
    let line = before.get(start..)?.lines().next()?;
    let (_, word) = line.split_once(" ...")?;
    let word = word.trim();
    let known = ["ok", "ignored", "FAILED"].iter().any(|verdict| word.starts_with(verdict));
    if known { Some(word) } else { before.lines().map(str::trim).rfind(|line| !line.is_empty()) }
}

/// Splits off the `[KIND] ` that libtest-mimic lists before a test's name. Returns the name and the kind.
///
/// Some binaries put the reason of an ignored test there, decided when they list their tests. The same test must have
/// the same name on every kernel.
#[must_use]
pub fn without_kind(name: &str) -> (&str, Option<&str>) {
    match name.strip_prefix('[').and_then(|rest| rest.split_once("] ")) {
        Some((kind, name)) => (name, Some(kind)),
        None => (name, None),
    }
}

/// Returns true if an executable contains a test harness: both known harnesses contain the words of the closing line.
#[must_use]
pub fn is_harness(executable: &[u8]) -> bool {
    memchr::memmem::find(executable, b"test result: ").is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn command_line_is_split() {
        let parsed = Arguments::parse(&words(
            "perf --skip slow --test-threads 1 --nocapture --include-ignored --format=terse -Z unstable-options \
                 --color always",
        ));
        assert_eq!(parsed.filters, ["perf"]);
        assert_eq!(parsed.choosing, words("--skip slow --include-ignored -Z unstable-options"));
        assert_eq!(parsed.running, words("--include-ignored -Z unstable-options"));
        assert!(!parsed.verbatim);
        assert!(Arguments::parse(&words("--list")).verbatim);
        let two = Arguments::parse(&words("a b --skip c")).to_list();
        assert_eq!(two, ["a --skip c --list --format terse", "b --skip c --list --format terse"].map(words));
        assert_eq!(Arguments::default().to_list(), [words("--list --format terse")]);
        assert_eq!(
            Arguments::default().to_run("a::b"),
            words("--exact a::b --nocapture --test-threads 2 --color never")
        );
    }

    #[test]
    fn tests_are_listed_without_benchmarks() {
        assert_eq!(
            listed("a::b: test\nslow: benchmark\nsrc/lib.rs - f (line 3): test\n\n"),
            ["a::b", "src/lib.rs - f (line 3)"]
        );
    }

    #[test]
    fn only_the_closing_line_counts() {
        let line = |p, f, i| {
            format!(
                "test result: ok. {p} passed; {f} failed; {i} ignored; 0 measured; 9 filtered out; finished in 0.0s\n"
            )
        };
        let said = |text: &str, summary: String| said(&format!("{text}\n\n{summary}"), "a");
        assert_eq!(said("test a ... ok", line(1, 0, 0)), Said::Passed);
        assert_eq!(said("test a            ... ok", line(1, 0, 0)), Said::Passed, "libtest-mimic");
        assert_eq!(said("no end of linetest a - should panic ... ok", line(1, 0, 0)), Said::Passed);
        assert_eq!(said("test a ... FAILED", line(0, 1, 0)), Said::Failed);
        let reason = |text: &str| Said::Ignored(text.to_owned());
        assert_eq!(said("test a ... ignored, needs 5.15: links", line(0, 0, 1)), reason("needs 5.15: links"));
        assert_eq!(said("test a ... noise\nignored, needs 6.1", line(0, 0, 1)), reason("needs 6.1"));
        assert_eq!(said("test a ... ignored, (needs 6.1: f(x))", line(0, 0, 1)), reason("needs 6.1: f(x)"));
        assert_eq!(said("test a ... ignored", line(0, 0, 1)), reason(""));
        assert_eq!(said("test a ... ok", String::new()), Said::Nothing, "a process that exited early proves nothing");
        assert_eq!(
            said("test b ... ok", line(1, 0, 0)),
            Said::Nothing,
            "the output of another harness about another test"
        );
        assert_eq!(said("test b ... ignored", line(0, 0, 1)), Said::Nothing);
        assert_eq!(said("", line(0, 0, 0)), Said::Nothing);
        assert_eq!(said("test a ... ok", line(2, 0, 0)), Said::Nothing);
    }

    #[test]
    fn kind_is_not_part_of_the_name() {
        assert_eq!(without_kind("[needs Linux 6.6] a::b"), ("a::b", Some("needs Linux 6.6")));
        assert_eq!(without_kind("a::b"), ("a::b", None));
        assert_eq!(without_kind("[odd"), ("[odd", None));
    }

    #[test]
    fn own_executable_is_a_harness() {
        let me = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        assert!(is_harness(&me));
        assert!(!is_harness(b"\x7fELF plain program"));
    }
}
