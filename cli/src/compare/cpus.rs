//! The CPUs that this process may use, the affinity of its threads, and their priority.

use std::io;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Returns the ids of the CPUs that this process may use, ascending.
pub(super) fn allowed() -> io::Result<Vec<usize>> {
    let set = sched_getaffinity(None)?;
    Ok((0..CpuSet::MAX_CPU).filter(|&cpu| set.is_set(cpu)).collect())
}

/// Pins this thread, and those that it creates from now on, to one CPU.
pub(super) fn pin(cpu: usize) -> io::Result<()> {
    allow(&[cpu])
}

/// Lets this thread run on these CPUs.
pub(super) fn allow(cpus: &[usize]) -> io::Result<()> {
    let mut set = CpuSet::new();
    for &cpu in cpus.iter().filter(|&&cpu| cpu < CpuSet::MAX_CPU) {
        set.set(cpu);
    }
    Ok(sched_setaffinity(None, &set)?)
}

/// Raises the priority (nice -10) of this thread and of those that it creates from now on. A thread that waits for a
/// CPU measures other work of the machine instead of the buffers. Requires CAP_SYS_NICE; without it, the measurements
/// are noisier.
pub(super) fn raise_priority() {
    const NICE: i32 = -10;
    if let Err(error) = rustix::process::setpriority_process(None, NICE) {
        log::debug!("the measurements will be noisier: cannot raise the priority: {error}");
    }
}
