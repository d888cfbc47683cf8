//! XDP: a program on a network device, before a packet becomes a packet to the rest of the kernel.
//!
//! In *driver* mode the device's driver runs the program on the received frame; in *generic* mode the network stack does,
//! later and slower, but for any device. A link (5.9) owns its place: nobody else's program replaces it. (`net/core/dev.c`.)

use std::os::fd::AsFd;

use super::{Link, link::failed};
use crate::{
    Error, Program, ProgramType,
    sys::{
        link::{self, Target},
        process::is_interface,
    },
};

/// A network device to attach an XDP program to. Linux 5.9.
#[derive(Debug, Clone)]
pub struct Xdp {
    ifindex: u32,
    mode: XdpMode,
}

/// Who runs an XDP program.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum XdpMode {
    /// The driver if it can, the network stack otherwise.
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
    /// The device with this index; see [`interface_index`](super::interface_index).
    #[must_use]
    pub fn new(ifindex: u32) -> Self {
        Self { ifindex, mode: XdpMode::Any }
    }

    /// Who is to run it.
    #[must_use]
    pub fn mode(mut self, mode: XdpMode) -> Self {
        self.mode = mode;
        self
    }

    /// Attaches `program`.
    ///
    /// # Errors
    ///
    /// [`Error::Unfit`] if the program is of another kind; [`Error::Kernel`] if the kernel refuses: EBUSY or EEXIST if the
    /// device has a program, EINVAL if there is no such device, EOPNOTSUPP if the driver has no XDP.
    pub fn attach(&self, program: &Program) -> Result<Link, Error> {
        let what = format!("the network device {} (XDP)", self.ifindex);
        program.must_be(&[ProgramType::XDP], &what)?;
        /// `BPF_XDP`, whatever the program was loaded for.
        const BPF_XDP: u32 = 37;
        let why = "ties the program to the network device; closing the link unties it";
        link::create(program.as_fd(), Target::Device(self.ifindex), BPF_XDP, self.mode as u32, why)
            .map(|link| Link::kernels(program, &what, link))
            .map_err(|error| {
                let plain = failed(program, &what, &error);
                match error.raw_os_error() {
                    Some(libc::EBUSY | libc::EEXIST) => plain.advise("it has an XDP program already"),
                    // It says so to a missing device and to kinds of link that it does not know.
                    Some(libc::EINVAL) if is_interface(self.ifindex) => {
                        plain.advise("links on network devices need Linux 5.9")
                    }
                    Some(libc::EINVAL | libc::ENODEV) => plain.advise("there is no such network device"),
                    Some(libc::EOPNOTSUPP) => plain.advise("its driver cannot run XDP programs: try the generic mode"),
                    _ => plain,
                }
            })
    }
}
