//! Output on stderr: warnings, explained system calls, and the line that says why a command failed.
//!
//! The libraries log through the crate `log`. `RUST_LOG` selects the records, warnings by default. `--explain` adds the
//! target `syscall`, whose records have a system call in their key-values: its name first, its return value last. The
//! call is printed as text. With `--explain=json` it is an object on a line of its own; no other line on stderr begins
//! with a brace:
//!
//! ```text
//!     {"syscall": "bpf", "arguments": {"cmd": "BPF_MAP_CREATE", …}, "return_value": 7, "errno": null,
//!      "why": "creates …"}
//! ```

use std::{
    cell::Cell,
    collections::HashSet,
    fmt::Write as _,
    io::{self, Write as _},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use clap::ValueEnum;
use env_logger::{Builder, Env, Target};
use log::{Level, LevelFilter, Record, kv};
use serde_json::{Map, Value as Json, json};

use crate::{columns::hung, error::CliError, outlet, terminal};

/// The log target of system calls.
const SYSCALL: &str = "syscall";

/// The help of `--explain`: short, since it is in the help of every command.
pub(crate) const EXPLAIN_HELP: &str = "Log cutaway's system calls as text or json";

/// The long help of `--explain`.
pub(crate) const EXPLAIN_LONG_HELP: &str = "\
Log cutaway's system calls with arguments, return value and purpose

Logs the system calls that cutaway makes to load, attach and read. The
log goes to stderr. Without FORMAT, the log is text. The commands
bindgen, completions and man refuse this option.

text: name(argument=value, …) = return value    # purpose
json: one JSON object per line, with the keys syscall, arguments,
return_value, errno and why (the purpose)";

/// The format of explained system calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Explain {
    /// name(argument=value, …) = return value    # purpose
    Text,
    /// One JSON object per line: syscall, arguments, return_value, errno, why
    Json,
}

/// Installs the logger. If RUST_LOG is not set, it prints warnings, and with `verbose` also what is corrected.
pub(crate) fn start(explain: Option<Explain>, verbose: bool) {
    let default = if verbose { "info" } else { "warn" };
    let mut builder = Builder::from_env(Env::default().default_filter_or(default));
    if explain.is_some() {
        builder.filter_module(SYSCALL, LevelFilter::Trace);
    }
    let printed = Mutex::default();
    builder
        .target(Target::Pipe(Box::new(outlet::stderr())))
        .format(move |to, record| {
            if record.level() == Level::Warn && !is_new(&printed, &record.args().to_string()) {
                return Ok(());
            }
            clear_status();
            if record.target() == SYSCALL && QUIET.get() {
                Ok(())
            } else if record.target() == SYSCALL {
                let line = if explain == Some(Explain::Json) { object(record) } else { call(record) };
                writeln!(to, "{line}")
            } else {
                let text = record.args().to_string();
                // A name with a newline in it must not look like a line of ours; a verifier's log has lines of its own.
                let text = if record.level() < Level::Debug {
                    terminal::one_line(&text).into()
                } else {
                    terminal::clean(&text)
                };
                writeln!(to, "cutaway: {}: {text}", record.level().as_str().to_lowercase())
            }
        })
        .init();
}

/// Returns whether a warning was not printed before. At most `MOST` are remembered; later ones are printed each time.
fn is_new(printed: &Mutex<HashSet<String>>, warning: &str) -> bool {
    const MOST: usize = 1 << 10;
    let mut printed = printed.lock().unwrap_or_else(PoisonError::into_inner);
    !printed.contains(warning) && (printed.len() >= MOST || printed.insert(warning.to_owned()))
}

thread_local! {
    /// Whether the system calls of this thread are not logged.
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Calls `ask` without logging its system calls: for checks that a command repeats while it waits, and that are not
/// part of loading, attaching or reading.
pub(crate) fn quietly<T>(ask: impl FnOnce() -> T) -> T {
    let before = QUIET.replace(true);
    let answer = ask();
    QUIET.set(before);
    answer
}

/// Prints a line on stderr. On a terminal, a longer line is wrapped between its words. A closed stderr is ignored.
pub(crate) fn say(line: &str) {
    clear_status();
    let line = terminal::one_line(line);
    let text = match terminal::width_of(io::stderr()) {
        Some(width) => hung(&line, 2, width.max(NARROWEST)),
        None => line + "\n",
    };
    let _ = outlet::stderr().write_all(text.as_bytes());
}

/// Columns of the narrowest terminal for which lines are wrapped.
const NARROWEST: usize = 40;

/// Whether a status is shown.
static HAS_STATUS: AtomicBool = AtomicBool::new(false);

/// Shows a status on the last line of a terminal. The next line of any kind replaces it.
pub(crate) fn show_status(status: &str) {
    // ATOMICS: the flag publishes nothing else.
    HAS_STATUS.store(true, Ordering::Relaxed);
    let _ = outlet::stderr().write_all(format!("\r\x1b[K{}\r", terminal::one_line(status)).as_bytes());
}

/// Removes the status, if one is shown.
pub(crate) fn clear_status() {
    // ATOMICS: the flag publishes nothing else.
    if HAS_STATUS.swap(false, Ordering::Relaxed) {
        let _ = outlet::stderr().write_all(b"\r\x1b[K");
    }
}

/// Prints why the command failed.
pub(crate) fn fail(failure: &CliError) {
    if let Some(details) = failure.details() {
        log::debug!("the whole log follows\n{details}");
    }
    say(&format!("cutaway: {failure}"));
}

/// Formats a system call on one line: `name(argument=value, …) = return value`, then its purpose.
fn call(record: &Record<'_>) -> String {
    let mut line = Line::default();
    // Collecting into a string cannot fail.
    let _ = record.key_values().visit(&mut line);
    let Line { name, arguments, last } = line;
    let answer = last.map_or_else(String::new, |(_, answer)| answer);
    format!("{name}({arguments}) = {answer}    # {}", terminal::one_line(&record.args().to_string()))
}

/// Formats a system call as a JSON object.
fn object(record: &Record<'_>) -> String {
    let mut object = Object::default();
    // Collecting cannot fail.
    let _ = record.key_values().visit(&mut object);
    let answer = match object.arguments.remove("answer") {
        Some(Json::String(text)) => text,
        Some(answer) => answer.to_string(),
        None => String::new(),
    };
    // A failure has the form `-1 ENOENT (No such file or directory)`, with or without the -1.
    let failed = answer.strip_prefix("-1 ").unwrap_or(&answer);
    let errno = failed.split(' ').next().filter(|word| word.starts_with('E') || word.starts_with("errno"));
    let number = answer.parse::<i64>().ok().or_else(|| i64::from_str_radix(answer.strip_prefix("0x")?, 16).ok());
    let answer = if errno.is_some() { json!(-1) } else { number.map_or_else(|| json!(answer), |number| json!(number)) };
    let object = json!({
        "syscall": object.name, "arguments": object.arguments, "return_value": answer, "errno": errno,
        "why": record.args().to_string(),
    });
    terminal::json(&object).unwrap_or_default()
}

#[derive(Default)]
struct Object {
    name: String,
    arguments: Map<String, Json>,
}

impl<'kvs> kv::VisitSource<'kvs> for Object {
    fn visit_pair(&mut self, key: kv::Key<'kvs>, value: kv::Value<'kvs>) -> Result<(), kv::Error> {
        if key.as_str() == SYSCALL {
            self.name = value.to_string();
            return Ok(());
        }
        let json = value.to_u64().map(Json::from).or_else(|| value.to_i64().map(Json::from));
        let json = json.or_else(|| value.to_bool().map(Json::from));
        let text = || {
            let text = value.to_string();
            // Text is logged in quotes; JSON adds its own.
            serde_json::from_str::<String>(&text).unwrap_or(text).into()
        };
        self.arguments.insert(key.to_string(), json.unwrap_or_else(text));
        Ok(())
    }
}

#[derive(Default)]
struct Line {
    name: String,
    arguments: String,
    /// The last pair so far. The return value is the pair that no other follows.
    last: Option<(String, String)>,
}

impl<'kvs> kv::VisitSource<'kvs> for Line {
    fn visit_pair(&mut self, key: kv::Key<'kvs>, value: kv::Value<'kvs>) -> Result<(), kv::Error> {
        if key.as_str() == SYSCALL {
            self.name = value.to_string();
            return Ok(());
        }
        if let Some((key, value)) = self.last.replace((key.as_str().to_owned(), terminal::one_line(&value.to_string())))
        {
            let comma = if self.arguments.is_empty() { "" } else { ", " };
            write!(self.arguments, "{comma}{key}={value}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warning_is_printed_once() {
        let printed = Mutex::default();
        assert_eq!(["one", "two", "one"].map(|warning| is_new(&printed, warning)), [true, true, false]);
        for other in 0..3000 {
            assert!(is_new(&printed, &other.to_string()));
        }
        assert!(printed.lock().unwrap().len() <= 1 << 10);
    }

    #[test]
    fn system_call_is_formatted_as_text() {
        let pairs: [(&str, kv::Value<'_>); 4] =
            [("syscall", "mmap".into()), ("fd", 3.into()), ("length", 4096.into()), ("answer", "0x7f00".into())];
        let record = Record::builder().target(SYSCALL).key_values(&pairs).args(format_args!("maps a page")).build();
        assert_eq!(call(&record), "mmap(fd=3, length=4096) = 0x7f00    # maps a page");
    }

    #[test]
    fn system_call_is_formatted_as_json() {
        let object = |answer: &str| -> Json {
            let pairs: [(&str, kv::Value<'_>); 5] = [
                ("syscall", "mmap".into()),
                ("fd", (-1).into()),
                ("prot", "PROT_READ".into()),
                ("name", "\"a name\"".into()),
                ("answer", answer.into()),
            ];
            let record = Record::builder().target(SYSCALL).key_values(&pairs).args(format_args!("maps a page")).build();
            serde_json::from_str(&super::object(&record)).unwrap()
        };
        let expected = json!({
            "syscall": "mmap", "arguments": { "fd": -1, "prot": "PROT_READ", "name": "a name" }, "return_value": 4096, "errno": null,
            "why": "maps a page",
        });
        assert_eq!(object("0x1000"), expected);
        for answer in ["-1 ENOENT (No such file or directory)", "ENOENT (No such file or directory)", "ENOENT"] {
            assert_eq!((&object(answer)["return_value"], &object(answer)["errno"]), (&json!(-1), &json!("ENOENT")));
        }
        assert_eq!(object("7")["return_value"], 7);
    }
}
