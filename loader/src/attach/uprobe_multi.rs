//! Attaches to many locations in one file by one link.
//!
//! One link (`BPF_TRACE_UPROBE_MULTI`, Linux 6.6) probes thousands of functions without a perf event for each, and
//! needs no fd but its own (`kernel/trace/bpf_trace.c`). A program of the section `uprobe.session` (6.13) runs on entry
//! and on return. Its return value on entry decides whether it also runs on return.

use std::{
    ffi::{CString, OsStr},
    fs::File,
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::PathBuf,
    sync::Arc,
};

use log::debug;

use cutaway_sys::{AttachType, fd};

use super::{Link, Uprobe, image::Binary, library::Library, pattern, symbol, uprobe::refused};
use crate::{
    Error, Program,
    features::{self, Support},
    sys::link::{self, ProbedFile, UprobeOffsets},
};

/// All functions of a library or executable that match a pattern, or a list of file offsets.
///
/// The program's section is `uprobe.multi`, `uretprobe.multi` or `uprobe.session`. On kernels without such links each
/// location costs a perf event.
///
/// Kernel source: `kernel/trace/bpf_trace.c`.
///
/// Needs this crate's feature `uprobe`.
#[doc(alias("bpf_program__attach_uprobe_multi", "BPF_TRACE_UPROBE_MULTI"))]
#[derive(Debug, Clone)]
pub struct UprobeMulti {
    file: Library,
    /// The open file that the caller has passed instead of a name.
    open: Option<Arc<OwnedFd>>,
    which: Which,
    retprobe: bool,
    pid: Option<u32>,
    cookies: Vec<u64>,
    /// The cookie of all locations without one of their own.
    cookie: u64,
    ref_ctr_offsets: Vec<u64>,
}

#[derive(Debug, Clone)]
enum Which {
    Pattern(String),
    Offsets(Vec<u64>),
}

impl UprobeMulti {
    /// Selects the functions of `library` whose names match `pattern`: `*` matches any text, `?` one character. A
    /// pattern without either is a symbol as for [`Uprobe::new`]. The symbols of a stripped file are searched for
    /// outside of it only if nothing in the file itself matches.
    #[must_use]
    pub fn new(library: impl AsRef<OsStr>, pattern: &str) -> Self {
        Self::at(library, Which::Pattern(pattern.to_owned()))
    }

    /// Attaches at these file offsets, in bytes from the start of the file.
    #[must_use]
    pub fn at_file_offsets(library: impl AsRef<OsStr>, offsets: &[u64]) -> Self {
        Self::at(library, Which::Offsets(offsets.to_vec()))
    }

    /// Selects the functions of an open file like [`UprobeMulti::new`]. The file may be deleted, or not visible in this
    /// process's file system.
    ///
    /// The kernel takes the fd itself since Linux 7.2 (`BPF_F_UPROBE_MULTI_PATH_FD`). On older kernels it takes the
    /// path `/proc/self/fd/N`, for which procfs must be mounted.
    #[doc(alias("BPF_F_UPROBE_MULTI_PATH_FD", "path_fd"))]
    #[must_use]
    pub fn in_open_file(file: impl Into<OwnedFd>, pattern: &str) -> Self {
        Self::at_open(file.into(), Which::Pattern(pattern.to_owned()))
    }

    /// Attaches at these file offsets of an open file, in bytes from its start; otherwise like
    /// [`UprobeMulti::in_open_file`].
    #[must_use]
    pub fn at_open_file_offsets(file: impl Into<OwnedFd>, offsets: &[u64]) -> Self {
        Self::at_open(file.into(), Which::Offsets(offsets.to_vec()))
    }

    fn at_open(file: OwnedFd, which: Which) -> Self {
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        Self { open: Some(Arc::new(file)), ..Self::at(path, which) }
    }

    fn at(library: impl AsRef<OsStr>, which: Which) -> Self {
        Self {
            file: Library::new(library),
            open: None,
            which,
            retprobe: false,
            pid: None,
            cookies: Vec::new(),
            cookie: 0,
            ref_ctr_offsets: Vec::new(),
        }
    }

    /// As [`Uprobe::resolve_in_process`].
    #[must_use]
    pub fn resolve_in_process(mut self, pid: u32) -> Self {
        self.file.resolve_in_process = Some(pid);
        self
    }

    /// Attaches to the functions' returns instead of their entries.
    #[must_use]
    pub fn retprobe(mut self, retprobe: bool) -> Self {
        self.retprobe = retprobe;
        self
    }

    /// Attaches for one process only, with all its threads. As [`Uprobe::pid`](crate::Uprobe::pid).
    #[must_use]
    pub fn pid(mut self, pid: u32) -> Self {
        self.pid = Some(pid);
        self
    }

    /// Sets the cookie, a number that the program reads with `bpf_get_attach_cookie`, the same for every location.
    #[must_use]
    pub fn cookie(mut self, cookie: u64) -> Self {
        self.cookie = cookie;
        self
    }

    /// Sets one cookie for each location, in the order of [`UprobeMulti::locate`]. The program reads them with
    /// `bpf_get_attach_cookie`.
    #[must_use]
    pub fn cookies(mut self, cookies: &[u64]) -> Self {
        self.cookies = cookies.to_vec();
        self
    }

    /// Sets the file offsets, in bytes, of the 16-bit counters of attached probes, one for each location in the order
    /// of [`UprobeMulti::locate`]; 0 for a location without one. See [`Uprobe::ref_ctr_offset`].
    #[must_use]
    pub fn ref_ctr_offsets(mut self, offsets: &[u64]) -> Self {
        self.ref_ctr_offsets = offsets.to_vec();
        self
    }

    /// Returns the file and the file offsets, in bytes: ascending for a pattern, in the given order for a list.
    ///
    /// # Errors
    ///
    /// [`Error::Library`] if there is no such file; [`Error::Symbol`] if nothing in it matches, or it has no code that
    /// can run here.
    pub fn locate(&self) -> Result<(PathBuf, Vec<u64>), Error> {
        let (binary, offsets) = self.open()?;
        Ok((binary.path, offsets))
    }

    fn open(&self) -> Result<(Binary, Vec<u64>), Error> {
        let symbol: Option<&dyn std::fmt::Display> = match &self.which {
            Which::Pattern(name) => Some(name),
            Which::Offsets(_) => None,
        };
        let binary = match &self.open {
            None => Binary::open(self.file.find()?, symbol)?,
            Some(open) => {
                let path = PathBuf::from(&self.file.name);
                let own = fd::duplicate(open.as_fd(), "duplicates the file's fd, to read its symbols");
                let own = own.map_err(|error| Error::kernel(format!("read {}", path.display()), &error))?;
                Binary::opened(File::from(own), path, symbol)?
            }
        };
        let offsets = match &self.which {
            Which::Offsets(offsets) => offsets.clone(),
            Which::Pattern(name) => function_offsets(&binary, name).map_err(|why| Error::Symbol {
                symbol: name.clone(),
                library: binary.path.display().to_string(),
                why,
            })?,
        };
        Ok((binary, offsets))
    }

    /// Attaches `program`: by one link if it was loaded for that, otherwise (older kernels) by a perf event for each
    /// location.
    ///
    /// # Errors
    ///
    /// As [`UprobeMulti::locate`]; [`Error::Invalid`] if there are more or fewer cookies or counters than offsets;
    /// [`Error::Syscall`] if the kernel refuses.
    pub fn attach(&self, program: &Program) -> Result<Link, Error> {
        let (binary, offsets) = self.open()?;
        let what = format!(
            "{}{} locations in {}",
            if self.retprobe { "the returns of " } else { "" },
            offsets.len(),
            binary.path.display()
        );
        if let Which::Offsets(offsets) = &self.which {
            for &file_offset in offsets {
                binary.check_file_offset(file_offset).map_err(|why| Error::Symbol {
                    symbol: format!("file offset {file_offset:#x}"),
                    library: binary.path.display().to_string(),
                    why,
                })?;
            }
        }
        self.attach_at(program, &binary, &offsets, &what)
    }

    /// Attaches `program` at these file offsets.
    pub(super) fn attach_at(
        &self,
        program: &Program,
        binary: &Binary,
        offsets: &[u64],
        what: &str,
    ) -> Result<Link, Error> {
        let link = self.attach_all(program, binary, offsets, what)?;
        binary.check_unchanged()?;
        Ok(link)
    }

    fn attach_all(&self, program: &Program, binary: &Binary, offsets: &[u64], what: &str) -> Result<Link, Error> {
        let attempt = || format!("put probes on {what}");
        let unfit = |why: String| Error::Invalid { operation: attempt(), why };
        for (name, given) in [("cookies", &self.cookies), ("counters", &self.ref_ctr_offsets)] {
            if !given.is_empty() && given.len() != offsets.len() {
                return Err(unfit(format!("{} {name} are given", given.len())));
            }
        }
        let kind = program.spec().section.expected_attach_type;
        if !matches!(kind, AttachType::TRACE_UPROBE_MULTI | AttachType::TRACE_UPROBE_SESSION) {
            return self.each(program, binary, offsets, what);
        }
        if self.pid.is_some() {
            let answer = Support::probed_or_since(features::uprobe_multi_pid, 6, 10);
            if !answer.is_yes() {
                return Err(unfit(format!("restricting a link on many locations to one process is {answer}")));
            }
        }
        let c_path = CString::new(binary.path.as_os_str().as_bytes())
            .map_err(|_| unfit("its path holds a NUL byte".to_owned()))?;
        let same = if self.cookie == 0 { Vec::new() } else { vec![self.cookie; offsets.len()] };
        let cookies = if self.cookies.is_empty() { &same } else { &self.cookies };
        let file = match &self.open {
            Some(open) if Support::probed_or_since(features::uprobe_multi_fd, 7, 2).is_yes() => {
                ProbedFile::Fd(open.as_fd())
            }
            _ => ProbedFile::Path(&c_path),
        };
        let locations = UprobeOffsets { file, offsets, ref_ctr_offsets: &self.ref_ctr_offsets, cookies };
        let why = "puts probes at all these offsets of the file, and attaches the program to them";
        link::create_uprobe_multi(program.as_fd(), kind, self.retprobe, locations, self.pid.unwrap_or(0), why)
            .map(|link| Link::kernels(program, what, link))
            .map_err(|error| match (error.raw_os_error(), kind) {
                (Some(libc::EINVAL), AttachType::TRACE_UPROBE_SESSION) => {
                    Error::kernel(attempt(), &error).advise("sessions need Linux 6.13")
                }
                _ => refused(attempt(), &error, self.pid),
            })
    }

    fn each(&self, program: &Program, binary: &Binary, offsets: &[u64], what: &str) -> Result<Link, Error> {
        debug!("`{}` is attached to {what} by a perf event each", program.name());
        let unfit = |why: &str| Error::Invalid { operation: format!("put probes on {what}"), why: why.to_owned() };
        let each = offsets.iter().enumerate().map(|(index, &file_offset)| {
            let ref_ctr_offset = self.ref_ctr_offsets.get(index).copied().unwrap_or(0);
            let ref_ctr_offset = u32::try_from(ref_ctr_offset)
                .map_err(|_| unfit("its counter is beyond the first 4 GiB of the file"))?;
            let mut probe = Uprobe::at_file_offset(&binary.path, file_offset)
                .retprobe(self.retprobe)
                .ref_ctr_offset(ref_ctr_offset);
            if let Some(pid) = self.pid {
                probe = probe.pid(pid);
            }
            probe.cookie(self.cookies.get(index).copied().unwrap_or(self.cookie)).attach_at(
                program,
                binary,
                file_offset,
            )
        });
        Ok(Link::several(program, what, each.collect::<Result<_, _>>()?))
    }
}

/// Returns the file offsets of the functions that a pattern or a symbol selects.
fn function_offsets(binary: &Binary, name: &str) -> Result<Vec<u64>, String> {
    let image = binary.image()?;
    if pattern::is_pattern(name) {
        return Ok(symbol::matching(&image, name)?.into_keys().collect());
    }
    match symbol::address(name) {
        Some(address) => image.head.code(address),
        None => symbol::find(&image, name).map(|function| function.file_offset),
    }
    .map(|byte| vec![byte])
}
