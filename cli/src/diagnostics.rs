//! Everything on stderr: warnings, system calls explained, and the line that says why a command failed.
//!
//! The libraries speak through the crate `log`. `RUST_LOG` chooses what is shown, warnings by default; `--explain` adds the
//! target `syscall`, whose records carry a system call in their key-values: its name first, its answer last.

use std::{fmt::Write as _, io::Write as _};

use env_logger::{Builder, Env, Target};
use log::{LevelFilter, Record, kv};

use crate::{failure::Failure, terminal};

/// Where system calls are reported.
const SYSCALL: &str = "syscall";

/// Starts listening to the libraries.
pub(crate) fn start(explain: bool) {
    let mut builder = Builder::from_env(Env::default().default_filter_or("warn"));
    if explain {
        builder.filter_module(SYSCALL, LevelFilter::Trace);
    }
    builder
        .target(Target::Stderr)
        .format(|to, record| {
            if record.target() == SYSCALL {
                writeln!(to, "{}", call(record))
            } else {
                writeln!(
                    to,
                    "cutaway: {}: {}",
                    record.level().as_str().to_lowercase(),
                    terminal::clean(&record.args().to_string())
                )
            }
        })
        .init();
}

/// Says something to whoever watches. With stderr gone there is nobody left to tell, and that is no reason to stop.
pub(crate) fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{}", terminal::clean(line));
}

/// Says why the command failed.
pub(crate) fn fail(failure: &Failure) {
    if let Some(details) = failure.details() {
        log::debug!("the whole log follows\n{details}");
    }
    say(&format!("cutaway: {failure}"));
}

/// A system call on one line: `name(argument=value, …) = answer`, then why.
fn call(record: &Record<'_>) -> String {
    let mut line = Line::default();
    // Collecting into a string cannot fail.
    let _ = record.key_values().visit(&mut line);
    let Line { name, arguments, last } = line;
    let answer = last.map_or_else(String::new, |(_, answer)| answer);
    format!("{name}({arguments}) = {answer}    # {}", record.args())
}

#[derive(Default)]
struct Line {
    name: String,
    arguments: String,
    /// Whether a pair is the answer is only known when no other follows.
    last: Option<(String, String)>,
}

impl<'kvs> kv::VisitSource<'kvs> for Line {
    fn visit_pair(&mut self, key: kv::Key<'kvs>, value: kv::Value<'kvs>) -> Result<(), kv::Error> {
        if key.as_str() == SYSCALL {
            self.name = value.to_string();
            return Ok(());
        }
        if let Some((key, value)) =
            self.last.replace((key.as_str().to_owned(), terminal::clean(&value.to_string()).into_owned()))
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
    fn a_system_call_reads_like_one() {
        let pairs: [(&str, kv::Value<'_>); 4] =
            [("syscall", "mmap".into()), ("fd", 3.into()), ("length", 4096.into()), ("answer", "0x7f00".into())];
        let record = Record::builder().target(SYSCALL).key_values(&pairs).args(format_args!("maps a page")).build();
        assert_eq!(call(&record), "mmap(fd=3, length=4096) = 0x7f00    # maps a page");
    }
}
