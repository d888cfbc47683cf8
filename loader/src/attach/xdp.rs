//! Attaches to XDP: a program on a network device that runs before the kernel builds a packet (`sk_buff`).
//!
//! In *driver* mode the device's driver runs the program on the received frame. In *generic* mode the network stack
//! runs it, later and slower, but for any device. A link (Linux 5.9) owns its attach point: no other program replaces
//! it. Before 5.9, an rtnetlink message attaches the program, and it stays until another message removes it
//! (`net/core/dev.c`).

use std::{
    io,
    os::fd::{AsFd, AsRawFd, OwnedFd},
};

use log::debug;

use cutaway_sys::{AttachType, fd};

use super::{
    Link,
    detach::{Detach, detached},
    link::failed,
};
use crate::{
    Error, Program, ProgramType,
    sys::{
        link::{self, Target},
        netlink::Message,
        process::is_interface,
    },
};

/// A network device to attach an XDP program to: by a link since Linux 5.9, by rtnetlink on older kernels. Attached by
/// rtnetlink, the program stays if the process dies without dropping the [`Link`].
///
/// Kernel source: `net/core/dev.c`.
///
/// Needs this crate's feature `network`.
#[doc(alias("bpf_program__attach_xdp", "bpf_xdp_attach"))]
#[derive(Debug, Clone)]
pub struct Xdp {
    ifindex: u32,
    mode: XdpMode,
    by_netlink: bool,
}

/// Where an XDP program runs.
///
/// Needs this crate's feature `network`.
#[doc(alias("XDP_FLAGS_SKB_MODE", "XDP_FLAGS_DRV_MODE", "XDP_FLAGS_HW_MODE"))]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum XdpMode {
    /// The driver if it supports XDP, otherwise the network stack.
    #[default]
    Any = 0,
    /// The network stack (`XDP_FLAGS_SKB_MODE`).
    Generic = 1 << 1,
    /// The driver (`XDP_FLAGS_DRV_MODE`).
    Driver = 1 << 2,
    /// The device itself (`XDP_FLAGS_HW_MODE`).
    Hardware = 1 << 3,
}

impl Xdp {
    /// Selects the device with this index; see [`interface_index`](super::interface_index).
    #[must_use]
    pub fn new(ifindex: u32) -> Self {
        Self { ifindex, mode: XdpMode::Any, by_netlink: false }
    }

    /// Sets where the program runs.
    #[must_use]
    pub fn mode(mut self, mode: XdpMode) -> Self {
        self.mode = mode;
        self
    }

    /// Attaches without a link, by rtnetlink (Linux 4.8), as on kernels before 5.9. Others can then replace the program
    /// (`ip link set … xdp`), and it outlives the process unless the [`Link`] is dropped.
    #[doc(alias("bpf_xdp_attach", "IFLA_XDP"))]
    #[must_use]
    pub fn by_netlink(mut self) -> Self {
        self.by_netlink = true;
        self
    }

    /// Attaches `program`.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if the program is of another type; [`Error::Syscall`] if the kernel refuses: EBUSY or EEXIST
    /// if the device has a program, EINVAL if there is no such device, EOPNOTSUPP if the driver has no XDP.
    pub fn attach(&self, program: &Program) -> Result<Link, Error> {
        let what = format!("the network device {} (XDP)", self.ifindex);
        program.must_be(&[ProgramType::XDP], &what)?;
        if self.by_netlink {
            return self.without_link(program, &what);
        }
        let why = "attaches the program to the network device; closing the link detaches it";
        link::create(program.as_fd(), Target::Device(self.ifindex), AttachType::XDP, self.mode as u32, why)
            .map(|link| Link::kernels(program, &what, link))
            .or_else(|error| match error.raw_os_error() {
                // The kernel returns EINVAL for a missing device and for link types that it does not know.
                Some(libc::EINVAL) if is_interface(self.ifindex) => {
                    debug!("links on network devices need Linux 5.9");
                    self.without_link(program, &what)
                }
                _ => Err(self.refused(program, &what, &error)),
            })
    }

    /// Attaches `program` in place of `replaced`, which is attached to the device without a link (by any process, e.g.
    /// `ip link set … xdp` or [`Xdp::by_netlink`]), in one step, by rtnetlink (Linux 5.7). The mode must be that of
    /// the replaced program. To replace the program of a link, use [`Link::update`].
    ///
    /// # Errors
    ///
    /// As [`Xdp::attach`]; [`Error::Syscall`] with EEXIST if the device has another program or none, EBUSY if its
    /// program is attached by a link, EINVAL before Linux 5.7.
    #[doc(alias("XDP_FLAGS_REPLACE", "IFLA_XDP_EXPECTED_FD", "old_prog_fd"))]
    pub fn replace(&self, program: &Program, replaced: &Program) -> Result<Link, Error> {
        let what = format!("the network device {} (XDP)", self.ifindex);
        program.must_be(&[ProgramType::XDP], &what)?;
        self.send(program, Some(replaced), &what).map_err(|error| {
            let plain = failed(program, &what, &error);
            match error.raw_os_error() {
                Some(libc::EEXIST) => plain.advise(&format!(
                    "the device does not run the program `{}` in this mode, but another one or none",
                    replaced.name()
                )),
                Some(libc::EBUSY) => plain.advise("its program is attached by a link: use `Link::update`"),
                Some(libc::EINVAL) if is_interface(self.ifindex) => {
                    plain.advise("replacing an expected program needs Linux 5.7")
                }
                _ => self.refused(program, &what, &error),
            }
        })
    }

    fn without_link(&self, program: &Program, what: &str) -> Result<Link, Error> {
        self.send(program, None, what).map_err(|error| self.refused(program, what, &error))
    }

    /// Attaches `program` by rtnetlink, in place of `replaced` or of none.
    fn send(&self, program: &Program, replaced: Option<&Program>, what: &str) -> io::Result<Link> {
        let flags = self.mode as u32;
        let held = fd::duplicate(program.as_fd(), "duplicates the program's fd, to detach it later")?;
        let new = program.as_fd().as_raw_fd();
        match replaced {
            None => message(self.ifindex, new, XDP_FLAGS_UPDATE_IF_NOEXIST | flags, None)
                .send("attaches the program to the network device, if it has none")?,
            Some(replaced) => replacement(self.ifindex, new, flags, replaced.as_fd().as_raw_fd())?,
        };
        let attached = ByNetlink { ifindex: self.ifindex, flags, program: held, what: what.to_owned() };
        Ok(Link::by_call(program, what, "rtnetlink", attached))
    }

    fn refused(&self, program: &Program, what: &str, error: &io::Error) -> Error {
        let plain = failed(program, what, error);
        match error.raw_os_error() {
            Some(libc::EBUSY | libc::EEXIST) => plain.advise("it already has an XDP program"),
            Some(libc::EINVAL | libc::ENODEV) if !is_interface(self.ifindex) => {
                plain.advise("there is no such network device")
            }
            Some(libc::EOPNOTSUPP) => plain.advise("its driver cannot run XDP programs: try the generic mode"),
            _ => plain,
        }
    }
}

const RTM_SETLINK: (u16, &str) = (19, "RTM_SETLINK");
const IFLA_XDP: u16 = 43;
const IFLA_XDP_FD: u16 = 1;
const IFLA_XDP_FLAGS: u16 = 3;
const IFLA_XDP_EXPECTED_FD: u16 = 8;
const XDP_FLAGS_UPDATE_IF_NOEXIST: u32 = 1;
const XDP_FLAGS_REPLACE: u32 = 1 << 4;

/// Builds the message that sets a device's program (-1 for none), replacing `expected` if that is given.
fn message(ifindex: u32, program: i32, flags: u32, expected: Option<i32>) -> Message {
    // `struct ifinfomsg`: family and type, index, flags, mask of flags to change.
    let mut message = Message::new(RTM_SETLINK, 0, &[0, ifindex, 0, 0]);
    message.nested(IFLA_XDP, |xdp| {
        xdp.attribute(IFLA_XDP_FD, &program.to_ne_bytes());
        xdp.attribute(IFLA_XDP_FLAGS, &flags.to_ne_bytes());
        if let Some(expected) = expected {
            xdp.attribute(IFLA_XDP_EXPECTED_FD, &expected.to_ne_bytes());
        }
    });
    message
}

/// Replaces a device's program, if it is `expected`.
fn replacement(ifindex: u32, program: i32, flags: u32, expected: i32) -> io::Result<Vec<u8>> {
    message(ifindex, program, flags | XDP_FLAGS_REPLACE, Some(expected))
        .send("replaces the device's program, if it is the expected one")
}

/// A program on a device; dropping this detaches the program.
#[derive(Debug)]
struct ByNetlink {
    ifindex: u32,
    flags: u32,
    program: OwnedFd,
    what: String,
}

impl Detach for ByNetlink {
    fn update(&mut self, program: &Program, expected: Option<&Program>) -> Option<io::Result<()>> {
        let expected = expected.map_or(self.program.as_fd(), AsFd::as_fd).as_raw_fd();
        let replace = || {
            let held = fd::duplicate(program.as_fd(), "duplicates the program's fd, to detach it later")?;
            replacement(self.ifindex, program.as_fd().as_raw_fd(), self.flags, expected)?;
            Ok(held)
        };
        Some(replace().map(|held| self.program = held))
    }
}

impl Drop for ByNetlink {
    fn drop(&mut self) {
        let ours = Some(self.program.as_raw_fd());
        let gone = message(self.ifindex, -1, self.flags | XDP_FLAGS_REPLACE, ours);
        match gone.send("detaches the program, if it is still this one") {
            // Another process has replaced the program.
            Err(error) if error.raw_os_error() == Some(libc::EEXIST) => {}
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
                let gone = message(self.ifindex, -1, self.flags, None);
                let why = "detaches the device's program: before Linux 5.7 the message cannot name it";
                detached(&self.what, gone.send(why).map(drop));
            }
            answer => detached(&self.what, answer.map(drop)),
        }
    }
}
