//! Attaches programs to uprobes. A uprobe is a breakpoint in a file, for one process or for all processes that run the
//! file.
//!
//! The kernel does not read the symbols of user files. It takes a file and a file offset, and puts a breakpoint on the
//! instruction at this offset in every address space that maps the file. The program runs when a thread reaches the
//! breakpoint.
//!
//! A return probe is a breakpoint on the function's *entry*. When a thread reaches the breakpoint, the kernel replaces
//! the function's return address by the address of a trampoline. On x86 the return address is on the stack, on aarch64
//! in the link register. The program runs when the function returns to the trampoline (`kernel/events/uprobes.c`,
//! `kernel/trace/trace_uprobe.c`).

use std::{
    ffi::{CString, OsStr},
    fs, io,
    os::unix::ffi::OsStrExt,
    path::PathBuf,
};

use cutaway_sys::errno::ENOTSUPP;

use super::{Link, image::Binary, library::Library, pmu::Pmu, symbol};
use crate::{
    Error, Program,
    privileges::Capability,
    sys::perf_event::{self, Event, Scope},
};

/// A function in a library or executable to attach to, or an instruction in it. Linux 4.17.
///
/// The program must be of the type `KPROBE`, which the sections `uprobe` and `uretprobe` give. [`Uprobe::attach`] and
/// [`Uprobe::locate`] search for the file and open it; the methods that build this value do not. Dropping the returned
/// [`Link`] detaches the program.
///
/// Attaching needs `CAP_SYS_ADMIN` before Linux 5.8, from Linux 6.16 on, and on stable kernels since July 2025. On all
/// other kernels `CAP_PERFMON` suffices.
///
/// `Send` and `Sync`.
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
    /// `library` is a path or a name without a slash. The kernel gets a path unchanged, so the path may lead through
    /// `/proc/PID/root`, `/proc/PID/map_files` or `/proc/self/fd`. A name is searched for in this order:
    ///
    /// 1. the files that this process has mapped;
    /// 2. the directories in `LD_LIBRARY_PATH`;
    /// 3. `/etc/ld.so.cache`;
    /// 4. the dynamic loader's default directories;
    /// 5. if the name has no `.so`, the directories in `PATH`.
    ///
    /// `symbol` may have a version (`getaddrinfo@GLIBC_2.2.5`). Without a version it means the default version. If
    /// several functions have the same name and exactly one of them is global, the name selects the global function.
    /// Otherwise add an address to the name, as in `name@0x1234`. An address alone (`0x1234`) is the same as
    /// [`Uprobe::at_virtual_address`].
    ///
    /// A stripped file has no full symbol table. Its symbols are then read from these sources:
    ///
    /// - the compressed section `.gnu_debugdata` of the file (feature `debugdata`);
    /// - the debug file below `/usr/lib/debug` that the file's build id names;
    /// - the debug file that the section `.gnu_debuglink` names.
    #[must_use]
    pub fn new(library: impl AsRef<OsStr>, symbol: &str) -> Self {
        match symbol::address(symbol) {
            Some(address) => Self::at_virtual_address(library, address),
            None => Self::at(library, Location::Symbol(symbol.to_owned())),
        }
    }

    /// Selects the instruction at the ELF virtual address `address`, as `nm` and `objdump -d` show it. It is the
    /// instruction's address in a process minus the load bias. The load bias is the address at which the process has
    /// mapped the file minus the address in the file.
    #[doc(alias("from_virtual_address", "UprobeOptions.Address"))]
    #[must_use]
    pub fn at_virtual_address(library: impl AsRef<OsStr>, address: u64) -> Self {
        Self::at(library, Location::VirtualAddress(address))
    }

    /// Selects the instruction at `file_offset`, in bytes from the start of the file.
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

    /// Resolves the library as the process `pid` sees it. A path is resolved in the root directory of the process,
    /// which differs from the caller's if the process is in a container. A name without a slash is searched for first
    /// among the files that the process has mapped, and then in the same locations as the process's dynamic loader
    /// searches.
    ///
    /// This does not restrict the probe to the process: see [`Uprobe::pid`].
    #[must_use]
    pub fn resolve_in_process(mut self, pid: u32) -> Self {
        self.file.resolve_in_process = Some(pid);
        self
    }

    /// Attaches `offset` bytes after the selected instruction. Another instruction must begin there.
    ///
    /// [`Uprobe::locate`] and [`Uprobe::attach`] return [`Error::Symbol`] if the symbol has a size and the offset is
    /// beyond the function's end. They also return this error for a return probe on a symbol if the offset is not 0.
    #[doc(alias = "func_offset")]
    #[must_use]
    pub fn offset(mut self, offset: u64) -> Self {
        self.offset = offset;
        self
    }

    /// Attaches to the function's return if `retprobe` is true, and to its entry if it is false, the default.
    #[doc(alias = "uretprobe")]
    #[must_use]
    pub fn retprobe(mut self, retprobe: bool) -> Self {
        self.retprobe = retprobe;
        self
    }

    /// Attaches for the process `pid` only, with all its threads. The program does not run in children that the process
    /// forks.
    ///
    /// A child that was just started may still have the address space of the caller: the kernel resumes the parent of
    /// vfork(2), which `std::process::Command` and posix_spawn(3) use, before it gives the child its own. Wait for a
    /// sign of the child, such as output, before attaching: until then the program runs in the caller.
    ///
    /// Before Linux 6.12 the program of a return probe also runs in other processes, if another probe of the same
    /// function is attached for them.
    #[must_use]
    pub fn pid(mut self, pid: u32) -> Self {
        self.pid = Some(pid);
        self
    }

    /// Sets the cookie, a number that the program reads with `bpf_get_attach_cookie`. Linux 5.15: on an older kernel
    /// [`Uprobe::attach`] returns [`Error::Invalid`] if the cookie is not 0.
    #[doc(alias = "bpf_cookie")]
    #[must_use]
    pub fn cookie(mut self, cookie: u64) -> Self {
        self.cookie = cookie;
        self
    }

    /// Sets the file offset, in bytes, of a 16-bit counter in the probed file (`ref_ctr_offset`, Linux 4.20). In each
    /// process, the kernel adds 1 to the counter for each breakpoint that it inserts. Several probes at one address
    /// share a breakpoint. The probed program can read the counter, for example to skip work that only a probe needs.
    /// USDT probes have such counters, called semaphores.
    #[doc(alias("RefCtrOffset", "semaphore"))]
    #[must_use]
    pub fn ref_ctr_offset(mut self, file_offset: u32) -> Self {
        self.ref_ctr_offset = file_offset;
        self
    }

    /// Returns the file and the file offset, in bytes, of the probe. Needs no privileges, unless
    /// [`Uprobe::resolve_in_process`] names another process.
    ///
    /// # Errors
    ///
    /// - [`Error::Library`] if there is no such file.
    /// - [`Error::Symbol`] if the file cannot be read, has no such function, or has several of that name.
    /// - [`Error::Symbol`] if no executable segment of the file contains the offset, or if the file cannot run on this
    ///   machine: it is a `.debug` file, an object file, a core dump or for another machine. `locate` does not check
    ///   the offset of [`Uprobe::at_file_offset`]; [`Uprobe::attach`] checks it.
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
                // The kernel replaces the return address where it is at the function's entry. Later in the function
                // that stack slot or register has other data.
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
    /// The errors of [`Uprobe::locate`], and:
    ///
    /// - [`Error::Symbol`] if the file is an ELF file, and the offset of [`Uprobe::at_file_offset`] is in none of its
    ///   executable segments.
    /// - [`Error::Library`] if another process replaced the file, or wrote to it, during the call.
    /// - [`Error::Invalid`] if the kernel has no uprobes (`CONFIG_UPROBE_EVENTS`), if the path contains a NUL byte, or
    ///   if a cookie is set before Linux 5.15.
    /// - [`Error::Syscall`] if the kernel refuses: EPERM or EACCES if privileges are missing, ESRCH if the process of
    ///   [`Uprobe::pid`] does not exist, ENOTSUPP (on aarch64 EINVAL) if the instruction cannot have a probe.
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

    /// Attaches `program` at `file_offset`.
    pub(super) fn attach_at(&self, program: &Program, binary: &Binary, file_offset: u64) -> Result<Link, Error> {
        let path = &binary.path;
        let what =
            format!("{}`{}` in {}", if self.retprobe { "the return of " } else { "" }, self.location, path.display());
        let attempt = || format!("put a probe on {what}");

        let pmu = Pmu::uprobe().map_err(|error| match error.raw_os_error() {
            Some(_) => Error::kernel(attempt(), &error),
            // The message names no function, so that equal reasons of several programs are listed once.
            None => {
                Error::Invalid { operation: "put a probe on a function of a file".to_owned(), why: error.to_string() }
            }
        })?;
        let c_path = CString::new(path.as_os_str().as_bytes())
            .map_err(|_| Error::Invalid { operation: attempt(), why: "its path holds a NUL byte".to_owned() })?;
        /// `PERF_UPROBE_REF_CTR_OFFSET_SHIFT`: the upper half of `config`.
        const REF_CTR_OFFSET_SHIFT: u32 = 32;
        let config = pmu.config(self.retprobe) | u64::from(self.ref_ctr_offset) << REF_CTR_OFFSET_SHIFT;
        let probe = Event::Uprobe { event_type: pmu.event_type, config, path: &c_path, offset: file_offset };
        let why = "puts the probe at an offset of the file, as an event that a program can be attached to";
        let event = perf_event::open(probe, self.pid.map_or(Scope::AllProcesses, Scope::Process), why)
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
    // Since Linux 6.16, and in stable releases of older kernels since July 2025, opening a uprobe as a perf event needs
    // `CAP_SYS_ADMIN` (`perf_uprobe_event_init`).
    let plain = Error::kernel(attempt, error).wanting(&[Capability::SYS_ADMIN]);
    match (error.raw_os_error(), pid) {
        (Some(libc::ESRCH), Some(pid)) => plain.advise(&match process_of(pid) {
            Some(process) if process != pid => format!("{pid} is a thread of the process {process}: pass that"),
            _ => format!("there is no process {pid}"),
        }),
        // On aarch64, `arch_uprobe_analyze_insn` also returns EINVAL for an instruction that cannot have a probe.
        (Some(libc::EINVAL), _) => {
            plain.advise("does an instruction that can have a probe start at that offset, in an executable segment?")
        }
        (Some(libc::ENOTSUP | ENOTSUPP), _) => plain.advise("the kernel cannot put a probe on that instruction"),
        _ => plain,
    }
}

/// Returns the process that a thread belongs to.
fn process_of(thread: u32) -> Option<u32> {
    let status = fs::read(format!("/proc/{thread}/status")).ok()?;
    let line = status.split(|&byte| byte == b'\n').find_map(|line| line.strip_prefix(b"Tgid:"))?;
    str::from_utf8(line).ok()?.trim().parse().ok()
}
