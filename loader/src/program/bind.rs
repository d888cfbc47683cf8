//! Maps that belong to a program although no instruction refers to them.

use std::os::fd::{AsFd, BorrowedFd};

use super::Program;
use crate::{Error, Map, sys::program};

impl Program {
    #[cfg(feature = "load-options")]
    /// Binds maps to the program that the kernel did not take together with it.
    pub(super) fn bind(&self, maps: &[BorrowedFd<'_>]) -> Result<(), Error> {
        maps.iter().try_for_each(|map| self.bind_fd(*map, "a map"))
    }

    /// Keeps `map` in the kernel as long as this program, although no instruction refers to it. Observers find the map
    /// by the program, as `bpftool prog show` finds constants with names `bpf_metadata_…`. Binding it again has no
    /// effect. Linux 5.10. [`LoadOptions::bind_map`](crate::LoadOptions::bind_map) binds maps to all programs of an
    /// object.
    ///
    /// # Errors
    ///
    /// [`Error::Syscall`]: EINVAL before Linux 5.10.
    #[doc(alias("BPF_PROG_BIND_MAP", "bpf_prog_bind_map", "Program.BindMap"))]
    pub fn bind_map(&self, map: &Map) -> Result<(), Error> {
        self.bind_fd(map.as_fd(), &format!("the map `{}`", map.name()))
    }

    fn bind_fd(&self, map: BorrowedFd<'_>, what: &str) -> Result<(), Error> {
        let why = "keeps the map in the kernel as long as the program";
        program::bind_map(self.as_fd(), map, why).map_err(|error| {
            let attempt = format!("bind {what} to the program `{}`", self.name());
            let plain = Error::kernel(attempt, &error);
            match error.raw_os_error() {
                Some(libc::EINVAL) => plain.advise("BPF_PROG_BIND_MAP exists since Linux 5.10"),
                _ => plain,
            }
        })
    }

    /// Associates the program with a `struct_ops` map: kfuncs of that subsystem, which the program calls, then work on
    /// the structure of this map. The association lasts as long as the program. A program of the type `struct_ops` is
    /// associated by the map that it is part of. Linux 7.0.
    ///
    /// # Errors
    ///
    /// [`Error::Syscall`]: EBUSY if the program is associated with another map; EINVAL if the map is not of the type
    /// `struct_ops`, if the program is, or before Linux 7.0.
    #[doc(alias("BPF_PROG_ASSOC_STRUCT_OPS", "bpf_program__assoc_struct_ops", "bpf_prog_assoc_struct_ops"))]
    pub fn associate_struct_ops(&self, map: &Map) -> Result<(), Error> {
        let why = "associates the program with the structure of a subsystem";
        program::associate_struct_ops(self.as_fd(), map.as_fd(), why).map_err(|error| {
            let attempt = format!("associate the program `{}` with the map `{}`", self.name(), map.name());
            let plain = Error::kernel(attempt, &error);
            match error.raw_os_error() {
                Some(libc::EINVAL) => plain
                    .advise("is the map of the type struct_ops, and the program of another type? This needs Linux 7.0"),
                Some(libc::EBUSY) => plain.advise("the program is associated with another map"),
                _ => plain,
            }
        })
    }
}
