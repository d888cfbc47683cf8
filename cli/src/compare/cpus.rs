//! The CPUs that this process may use, threads that stay on one of them, and being let through there.

use std::io;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Their numbers, ascending.
pub(super) fn allowed() -> io::Result<Vec<usize>> {
    let set = sched_getaffinity(None)?;
    Ok((0..CpuSet::MAX_CPU).filter(|&cpu| set.is_set(cpu)).collect())
}

/// Keeps this thread, and those that it makes from now on, on one CPU.
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

/// Has this thread, and those that it makes from now on, run before what else wants the same CPU (nice -10): what waits
/// for a CPU measures the machine's other work, and not the buffers. Takes CAP_SYS_NICE; without it, things are as
/// noisy as they are.
pub(super) fn go_first() {
    const NICE: i32 = -10;
    if let Err(error) = rustix::process::setpriority_process(None, NICE) {
        log::debug!("the measurements will be noisier: cannot raise the priority: {error}");
    }
}
