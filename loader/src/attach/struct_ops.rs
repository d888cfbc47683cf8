//! Attaches struct_ops maps.
//!
//! The kernel checks the value when it is written into the map. A map with `BPF_F_LINK` is then registered by a link
//! (`BPF_LINK_CREATE`, Linux 6.4). Any other map (5.6) is registered by the write, until its only element is deleted
//! (`kernel/bpf/bpf_struct_ops.c`).

use std::os::fd::AsFd;

use log::{debug, warn};

use cutaway_sys::{AttachType, errno::ENOTSUPP};

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
                Some(ENOTSUPP | libc::EOPNOTSUPP) => {
                    plain.advise("the kernel runs struct_ops of this kind only in tests")
                }
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

impl Link {
    /// Replaces the struct_ops map of the link by `map`, without a moment in which none is registered (Linux 6.4). For
    /// maps of the section `.struct_ops.link`. The kernel requires that both have the same type, and some types that
    /// both have the same name (TCP congestion control).
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if `map` is not a struct_ops map of the section `.struct_ops.link`, or this link is not a
    /// kernel link; [`Error::Syscall`] if the kernel refuses: EINVAL if the maps do not fit, EOPNOTSUPP if this type of
    /// struct_ops cannot be replaced, ENOLINK or EINVAL if the link is defunct.
    #[doc(alias("bpf_link__update_map", "BPF_LINK_UPDATE"))]
    pub fn update_map(&mut self, map: &Map) -> Result<(), Error> {
        self.replace_map(map, None)
    }

    /// Replaces the struct_ops map of the link like [`Link::update_map`], if the link has the map `expected`.
    ///
    /// # Errors
    ///
    /// As [`Link::update_map`]; [`Error::Syscall`] with EPERM if the link has another map. Then nothing changes.
    #[doc(alias("BPF_F_REPLACE", "old_map_fd"))]
    pub fn update_map_if(&mut self, map: &Map, expected: &Map) -> Result<(), Error> {
        self.replace_map(map, Some(expected))
    }

    fn replace_map(&self, map: &Map, expected: Option<&Map>) -> Result<(), Error> {
        let attempt = || format!("replace the map of {} by `{}`", self.what(), map.name());
        let unfit = |why: &str| Error::Invalid { operation: attempt(), why: why.to_owned() };
        let Some(value) = map.struct_ops_value().filter(|value| value.has_link_flag) else {
            return Err(unfit("the new map is not a struct_ops map of the section `.struct_ops.link`"));
        };
        let Some(link) = self.as_link_fd() else {
            return Err(unfit("a struct_ops map without a link cannot be replaced: drop it, and attach the new one"));
        };
        match map.write_struct_ops_value(value) {
            // The map already has its value.
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {}
            answer => answer.map_err(|error| Error::kernel(attempt(), &error))?,
        }
        let why = match expected {
            None => "replaces the struct_ops map of the link",
            Some(_) => "replaces the struct_ops map of the link, if it is the expected one",
        };
        link::update(link, map.as_fd(), expected.map(AsFd::as_fd), why).map_err(|error| {
            let plain = Error::kernel(attempt(), &error);
            match error.raw_os_error() {
                Some(libc::EPERM) if expected.is_some() => plain.advise("the link does not have the expected map"),
                Some(libc::ENOLINK) => plain.advise("the link is defunct: it was detached"),
                Some(libc::EINVAL) => plain.advise(
                    "both maps must have the same type, TCP congestion controls also the same name, and the link must \
                     be that of a struct_ops map (Linux 6.4)",
                ),
                Some(libc::EOPNOTSUPP | 524) => plain.advise("the kernel cannot replace struct_ops of this type"),
                _ => plain,
            }
        })
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
