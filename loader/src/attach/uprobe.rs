//! Uprobes: a breakpoint in a file, for every process that runs it or for one.
//!
//! The kernel knows no symbols. It takes a file and an offset in it, puts a breakpoint on that byte in every address
//! space that maps it, and runs the program when a thread gets there. A return probe is put on the function's *entry*:
//! when hit it replaces the return address on the stack, so that the thread comes by once more on its way out.
//! (`kernel/events/uprobes.c`, `kernel/trace/trace_uprobe.c`.)

use std::{ffi::CString, fs, io, os::unix::ffi::OsStrExt, path::PathBuf};

use super::{Link, library, symbol};
use crate::{
    Error, Program,
    sys::perf_event::{self, Event},
};

/// A function in a library or executable to attach to. Linux 4.17.
///
/// ```no_run
/// # fn main() -> Result<(), cutaway::Error> {
/// # let loaded = cutaway::Object::parse(&[])?.load()?;
/// let link = cutaway::Uprobe::new("libc.so.6", "getaddrinfo").on_return(true).pid(4321).attach(loaded.program("exit")?)?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Uprobe {
    library: String,
    symbol: String,
    offset: u64,
    on_return: bool,
    pid: Option<u32>,
    cookie: u64,
}

impl Uprobe {
    /// The entry of `symbol` in `library`.
    ///
    /// `library` is a path, or a name without a slash, which is looked up as the dynamic loader would. `symbol` may be
    /// versioned (`getaddrinfo@GLIBC_2.2.5`); without a version the default one is meant.
    #[must_use]
    pub fn new(library: &str, symbol: &str) -> Self {
        Self {
            library: library.to_owned(),
            symbol: symbol.to_owned(),
            offset: 0,
            on_return: false,
            pid: None,
            cookie: 0,
        }
    }

    /// Attaches `offset` bytes behind the function's start, where an instruction must begin.
    #[must_use]
    pub fn offset(mut self, offset: u64) -> Self {
        self.offset = offset;
        self
    }

    /// Attaches to the function's return instead of its entry.
    #[must_use]
    pub fn on_return(mut self, on_return: bool) -> Self {
        self.on_return = on_return;
        self
    }

    /// Attaches for one process only, with all its threads; a child that it forks is another process.
    ///
    /// Before Linux 6.12 a return probe also runs in other processes if somebody else probes the same function there.
    #[must_use]
    pub fn pid(mut self, pid: u32) -> Self {
        self.pid = Some(pid);
        self
    }

    /// A number that the program reads with `bpf_get_attach_cookie` (Linux 5.15).
    #[must_use]
    pub fn cookie(mut self, cookie: u64) -> Self {
        self.cookie = cookie;
        self
    }

    /// The file and the place in it, in bytes from its start, where the probe will be. Needs no privileges.
    ///
    /// # Errors
    ///
    /// [`Error::Library`] or [`Error::Symbol`] if there is no such function.
    pub fn locate(&self) -> Result<(PathBuf, u64), Error> {
        let path = library::find(&self.library)?;
        let function = symbol::find(&path, &self.symbol)?;
        let offset = function.file_offset.checked_add(self.offset).ok_or_else(|| Error::Symbol {
            symbol: self.symbol.clone(),
            library: path.display().to_string(),
            why: format!("the offset {:#x} reaches beyond any file", self.offset),
        })?;
        Ok((path, offset))
    }

    /// Attaches `program`.
    ///
    /// # Errors
    ///
    /// As [`Uprobe::locate`]; [`Error::Kernel`] if the kernel refuses.
    pub fn attach(&self, program: &Program) -> Result<Link, Error> {
        let (path, offset) = self.locate()?;
        let what =
            format!("{}`{}` in {}", if self.on_return { "the return of " } else { "" }, self.symbol, path.display());
        let attempt = || format!("put a probe on {what}");

        let pmu = Pmu::read().map_err(|error| Error::Unfit { attempt: attempt(), why: error.to_string() })?;
        let c_path = CString::new(path.as_os_str().as_bytes())
            .map_err(|_| Error::Unfit { attempt: attempt(), why: "its path holds a NUL byte".to_owned() })?;
        let config = if self.on_return { 1 << pmu.retprobe_bit } else { 0 };
        let probe = Event::Uprobe { event_type: pmu.event_type, config, path: &c_path, offset };
        let event = perf_event::open(
            probe,
            self.pid,
            "puts the probe on a byte of the file, as an event that a program can hang on",
        )
        .map_err(|error| self.refused(attempt(), &error))?;
        Link::on_event(program, event, self.cookie, &what)
    }

    fn refused(&self, attempt: String, error: &io::Error) -> Error {
        let plain = Error::kernel(attempt, error);
        match (error.raw_os_error(), self.pid) {
            (Some(libc::ESRCH), Some(pid)) => plain.advise(&format!("there is no process {pid}")),
            (Some(libc::EINVAL), _) => {
                plain.advise("is there an instruction's start at that offset, in an executable segment?")
            }
            (Some(libc::ENOTSUP), _) => plain.advise("the kernel cannot put a probe on that instruction"),
            _ => plain,
        }
    }
}

/// The kernel's dynamic PMU `uprobe`, as sysfs describes it.
struct Pmu {
    event_type: u32,
    /// The bit of `config` that asks for a return probe.
    retprobe_bit: u32,
}

impl Pmu {
    fn read() -> io::Result<Self> {
        const FOLDER: &str = "/sys/bus/event_source/devices/uprobe";
        let read = |file: &str| {
            fs::read_to_string(format!("{FOLDER}/{file}")).map_err(|error| {
                io::Error::new(
                    error.kind(),
                    format!(
                        "cannot read {FOLDER}/{file}: {error} (does this kernel have uprobes, CONFIG_UPROBE_EVENTS?)"
                    ),
                )
            })
        };
        let nonsense = |file: &str, text: &str| io::Error::other(format!("{FOLDER}/{file} holds {text:?}"));
        let event_type = read("type")?;
        let retprobe = read("format/retprobe")?;
        Ok(Self {
            event_type: event_type.trim().parse().map_err(|_| nonsense("type", &event_type))?,
            // "config:0"
            retprobe_bit: retprobe
                .trim()
                .strip_prefix("config:")
                .and_then(|bit| bit.parse().ok())
                .filter(|&bit| bit < 64)
                .ok_or_else(|| nonsense("format/retprobe", &retprobe))?,
        })
    }
}
