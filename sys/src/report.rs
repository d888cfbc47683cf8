//! Reports finished system calls to the crate `log`: target `syscall`, level `trace`.
//!
//! The record's key-values are `syscall` (the call's name), then the arguments by the kernel's names, then `answer`
//! (the return value, or `-1` and the errno's name; mmap(2)'s address is in hexadecimal). The message is the purpose of
//! the call. `cutaway --explain` prints these records; it has no other source.

use std::{fmt, io};

pub use log::kv::Value;

use log::kv;

use crate::Errno;

/// The `log` target of reported system calls.
pub const TARGET: &str = "syscall";

/// Returns whether a logger listens to reports.
#[must_use]
#[inline]
pub fn is_enabled() -> bool {
    log::log_enabled!(target: TARGET, log::Level::Trace)
}

/// Reports one finished system call. `arguments` is visited only if a logger listens.
pub fn report(syscall: &str, arguments: &dyn kv::Source, answer: &io::Result<i64>, why: &str) {
    if !is_enabled() {
        return;
    }
    let call = Call { syscall, arguments, answer: Answer { answer, is_address: syscall == "mmap" } };
    log::logger().log(
        &log::Record::builder()
            .level(log::Level::Trace)
            .target(TARGET)
            .module_path_static(Some(module_path!()))
            .key_values(&call)
            .args(format_args!("{why}"))
            .build(),
    );
}

/// Reports one finished system call: name, result (`&io::Result<i64>`), purpose, then arguments by name.
///
/// ```
/// let answer: std::io::Result<i64> = Ok(3);
/// cutaway_sys::report!("epoll_create1", &answer, "creates an epoll instance"; "flags" = "EPOLL_CLOEXEC");
/// ```
///
/// Arguments are evaluated only if a logger listens. They can be of any type that converts into [`kv::Value`].
#[macro_export]
macro_rules! report {
    ($syscall:expr, $answer:expr, $why:expr $(; $($name:literal = $value:expr),+ $(,)?)?) => {
        if $crate::report::is_enabled() {
            // One expression, so that temporaries of the arguments live until the report is done.
            $crate::report::report(
                $syscall,
                &&[$($(($name, $crate::report::Value::from($value))),+)?][..],
                $answer,
                $why,
            );
        }
    };
}

struct Call<'a> {
    syscall: &'a str,
    arguments: &'a dyn kv::Source,
    answer: Answer<'a>,
}

impl kv::Source for Call<'_> {
    fn visit<'kvs>(&'kvs self, visitor: &mut dyn kv::VisitSource<'kvs>) -> Result<(), kv::Error> {
        visitor.visit_pair(kv::Key::from_str("syscall"), kv::Value::from(self.syscall))?;
        self.arguments.visit(visitor)?;
        visitor.visit_pair(kv::Key::from_str("answer"), kv::Value::from_display(&self.answer))
    }
}

struct Answer<'a> {
    answer: &'a io::Result<i64>,
    is_address: bool,
}

impl fmt::Display for Answer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.answer {
            Ok(value) if self.is_address => write!(f, "{value:#x}"),
            Ok(value) => write!(f, "{value}"),
            Err(error) => write!(f, "-1 {}", Errno::of(error)),
        }
    }
}

/// Converts a system call's return value into a result. A negative value means failure, and errno holds the reason.
///
/// # Errors
/// The calling thread's errno if `value` is negative.
#[inline]
pub fn check(value: impl Into<i64>) -> io::Result<i64> {
    match value.into() {
        value if value < 0 => Err(io::Error::last_os_error()),
        value => Ok(value),
    }
}

/// Copies the outcome of a system call that the standard library made, so that it can be reported as well.
///
/// # Errors
/// The errno of `result`.
pub fn outcome<T>(result: &io::Result<T>, value: impl FnOnce(&T) -> i64) -> io::Result<i64> {
    match result {
        Ok(done) => Ok(value(done)),
        Err(error) => Err(io::Error::from_raw_os_error(error.raw_os_error().unwrap_or(0))),
    }
}
