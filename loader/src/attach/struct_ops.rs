//! Attaches struct_ops maps.
//!
//! The kernel checks the value when it is written into the map. A map with `BPF_F_LINK` is then registered by a link
//! (`BPF_LINK_CREATE`, Linux 6.4). Any other map (5.6) is registered by the write, until its only element is deleted
//! (`kernel/bpf/bpf_struct_ops.c`).

use std::os::fd::AsFd;

use log::{debug, warn};

use cutaway_sys::AttachType;

use super::{Link, detach::Detach};
use crate::{Error, Map, sys::link};

impl Map {
    /// Attaches a struct_ops map, of the section `.struct_ops` (Linux 5.6) or `.struct_ops.link` (6.4).
    /// [`Loaded::attach`](crate::Loaded::attach) does so for all struct_ops maps of an object.
    ///
    /// A map of `.struct_ops` has no link: it stays registered if the process dies without dropping the [`Link`] while
    /// another process holds the map.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if the map is not a struct_ops map of an object; [`Error::Syscall`] if the kernel refuses:
    /// EEXIST if one of the same name is registered, EINVAL if it lacks a function or value that the kernel requires
    /// for this kind of struct_ops.
    #[doc(alias = "bpf_map__attach_struct_ops")]
    pub fn attach(&self) -> Result<Link, Error> {
        let attempt = || format!("register the struct_ops map `{}`", self.name());
        let Some(value) = self.struct_ops_value() else {
            let why = format!("it is of type {}, not a struct_ops map of an object", self.map_type());
            return Err(Error::Invalid { operation: attempt(), why });
        };
        let refused = |error: &std::io::Error| {
            let plain = Error::kernel(attempt(), error);
            match error.raw_os_error() {
                Some(libc::EEXIST) => plain.advise("one of that name is already registered"),
                Some(libc::EBUSY) => plain.advise("it is already registered, or is just being unregistered"),
                Some(libc::EINVAL) => plain.advise("does it lack a function or a value that the kernel needs?"),
                Some(524 | libc::EOPNOTSUPP) => plain.advise("the kernel runs struct_ops of this kind only in tests"),
                _ => plain,
            }
        };
        let what = format!("the struct_ops map `{}`", self.name());
        if !value.has_link_flag {
            // The caller may close the map's fd before the map is unregistered.
            let map = self.duplicate()?;
            self.write_struct_ops_value(value).map_err(|error| refused(&error))?;
            debug!("{what} is registered, without a link");
            return Ok(Link::map_by_call(&what, Registered { map, what: what.clone() }));
        }
        match self.write_struct_ops_value(value) {
            // The map already has its value: closing the link does not remove it.
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {}
            answer => answer.map_err(|error| refused(&error))?,
        }
        let why = "registers the struct_ops map; closing the link unregisters it";
        link::create(self.as_fd(), link::Target::Device(0), AttachType::STRUCT_OPS, 0, why)
            .map(|link| Link::on_map(&what, link))
            .map_err(|error| refused(&error))
    }
}

/// A registered struct_ops map; dropping this unregisters it.
#[derive(Debug)]
struct Registered {
    map: Map,
    what: String,
}

impl Detach for Registered {}

impl Drop for Registered {
    fn drop(&mut self) {
        if let Err(error) = self.map.delete(&0_u32.to_ne_bytes()) {
            warn!("{} stays registered: {error}", self.what);
        }
    }
}
