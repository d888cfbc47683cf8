//! The system calls that the loader makes, and nothing above them.
//!
//! The doors that lead into the kernel from here: [`bpf`](bpf()) for bpf(2), with a file for each part of its work
//! ([`elements`], [`link`], [`btf`], [`ids`], [`run`], [`statistics`]); [`perf_event`] for perf_event_open(2) and its ioctls; [`netlink`] and
//! [`socket`] for what is attached to network devices and sockets; [`process`] for the few calls about ourselves; [`file`]
//! for files of the kernel's, [`sysfs`] and [`mount`] for those that must be its own whatever is mounted where; [`shared`] for maps that are mapped. Each of them goes through libc's `syscall()` or a plain libc wrapper, and each is reported to
//! the crate `log` at level `trace` under the target `syscall`: first the call's name, then its arguments by the names the
//! kernel gives them, last its answer; the message says why the call was made. That report is all that `cutaway --explain` is.

pub(crate) mod attr;
pub(crate) mod bpf;
pub(crate) mod btf;
pub(crate) mod elements;
pub(crate) mod errno;
pub(crate) mod file;
pub(crate) mod ids;
pub(crate) mod insn;
pub(crate) mod link;
pub(crate) mod mount;
pub(crate) mod names;
#[cfg(feature = "network")]
pub(crate) mod netlink;
pub(crate) mod perf_event;
pub(crate) mod process;
pub(crate) mod run;
pub(crate) mod shared;
#[cfg(feature = "network")]
pub(crate) mod socket;
pub(crate) mod statistics;
pub(crate) mod sysfs;

pub use errno::Errno;

use std::io;

use log::kv;

/// The `log` target of every reported system call.
const TARGET: &str = "syscall";

/// Reports one finished system call. `arguments` is asked for its fields only if somebody listens.
fn report(syscall: &str, arguments: &dyn kv::Source, answer: &io::Result<i64>, why: &str) {
    if !log::log_enabled!(target: TARGET, log::Level::Trace) {
        return;
    }
    let call = Call { syscall, arguments, answer: Answer(answer) };
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

struct Answer<'a>(&'a io::Result<i64>);

impl std::fmt::Display for Answer<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Ok(value) => write!(f, "{value}"),
            Err(error) => write!(f, "-1 {}", Errno::of(error)),
        }
    }
}

/// Turns the kernel's -1 into the errno behind it.
fn answer(value: i64) -> io::Result<i64> {
    if value < 0 { Err(io::Error::last_os_error()) } else { Ok(value) }
}
