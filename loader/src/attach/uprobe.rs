//! Attaches to uprobes: a breakpoint in a file, for every process that runs it or for one.
//!
//! The kernel knows no symbols. It takes a file and an offset in it, and puts a breakpoint on that byte in every
//! address space that maps it. The program runs when a thread reaches the breakpoint. A return probe is put on the
//! function's *entry*: when hit, it replaces the return address on the stack, so that the thread hits it again when it
//! returns (`kernel/events/uprobes.c`, `kernel/trace/trace_uprobe.c`).

use std::{
    ffi::{CString, OsStr},
    fs, io,
    os::unix::ffi::OsStrExt,
    path::PathBuf,
};

use super::{Link, image::Binary, library::Library, pmu::Pmu, symbol};
use crate::{
    Error, Program,
    privileges::Capability,
    sys::perf_event::{self, Event, Scope},
};

/// A function in a library or executable to attach to. Linux 4.17.
///
/// ```no_run
/// # fn main() -> Result<(), cutaway::Error> {
/// # let loaded = cutaway::Object::parse(&[])?.load()?;
/// let probe = cutaway::Uprobe::new("libc.so.6", "getaddrinfo").retprobe(true).pid(4321);
/// let link = probe.attach(loaded.program("exit")?)?;
/// # Ok(())
/// # }
/// ```
///
/// Kernel source: `kernel/events/uprobes.c`, `kernel/trace/trace_uprobe.c`.
///
/// Needs this crate's feature `uprobe`.
#[doc(alias("bpf_program__attach_uprobe", "bpf_uprobe_opts", "Uretprobe"))]
#[derive(Debug, Clone)]
pub struct Uprobe {
    file: Library,
    location: Location,
    offset: u64,
    retprobe: bool,
    pid: Option<u32>,
    cookie: u64,
    ref_ctr_offset: u32,
}

#[derive(Debug, Clone)]
enum Location {
    Symbol(String),
    VirtualAddress(u64),
    /// In bytes from the start of the file.
    FileOffset(u64),
}

impl Uprobe {
    /// Selects the entry of `symbol` in `library`.
    ///
    /// `library` is a path, or a name without a slash, which is resolved as the dynamic loader would. The kernel gets a
    /// path unchanged, so it may lead through `/proc/PID/root`, `/proc/PID/map_files` or `/proc/self/fd`. `symbol` may
    /// have a version (`getaddrinfo@GLIBC_2.2.5`); without one it means the default version. If several functions have
    /// the same name, the address selects one: `name@0x1234`, or `0x1234` alone, as for [`Uprobe::at_virtual_address`].
    /// If exactly one of them is global, the name alone selects that one.
    ///
    /// The symbols of a stripped file are searched for in its `.gnu_debugdata` (feature `debugdata`), by its build id
    /// below `/usr/lib/debug`, and by its `.gnu_debuglink`.
    #[must_use]
    pub fn new(library: impl AsRef<OsStr>, symbol: &str) -> Self {
        match symbol::address(symbol) {
            Some(address) => Self::at_virtual_address(library, address),
            None => Self::at(library, Location::Symbol(symbol.to_owned())),
        }
    }

    /// Selects the instruction at `address`, an address in the file (as in `nm` and `objdump -d`): the address in a
    /// process minus the file's load address there.
    #[doc(alias("from_virtual_address", "UprobeOptions.Address"))]
    #[must_use]
    pub fn at_virtual_address(library: impl AsRef<OsStr>, address: u64) -> Self {
        Self::at(library, Location::VirtualAddress(address))
    }

    /// Attaches to the instruction at `file_offset`, in bytes from the start of the file.
    #[doc(alias = "AbsoluteOffset")]
    #[must_use]
    pub fn at_file_offset(library: impl AsRef<OsStr>, file_offset: u64) -> Self {
        Self::at(library, Location::FileOffset(file_offset))
    }

    fn at(library: impl AsRef<OsStr>, location: Location) -> Self {
        Self {
            file: Library::new(library),
            location,
            offset: 0,
            retprobe: false,
            pid: None,
            cookie: 0,
            ref_ctr_offset: 0,
        }
    }

    /// Resolves the library as the process `pid` sees it. A name without a slash is searched for among the files that
    /// the process has mapped; a path is resolved in the process's file system (in a container it is another one). A
    /// name that the process has not mapped is resolved as its dynamic loader would. Does not restrict the probe to
    /// that process: see [`Uprobe::pid`].
    #[must_use]
    pub fn resolve_in_process(mut self, pid: u32) -> Self {
        self.file.resolve_in_process = Some(pid);
        self
    }

    /// Attaches `offset` bytes after the function's start, where an instruction must begin. An offset beyond the
    /// function's end, if its symbol has a size, is an error. So is any offset for a return probe on a symbol.
    #[doc(alias = "func_offset")]
    #[must_use]
    pub fn offset(mut self, offset: u64) -> Self {
        self.offset = offset;
        self
    }

    /// Attaches to the function's return instead of its entry.
    #[doc(alias = "uretprobe")]
    #[must_use]
    pub fn retprobe(mut self, retprobe: bool) -> Self {
        self.retprobe = retprobe;
        self
    }

    /// Attaches for one process only, with all its threads. A child that it forks is another process.
    ///
    /// Before Linux 6.12 a return probe also runs in other processes in which another user probes the same function.
    #[must_use]
    pub fn pid(mut self, pid: u32) -> Self {
        self.pid = Some(pid);
        self
    }

    /// Sets the cookie, a number that the program reads with `bpf_get_attach_cookie` (Linux 5.15).
    #[doc(alias = "bpf_cookie")]
    #[must_use]
    pub fn cookie(mut self, cookie: u64) -> Self {
        self.cookie = cookie;
        self
    }

    /// Sets the file offset, in bytes, of a 16-bit counter in the probed program. The kernel keeps it equal to the
    /// number of attached probes, which the program may read (`ref_ctr_offset`, Linux 4.20). Programs with USDT probes
    /// have such counters.
    #[doc(alias("RefCtrOffset", "semaphore"))]
    #[must_use]
    pub fn ref_ctr_offset(mut self, file_offset: u32) -> Self {
        self.ref_ctr_offset = file_offset;
        self
    }

    /// Returns the file and the file offset, in bytes, of the probe. Needs no privileges, unless the library is
    /// resolved as another process sees it.
    ///
    /// # Errors
    ///
    /// [`Error::Library`] if there is no such file. [`Error::Symbol`] if the file has no such function, or several of
    /// that name, or if the offset is not in code that can run here. The latter means that it is in no executable
    /// segment, or that the file is a `.debug` file, an object file, a core dump or for another machine. The offset of
    /// an [`Uprobe::at_file_offset`] is checked only by [`Uprobe::attach`].
    pub fn locate(&self) -> Result<(PathBuf, u64), Error> {
        if let (Location::FileOffset(file_offset), 0) = (&self.location, self.offset) {
            return Ok((self.file.find()?, *file_offset));
        }
        let (binary, file_offset) = self.open()?;
        Ok((binary.path, file_offset))
    }

    /// Opens the file, and returns it with the file offset of the probe.
    fn open(&self) -> Result<(Binary, u64), Error> {
        let binary = Binary::open(self.file.find()?, Some(&self.location))?;
        let file_offset = self.file_offset_in(&binary).map_err(|why| Error::Symbol {
            symbol: self.location.to_string(),
            library: binary.path.display().to_string(),
            why,
        })?;
        Ok((binary, file_offset))
    }

    fn file_offset_in(&self, binary: &Binary) -> Result<u64, String> {
        let beyond = || format!("the offset {:#x} is larger than any file", self.offset);
        match &self.location {
            Location::Symbol(name) => {
                // Elsewhere than at the entry the probe would overwrite a stack slot that is not the return address.
                if self.retprobe && self.offset != 0 {
                    return Err("a return probe takes no offset: it belongs to the function's entry".to_owned());
                }
                let image = binary.image()?;
                let function = symbol::find(&image, name)?;
                let file_offset = function.file_offset.checked_add(self.offset).ok_or_else(beyond)?;
                if function.size != 0 && self.offset >= function.size {
                    return Err(format!(
                        "the offset {:#x} is beyond its end: it has {:#x} bytes",
                        self.offset, function.size
                    ));
                }
                image.check_file_offset(file_offset)?;
                Ok(file_offset)
            }
            Location::VirtualAddress(address) => {
                let address = address.checked_add(self.offset).ok_or_else(beyond)?;
                binary.image()?.head.code(address)
            }
            Location::FileOffset(file_offset) => file_offset.checked_add(self.offset).ok_or_else(beyond),
        }
    }

    /// Attaches `program`.
    ///
    /// # Errors
    ///
    /// As [`Uprobe::locate`]; [`Error::Symbol`] also if the offset is in no executable segment of its ELF file;
    /// [`Error::Syscall`] if the kernel refuses.
    #[doc(alias = "bpf_program__attach_uprobe_opts")]
    pub fn attach(&self, program: &Program) -> Result<Link, Error> {
        let (binary, file_offset) = self.open()?;
        if let Location::FileOffset(_) = self.location {
            binary.check_file_offset(file_offset).map_err(|why| Error::Symbol {
                symbol: format!("file offset {file_offset:#x}"),
                library: binary.path.display().to_string(),
                why,
            })?;
        }
        let link = self.attach_at(program, &binary, file_offset)?;
        binary.check_unchanged()?;
        Ok(link)
    }

    /// Attaches `program` at this file offset.
    pub(super) fn attach_at(&self, program: &Program, binary: &Binary, file_offset: u64) -> Result<Link, Error> {
        let path = &binary.path;
        let what =
            format!("{}`{}` in {}", if self.retprobe { "the return of " } else { "" }, self.location, path.display());
        let attempt = || format!("put a probe on {what}");

        let pmu = Pmu::uprobe().map_err(|error| match error.raw_os_error() {
            Some(_) => Error::kernel(attempt(), &error),
            // The same for every function and file: the programs of an object share this reason.
            None => {
                Error::Invalid { operation: "put a probe on a function of a file".to_owned(), why: error.to_string() }
            }
        })?;
        let c_path = CString::new(path.as_os_str().as_bytes())
            .map_err(|_| Error::Invalid { operation: attempt(), why: "its path holds a NUL byte".to_owned() })?;
        /// `PERF_UPROBE_REF_CTR_OFFSET_SHIFT`: the upper half of `config`.
        const LISTENERS_SHIFT: u32 = 32;
        let config = pmu.config(self.retprobe) | u64::from(self.ref_ctr_offset) << LISTENERS_SHIFT;
        let probe = Event::Uprobe { event_type: pmu.event_type, config, path: &c_path, offset: file_offset };
        let why = "puts the probe at an offset of the file, as an event that a program can be attached to";
        let event = perf_event::open(probe, self.pid.map_or(Scope::Everybody, Scope::Process), why)
            .map_err(|error| refused(attempt(), &error, self.pid))?;
        Link::on_event(program, event, self.cookie, &what)
    }
}

impl std::fmt::Display for Location {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Symbol(name) => f.write_str(name),
            Self::VirtualAddress(address) => write!(f, "{address:#x}"),
            Self::FileOffset(file_offset) => write!(f, "file offset {file_offset:#x}"),
        }
    }
}

/// Returns the error of a probe that the kernel refuses.
pub(super) fn refused(attempt: String, error: &io::Error, pid: Option<u32>) -> Error {
    // Opening a uprobe as a perf event needs more privileges than any other event (`perf_uprobe_event_init`).
    let plain = Error::kernel(attempt, error).wanting(&[Capability::SYS_ADMIN]);
    match (error.raw_os_error(), pid) {
        (Some(libc::ESRCH), Some(pid)) => plain.advise(&match process_of(pid) {
            Some(process) if process != pid => format!("{pid} is a thread of the process {process}: pass that"),
            _ => format!("there is no process {pid}"),
        }),
        (Some(libc::EINVAL), _) => plain.advise("does an instruction start at that offset, in an executable segment?"),
        (Some(libc::ENOTSUP), _) => plain.advise("the kernel cannot put a probe on that instruction"),
        _ => plain,
    }
}

/// Returns the process that a thread belongs to.
fn process_of(thread: u32) -> Option<u32> {
    let status = fs::read(format!("/proc/{thread}/status")).ok()?;
    let line = status.split(|&byte| byte == b'\n').find_map(|line| line.strip_prefix(b"Tgid:"))?;
    str::from_utf8(line).ok()?.trim().parse().ok()
}
