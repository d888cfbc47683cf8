//! The machine, kernel and date of a measurement.

use std::fs;

use jiff::Timestamp;
use serde::Serialize;

use super::bench::Effort;

/// The machine, the kernel, the date, and how much was measured.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Environment {
    /// UTC, to the second.
    pub(super) date: String,
    pub(super) cutaway: &'static str,
    pub(super) kernel: String,
    pub(super) architecture: String,
    pub(super) processor: String,
    /// CPUs that the process may use.
    pub(super) cpus: usize,
    pub(super) memory_mib: u64,
    /// `net.core.bpf_jit_enable`: 1 if programs are compiled, 0 if they are interpreted.
    pub(super) jit: Option<String>,
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
            date: Timestamp::now().strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
            cutaway: env!("CARGO_PKG_VERSION"),
            kernel: format!("{} {}", text(system.sysname()), text(system.release())),
            architecture: text(system.machine()),
            processor: line("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown".to_owned()),
            cpus,
            memory_mib: line("/proc/meminfo", "MemTotal")
                .and_then(|text| text.split_whitespace().next()?.parse::<u64>().ok())
                .map_or(0, |kib| kib / 1024),
            jit: fs::read_to_string("/proc/sys/net/core/bpf_jit_enable").ok().map(|text| text.trim().to_owned()),
            effort,
            rounds: effort.rounds(),
            control,
        }
    }

    /// Returns names and values for display.
    pub(super) fn rows(&self) -> Vec<(&'static str, String)> {
        let jit = match self.jit.as_deref() {
            Some("0") => "off: programs are interpreted",
            Some(_) => "on",
            None => "unknown",
        };
        let effort = match self.effort {
            Effort::Quick => "quick",
            Effort::Full => "full",
        };
        vec![
            ("date", self.date.clone()),
            ("kernel", format!("{} on {}", self.kernel, self.architecture)),
            ("processor", self.processor.clone()),
            ("CPUs", self.cpus.to_string()),
            ("memory", format!("{} MiB", super::data::number(self.memory_mib as f64))),
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
