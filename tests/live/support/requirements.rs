//! Requirements of a test: each function returns the reason why the machine does not meet it.
//!
//! A test that cannot run is reported as ignored when its turn comes, with the reason. `needs X.Y: …` names a kernel
//! version, which a run on several kernels can check; `needs root: …` names privileges.

use cutaway::features::{self, Support};

/// Requires the privilege to load programs and attach them anywhere.
pub(crate) fn root() -> Option<String> {
    let reason = "needs root: it loads BPF programs and attaches them for all processes";
    (!privileged()).then(|| reason.to_owned())
}

/// Requires that privilege, and ring buffers.
pub(crate) fn ring() -> Option<String> {
    root().or_else(|| match features::ring_buffer() {
        Support::Needs(version) => Some(format!("needs {version}: the ring buffer")),
        _ => None,
    })
}

/// Returns whether this process has `CAP_SYS_ADMIN`, which a container's root may lack.
fn privileged() -> bool {
    /// It includes the capabilities that were later split off from it.
    const CAP_SYS_ADMIN: u32 = 21;
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:")).unwrap();
    let effective = u64::from_str_radix(effective.trim(), 16).unwrap();
    effective & (1 << CAP_SYS_ADMIN) != 0
}
