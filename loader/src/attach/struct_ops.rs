//! Attaches struct_ops maps.
//!
//! Writing the value into the map has the kernel check it. A map with `BPF_F_LINK` then waits for a link
//! (`BPF_LINK_CREATE`, Linux 6.4); any other is in use from then on (5.6), until its only element is deleted.
//! (`kernel/bpf/bpf_struct_ops.c`.)

use std::os::fd::AsFd;

use log::{debug, warn};

use cutaway_sys::AttachType;

use super::{Link, detach::Detach};
use crate::{Error, Map, sys::link};

impl Map {
    /// Attaches a struct_ops map, of the section `.struct_ops` (Linux 5.6) or `.struct_ops.link` (6.4).
    /// [`Loaded::attach`](crate::Loaded::attach) does so for all struct_ops maps of an object.
    ///
    /// A map of `.struct_ops` has no link: it stays in use if the process dies without dropping the [`Link`] while
    /// another process holds the map.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if the map is no struct_ops map of an object; [`Error::Syscall`] if the kernel refuses:
    /// EEXIST if there is one of its name, EINVAL if a function or value is missing that this kind of struct_ops must
    /// have.
    #[doc(alias = "bpf_map__attach_struct_ops")]
    pub fn attach(&self) -> Result<Link, Error> {
        let attempt = || format!("give the table `{}` to the kernel", self.name());
        let Some(table) = self.table() else {
            let why = format!("it is of type {}, and no struct_ops map of an object", self.map_type());
            return Err(Error::Invalid { operation: attempt(), why });
        };
        let refused = |error: &std::io::Error| {
            let plain = Error::kernel(attempt(), error);
            match error.raw_os_error() {
                Some(libc::EEXIST) => plain.advise("there is one of that name already"),
                Some(libc::EBUSY) => plain.advise("it is in use already, or just going out of use"),
                Some(libc::EINVAL) => plain.advise("does it lack a function or a value that the kernel needs?"),
                Some(524 | libc::EOPNOTSUPP) => plain.advise("the kernel only runs tables of this kind for tests"),
                _ => plain,
            }
        };
        let what = format!("the table `{}`", self.name());
        if !table.by_link {
            // The map's own fd may be gone when the table is taken back.
            let map = self.again()?;
            self.write_table(table).map_err(|error| refused(&error))?;
            debug!("{what} is in use, without a link");
            return Ok(Link::map_by_call(&what, Registered { map, what: what.clone() }));
        }
        match self.write_table(table) {
            // Written before: a link that is gone leaves it there.
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {}
            answer => answer.map_err(|error| refused(&error))?,
        }
        let why = "ties the table to the kernel; closing the link takes it back";
        link::create(self.as_fd(), link::Target::Device(0), AttachType::STRUCT_OPS, 0, why)
            .map(|link| Link::on_map(&what, link))
            .map_err(|error| refused(&error))
    }
}

/// A table in use; dropping this takes it back.
#[derive(Debug)]
struct Registered {
    map: Map,
    what: String,
}

impl Detach for Registered {}

impl Drop for Registered {
    fn drop(&mut self) {
        if let Err(error) = self.map.delete(&0_u32.to_ne_bytes()) {
            warn!("{} stays in use: {error}", self.what);
        }
    }
}
