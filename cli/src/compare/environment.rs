//! The machine, kernel and date of a measurement.

use std::fs;

use jiff::Timestamp;
use serde::Serialize;

use super::bench::Effort;

/// The machine, the kernel, the date, and how much was measured.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Environment {
    /// The start of the run in UTC, to the second (RFC 3339).
    pub(super) time: String,
    pub(super) cutaway: &'static str,
    pub(super) kernel: String,
    pub(super) architecture: String,
    /// `None` if /proc/cpuinfo does not have it.
    pub(super) processor: Option<String>,
    /// CPUs that the process may use.
    pub(super) cpus: usize,
    /// `None` if unknown.
    pub(super) memory_mib: Option<u64>,
    /// `net.core.bpf_jit_enable`: 1 if programs are compiled, 0 if they are interpreted.
    /// `None` if it cannot be read.
    pub(super) jit: Option<u64>,
    pub(super) effort: Effort,
    pub(super) rounds: usize,
    /// The experiments were broken on purpose.
    pub(super) control: bool,
}

impl Environment {
    pub(super) fn here(effort: Effort, cpus: usize, control: bool) -> Self {
        let system = rustix::system::uname();
        let text = |text: &std::ffi::CStr| text.to_string_lossy().into_owned();
        Self {
            time: Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            cutaway: env!("CARGO_PKG_VERSION"),
            kernel: format!("{} {}", text(system.sysname()), text(system.release())),
            architecture: text(system.machine()),
            processor: line("/proc/cpuinfo", "model name"),
            cpus,
            memory_mib: line("/proc/meminfo", "MemTotal")
                .and_then(|text| text.split_whitespace().next()?.parse::<u64>().ok())
                .map(|kib| kib / 1024),
            jit: fs::read_to_string("/proc/sys/net/core/bpf_jit_enable").ok().and_then(|text| text.trim().parse().ok()),
            effort,
            rounds: effort.rounds(),
            control,
        }
    }

    /// Returns names and values for display.
    pub(super) fn rows(&self) -> Vec<(&'static str, String)> {
        let jit = match self.jit {
            Some(0) => "off: programs are interpreted",
            Some(_) => "on",
            None => "unknown",
        };
        let unknown = || "unknown".to_owned();
        let memory = |mib: u64| format!("{} MiB", super::data::number(mib as f64));
        let effort = match self.effort {
            Effort::Quick => "quick",
            Effort::Full => "full",
        };
        vec![
            ("date", self.time.clone()),
            ("kernel", format!("{} on {}", self.kernel, self.architecture)),
            ("processor", self.processor.clone().unwrap_or_else(unknown)),
            ("CPUs", self.cpus.to_string()),
            ("memory", self.memory_mib.map_or_else(unknown, memory)),
            ("JIT compiler", jit.to_owned()),
            ("settings", format!("{effort}: {} rounds of each measurement, and one to warm up", self.rounds)),
            ("cutaway", self.cutaway.to_owned()),
        ]
    }
}

/// Returns the value of the first line `name : value`.
fn line(file: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let mut pairs = text.lines().filter_map(|line| line.split_once(':'));
    let (_, value) = pairs.find(|(key, _)| key.trim() == name)?;
    Some(value.trim().to_owned())
}
