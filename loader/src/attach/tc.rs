//! Attaches to tc: a program as a classifier of the kernel's traffic control, which every kernel has.
//!
//! Packets pass `clsact`, a queueing discipline that queues nothing and only holds filters: *ingress* for received
//! packets, *egress* for sent ones. A filter of the kind `bpf` in *direct action* mode is a program whose return value
//! is the verdict. Disciplines and filters are created by rtnetlink messages (`net/sched/cls_bpf.c`,
//! `net/sched/sch_ingress.c`). There is no link, so a filter outlives its process. Since Linux 6.6 [`Tcx`](super::Tcx)
//! does the same with a link.

use std::os::fd::{AsFd, AsRawFd};

use super::{
    Link,
    detach::{Detach, detached},
    link::failed,
};
use crate::{
    Error, Program, ProgramType,
    sys::netlink::{Message, NLM_F_CREATE, NLM_F_ECHO, NLM_F_EXCL},
};

const RTM_NEWQDISC: (u16, &str) = (36, "RTM_NEWQDISC");
const RTM_NEWTFILTER: (u16, &str) = (44, "RTM_NEWTFILTER");
const RTM_DELTFILTER: (u16, &str) = (45, "RTM_DELTFILTER");
const TCA_KIND: u16 = 1;
const TCA_OPTIONS: u16 = 2;
const TCA_BPF_FD: u16 = 6;
const TCA_BPF_NAME: u16 = 7;
const TCA_BPF_FLAGS: u16 = 8;
const TCA_BPF_FLAG_ACT_DIRECT: u32 = 1;

/// `TC_H_CLSACT` as a parent, and the discipline's own handle.
const CLSACT: u32 = 0xffff_fff1;
const CLSACT_HANDLE: u32 = 0xffff_0000;

/// A network device to attach a classifier to, by traffic control. Linux 4.5.
/// [`interface_index`](super::interface_index) finds a device by its name.
///
/// The filter stays if the process dies without dropping the [`Link`]. The discipline `clsact` is created if it does
/// not exist, and never removed, because other programs may use it.
///
/// Kernel source: `net/sched/cls_bpf.c`, `net/sched/sch_ingress.c`.
///
/// Needs this crate's feature `network`.
#[doc(alias("bpf_tc_attach", "bpf_tc_hook_create"))]
#[derive(Debug, Clone)]
pub struct Tc {
    ifindex: u32,
    /// `TC_H_MIN_INGRESS` or `TC_H_MIN_EGRESS` below the discipline.
    parent: u32,
    priority: u16,
}

impl Tc {
    /// Selects the packets that the device receives.
    #[must_use]
    pub fn ingress(ifindex: u32) -> Self {
        Self { ifindex, parent: 0xffff_fff2, priority: 0 }
    }

    /// Selects the packets that the device sends.
    #[must_use]
    pub fn egress(ifindex: u32) -> Self {
        Self { ifindex, parent: 0xffff_fff3, priority: 0 }
    }

    /// Sets the priority: filters with lower numbers run first. The default is chosen by the kernel, before all others.
    #[must_use]
    pub fn priority(mut self, priority: u16) -> Self {
        self.priority = priority;
        self
    }

    /// Attaches `program`, whose return value is the verdict (`TC_ACT_…`).
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if the program is of another type; [`Error::Syscall`] if the kernel refuses: ENODEV if there
    /// is no such device, ENOENT or EOPNOTSUPP if the kernel was built without traffic control.
    pub fn attach(&self, program: &Program) -> Result<Link, Error> {
        let what = format!("the network device {} (tc)", self.ifindex);
        program.must_be(&[ProgramType::SCHED_CLS], &what)?;
        let refused = |error: std::io::Error| {
            let plain = failed(program, &what, &error);
            match error.raw_os_error() {
                Some(libc::ENODEV) => plain.advise("there is no such network device"),
                Some(libc::EPERM) => plain.advise("run it as root, or with CAP_NET_ADMIN"),
                Some(libc::ENOENT | libc::EOPNOTSUPP) => {
                    plain.advise("the kernel needs CONFIG_NET_SCH_INGRESS and CONFIG_NET_CLS_BPF")
                }
                _ => plain,
            }
        };
        let mut qdisc = Message::new(RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL, &self.body(CLSACT_HANDLE, CLSACT, 0));
        qdisc.attribute(TCA_KIND, b"clsact\0");
        match qdisc.send("creates the discipline that holds filters; EEXIST if it exists") {
            Err(error) if error.raw_os_error() != Some(libc::EEXIST) => return Err(refused(error)),
            _ => {}
        }
        let mut filter =
            Message::new(RTM_NEWTFILTER, NLM_F_CREATE | NLM_F_EXCL | NLM_F_ECHO, &self.filter(0, self.priority));
        filter.attribute(TCA_KIND, b"bpf\0");
        /// `CLS_BPF_NAME_LEN`, with the closing NUL.
        const NAME: usize = 256;
        let mut name: Vec<_> = program.name().bytes().take(NAME - 1).collect();
        name.push(0);
        filter.nested(TCA_OPTIONS, |options| {
            options.attribute(TCA_BPF_FD, &program.as_fd().as_raw_fd().to_ne_bytes());
            options.attribute(TCA_BPF_NAME, &name);
            options.attribute(TCA_BPF_FLAGS, &TCA_BPF_FLAG_ACT_DIRECT.to_ne_bytes());
        });
        let echo = filter.send("creates the filter; the kernel's echo has its handle").map_err(refused)?;
        // `struct tcmsg`: family and padding, ifindex, handle, parent, info (the priority in its upper half).
        let word =
            |at: usize| echo.get(at..).and_then(|rest| rest.first_chunk()).copied().map_or(0, u32::from_ne_bytes);
        let attached =
            Filter { tc: self.clone(), handle: word(8), priority: (word(16) >> 16) as u16, what: what.clone() };
        Ok(Link::by_call(program, &what, "rtnetlink", attached))
    }

    /// Returns `struct tcmsg`.
    fn body(&self, handle: u32, parent: u32, info: u32) -> [u32; 5] {
        [0, self.ifindex, handle, parent, info]
    }

    /// Returns `struct tcmsg` for a filter on packets of every protocol.
    fn filter(&self, handle: u32, priority: u16) -> [u32; 5] {
        let every_protocol = u32::from((libc::ETH_P_ALL as u16).to_be());
        self.body(handle, self.parent, u32::from(priority) << 16 | every_protocol)
    }
}

/// An existing filter; dropping this removes it.
#[derive(Debug)]
struct Filter {
    tc: Tc,
    handle: u32,
    priority: u16,
    what: String,
}

impl Detach for Filter {}

impl Drop for Filter {
    fn drop(&mut self) {
        // Without a handle and priority the message would remove all filters.
        if self.handle == 0 || self.priority == 0 {
            log::warn!("the filter on {} stays: the kernel did not return its handle", self.what);
            return;
        }
        let message = Message::new(RTM_DELTFILTER, 0, &self.tc.filter(self.handle, self.priority));
        detached(&self.what, message.send("removes the filter").map(drop));
    }
}
