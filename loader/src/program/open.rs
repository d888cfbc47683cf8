//! Opens programs that are already in the kernel: by a pin, an id, or an fd.
//!
//! The kernel reports a program's type and its target in BTF, but not its attach type (`expected_attach_type` is not in
//! `struct bpf_prog_info`), nor whether it may sleep. Most program types have one attach type, or take any. For
//! the others the caller gives the section's name: [`Program::set_section`].

use std::{
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

use super::{Program, opened_target};
use crate::{
    Error, Section, Target,
    object::ProgramSpec,
    pin,
    sys::{attr::ProgInfo, fdinfo::fdinfo, prog_info},
};
#[cfg(feature = "system")]
use crate::{privileges::ONLY_BY_ROOT, sys::ids};

impl Program {
    /// Opens the program that is pinned at `path`. Its name is the kernel's, at most 15 bytes; the pin's file name if
    /// it has none.
    ///
    /// The program can be attached as far as the kernel describes it. [`Program::set_section`] adds what it does not
    /// describe. For a program with a target in BTF (`fentry`, `lsm` …), this reads the kernel's BTF to name it.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), cutaway::Error> {
    /// use cutaway::{AttachContext, Program};
    ///
    /// let mut connect = Program::from_pin("/sys/fs/bpf/connect")?;
    /// connect.set_section("cgroup/connect4")?;
    /// let link = connect.attach_with(&AttachContext::new().cgroup_path("/sys/fs/cgroup/mine"))?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Syscall`]: ENOENT if nothing is pinned there, EPERM without privileges, EINVAL if the file is not in a
    /// BPF file system; [`Error::Invalid`] if it is not a program.
    #[doc(alias("BPF_OBJ_GET", "bpf_obj_get", "LoadPinnedProgram"))]
    pub fn from_pin(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let attempt = format!("open the program pinned at {}", path.display());
        let program =
            pin::open(path, "opens a pinned program").map_err(|error| pin::failed(attempt.clone(), &error))?;
        let mut program = Self::opened(program, &attempt)?;
        if program.name().is_empty() {
            program.spec_mut().name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        }
        Ok(program)
    }

    /// Opens the program with this id, whichever process loaded it; otherwise as [`Program::from_pin`].
    ///
    /// Needs CAP_SYS_ADMIN, and Linux 4.13.
    ///
    /// Needs this crate's feature `system`.
    ///
    /// # Errors
    ///
    /// [`Error::Syscall`]: ENOENT if there is no such program, or no longer; EPERM without privileges.
    #[cfg(feature = "system")]
    #[doc(alias("BPF_PROG_GET_FD_BY_ID", "bpf_prog_get_fd_by_id", "NewProgramFromID"))]
    pub fn from_id(id: u32) -> Result<Self, Error> {
        let attempt = format!("open the program with the id {id}");
        let program = ids::open(ids::Kind::Program, id, "opens a program by its id").map_err(|error| {
            let plain = Error::kernel(attempt.clone(), &error);
            match error.raw_os_error() {
                Some(libc::ENOENT) => plain.advise("there is no such program, or it no longer exists"),
                Some(libc::EPERM) => plain.advise(ONLY_BY_ROOT),
                _ => plain,
            }
        })?;
        Self::opened(program, &attempt)
    }

    /// Takes the fd of a program, for example one that another process has sent; otherwise as [`Program::from_pin`].
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if it is not the fd of a program; the fd is closed.
    #[doc(alias("NewProgramFromFD", "bpf_prog_get_info_by_fd"))]
    pub fn from_fd(fd: OwnedFd) -> Result<Self, Error> {
        Self::opened(fd, "use a file descriptor as a program")
    }

    fn opened(program: OwnedFd, attempt: &str) -> Result<Self, Error> {
        let unfit = |why: &str| Error::Invalid { operation: attempt.to_owned(), why: why.to_owned() };
        // The kernel would describe a map or link by the structure for maps or links, which looks like a program's.
        let about = fdinfo(program.as_fd())
            .map_err(|error| unfit(&format!("cannot read /proc/self/fdinfo, which tells what it is: {error}")))?;
        let is = |field: &str| about.lines().any(|line| line.starts_with(field));
        if !is("prog_type:") {
            return Err(unfit(if is("map_type:") {
                "it is a map, not a program"
            } else if is("link_type:") {
                "it is a link, not a program"
            } else {
                "it is not a BPF program"
            }));
        }
        let info = prog_info::plain(program.as_fd(), "reads the type and the name of a program")
            .map_err(|error| Error::kernel(attempt, &error))?
            .info;
        Ok(Self::new(
            spec(&info),
            program,
            #[cfg(feature = "usdt")]
            None,
        ))
    }

    /// Names the section of a program that was opened by a pin, an id or an fd: `cgroup/connect4`,
    /// `uprobe.multi/libc.so.6:mem*`. It gives the attach type and the target that the kernel does not report.
    ///
    /// The name must be the one that the program was loaded with, as far as the attach type is concerned: the kernel
    /// refuses to attach it otherwise. The functions `attach` and [`Program::test_run`] then take the program as if it
    /// had just been loaded.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if the name gives no program type, or another one than the program's; or if it names another
    /// function, hook or tracepoint than the one in BTF for which the program was verified.
    #[doc(alias("bpf_program__set_expected_attach_type", "bpf_program__set_attach_target"))]
    pub fn set_section(&mut self, name: &str) -> Result<(), Error> {
        let unfit = |why: String| Error::Invalid {
            operation: format!("attach the program `{}` as SEC(\"{name}\")", self.name()),
            why,
        };
        let Some(mut section) = Section::named(name) else {
            return Err(unfit("the section's name gives no known program type".to_owned()));
        };
        let known = &self.spec().section;
        if section.program_type != known.program_type {
            return Err(unfit(format!(
                "it is a program of the type {}, and such sections are of the type {}",
                known.program_type, section.program_type
            )));
        }
        match (&section.target, &known.target) {
            (Some(Target::Btf { name: asked }), Some(Target::Btf { name: verified })) if asked != verified => {
                return Err(unfit(format!("it was verified for `{verified}`")));
            }
            (None, Some(target @ Target::Btf { .. })) => section.target = Some(target.clone()),
            _ => {}
        }
        let spec = self.spec_mut();
        name.clone_into(&mut spec.section_name);
        spec.section = section;
        Ok(())
    }
}

/// Describes a program as far as the kernel does.
fn spec(info: &ProgInfo) -> ProgramSpec {
    let mut section = Section::of_kernel(info.prog_type);
    if info.attach_btf_id != 0 {
        opened_target::find(info.attach_btf_obj_id, info.attach_btf_id, &mut section);
    }
    ProgramSpec::of_kernel(info.name.to_string(), section)
}
