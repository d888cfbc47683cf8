//! Lists the links of the whole machine.

use std::os::fd::AsFd;

use super::walk::walk;
use crate::{
    Error,
    link_info::LinkInfo,
    sys::ids::{self, Kind},
};

/// Returns every link, in ascending order of ids. [`Link::from_id`](crate::Link::from_id) opens one.
///
/// A program that is attached without a link is not listed: [`Cgroup::attached`](crate::Cgroup::attached) and the
/// methods of the same name list the programs of one target.
///
/// Needs CAP_SYS_ADMIN, and Linux 5.8.
///
/// # Errors
///
/// An item is [`Error::Syscall`] if the kernel refuses (EPERM without privileges, EINVAL before Linux 5.8); it is the
/// last item, unless it is about one link, which it names.
#[doc(alias("BPF_LINK_GET_NEXT_ID", "bpf_link_get_next_id"))]
pub fn links() -> impl Iterator<Item = Result<LinkInfo, Error>> {
    walk(Kind::Link, "walk over the links of this machine").filter_map(|id| match id.and_then(link) {
        // The link was freed after its id was returned, or has an id and does not exist yet (`bpf_link_by_id` in
        // `kernel/bpf/syscall.c`).
        Err(error) if matches!(error.errno().map(|errno| errno.raw()), Some(libc::ENOENT | libc::EAGAIN)) => None,
        link => Some(link),
    })
}

fn link(id: u32) -> Result<LinkInfo, Error> {
    ids::open(Kind::Link, id, "opens a link by its id")
        .and_then(|link| LinkInfo::read(link.as_fd()))
        .map_err(|error| Error::kernel(format!("read the information about the link with the id {id}"), &error))
}
