//! Lists the maps, programs and links of the whole machine, the processes that hold them, and their pins.
//!
//! ```text
//!     maps()  programs()  links()  by id, in ascending order                            CAP_SYS_ADMIN
//!     open_fds()  /proc/PID/fd     a process with an fd of a map or perf event          the right to trace it
//!     pins()      bpf file systems a file that keeps a map alive                        the right to read the file
//! ```
//!
//! Listing changes nothing, except that an open fd keeps its object alive. The list is not atomic: objects may be
//! created and freed while the kernel is queried, and those that are freed meanwhile are skipped.

mod holders;
mod links;
mod pins;
mod walk;

use std::os::fd::AsFd;

use self::walk::walk;
pub use self::{
    holders::{FdKind, FdOwner, OpenFds, open_fds},
    links::links,
    pins::{Pin, pins},
};
use crate::{
    Error, Map, ProgramType,
    sys::{
        btf,
        ids::{self, Kind},
        prog_info,
    },
};

/// A loaded program, as the kernel describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
#[doc(alias = "bpf_prog_info")]
pub struct ProgramEntry {
    /// The program id.
    pub id: u32,
    /// The first 15 bytes of its name; may be empty.
    pub name: String,
    /// The program type.
    pub program_type: ProgramType,
    /// The user who loaded it.
    pub uid: u32,
    /// The ids of the maps that its instructions refer to.
    pub maps: Vec<u32>,
    /// The id of the BTF that it was loaded with ([`btf_by_id`]); `None` without BTF. Linux 5.0.
    pub btf: Option<u32>,
}

/// Opens every map on the machine, in ascending order of ids.
///
/// Needs CAP_SYS_ADMIN, and Linux 4.13. Drop the maps that are not needed: each is an open fd.
///
/// # Errors
///
/// An item is [`Error::Syscall`] if the kernel refuses (EPERM without privileges); it is the last item.
#[doc(alias("BPF_MAP_GET_NEXT_ID", "bpf_map_get_next_id"))]
pub fn maps() -> impl Iterator<Item = Result<Map, Error>> {
    walk(Kind::Map, "walk over the maps of this machine").filter_map(|id| match id.and_then(Map::from_id) {
        // The map was freed after its id was returned.
        Err(error) if error.errno().is_some_and(|errno| errno.raw() == libc::ENOENT) => None,
        map => Some(map),
    })
}

/// Returns every loaded program, in ascending order of ids.
///
/// Needs CAP_SYS_ADMIN, and Linux 4.13.
///
/// # Errors
///
/// As for [`maps`].
#[doc(alias("BPF_PROG_GET_NEXT_ID", "bpf_prog_get_next_id", "loaded_programs"))]
pub fn programs() -> impl Iterator<Item = Result<ProgramEntry, Error>> {
    walk(Kind::Program, "walk over the programs of this machine").filter_map(|id| match id.and_then(program) {
        Err(error) if error.errno().is_some_and(|errno| errno.raw() == libc::ENOENT) => None,
        program => Some(program),
    })
}

fn program(id: u32) -> Result<ProgramEntry, Error> {
    let info = ids::open(Kind::Program, id, "opens a program by its id")
        .and_then(|program| prog_info::with_maps(program.as_fd()));
    let (info, maps) = info.map_err(|error| Error::kernel(format!("open the program with the id {id}"), &error))?;
    Ok(ProgramEntry {
        id,
        name: info.name.to_string(),
        program_type: info.prog_type,
        uid: info.created_by_uid,
        maps,
        btf: (info.btf_id != 0).then_some(info.btf_id),
    })
}

/// Returns the BTF with this id, as [`Btf::parse`](crate::btf::Btf::parse) takes it.
///
/// Needs CAP_SYS_ADMIN, and Linux 4.18.
///
/// # Errors
///
/// [`Error::Syscall`]: ENOENT if there is no such BTF, or no longer; EPERM without privileges.
#[doc(alias("BPF_BTF_GET_FD_BY_ID", "bpf_btf_get_fd_by_id"))]
pub fn btf_by_id(id: u32) -> Result<Vec<u8>, Error> {
    btf::bytes(id).map_err(|error| Error::kernel(format!("read the BTF with the id {id}"), &error))
}
