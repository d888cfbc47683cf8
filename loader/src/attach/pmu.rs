//! The dynamic PMUs `kprobe` and `uprobe`: probes as perf events, without a name in tracefs (Linux 4.17).
//!
//! The kernel assigns their type numbers at boot; sysfs lists them.

use std::{io, path::Path};

use cutaway_sys::{Errno, errno::is_out_of_fds, file};

/// A dynamic PMU, as sysfs describes it.
pub(super) struct Pmu {
    pub(super) event_type: u32,
    /// The bit of `config` that requests a return probe.
    retprobe_bit: u32,
}

impl Pmu {
    /// Returns the type of the PMU `kprobe`.
    pub(super) fn kprobe() -> io::Result<Self> {
        Self::read("kprobe", "kprobes, CONFIG_KPROBE_EVENTS")
    }

    /// Returns the type of the PMU `uprobe`.
    pub(super) fn uprobe() -> io::Result<Self> {
        Self::read("uprobe", "uprobes, CONFIG_UPROBE_EVENTS")
    }

    /// Returns `config` for a probe on entry or on return.
    pub(super) fn config(&self, retprobe: bool) -> u64 {
        u64::from(retprobe) << self.retprobe_bit
    }

    fn read(name: &str, option: &str) -> io::Result<Self> {
        let directory = format!("/sys/bus/event_source/devices/{name}");
        let read = |name: &str| {
            let why = "reads how this kernel encodes such events, which no header says";
            file::text(&Path::new(&directory).join(name), why).map_err(|error| {
                if is_out_of_fds(&error) {
                    return error;
                }
                let reason = error.raw_os_error().map_or_else(|| error.to_string(), |_| Errno::of(&error).to_string());
                let why = format!("cannot read {directory}/{name}: {reason}; does this kernel have {option}?");
                io::Error::new(error.kind(), why)
            })
        };
        let nonsense = |file: &str, text: &str| io::Error::other(format!("{directory}/{file} holds {text:?}"));
        let event_type = read("type")?;
        let retprobe = read("format/retprobe")?;
        Ok(Self {
            event_type: event_type.trim().parse().map_err(|_| nonsense("type", &event_type))?,
            // "config:0"
            retprobe_bit: retprobe
                .trim()
                .strip_prefix("config:")
                .and_then(|bit| bit.parse().ok())
                .filter(|&bit| bit < 64)
                .ok_or_else(|| nonsense("format/retprobe", &retprobe))?,
        })
    }
}
