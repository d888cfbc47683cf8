//! Finds the reason for EPERM and EACCES, after the kernel has returned one of them.
//!
//! The errno alone says little. A capability may be missing; which one depends on the request. The kernel may be locked
//! down, which restricts even root. The capabilities may be those of a user namespace, which do not count. Or a
//! container's seccomp filter may refuse the call. `/proc/self/status` has this process's capabilities; the other
//! reasons are checked in the order of likelihood.
//!
//! The required capabilities are in `kernel/bpf/syscall.c` (`bpf_prog_load`, `map_create`) and `kernel/events/core.c`.
//! `CAP_SYS_ADMIN` includes all of them, and is the only one before Linux 5.8.

use std::fs;

#[cfg(feature = "uprobe")]
use cutaway_sys::mount;

use crate::{MapType, ProgramType};

/// A capability by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Capability(u32, &'static str);

impl Capability {
    pub(crate) const NET_ADMIN: Self = Self(12, "CAP_NET_ADMIN");
    pub(crate) const SYS_ADMIN: Self = Self(21, "CAP_SYS_ADMIN");
    pub(crate) const PERFMON: Self = Self(38, "CAP_PERFMON");
    pub(crate) const BPF: Self = Self(39, "CAP_BPF");
}

/// The advice for objects that are opened by id, for which CAP_BPF does not suffice.
pub(crate) const ONLY_BY_ROOT: &str = "only CAP_SYS_ADMIN may open what other processes have created: run it as root";

/// Why capabilities of a user namespace do not suffice. With a BPF token, they do.
pub(crate) const IN_USER_NAMESPACE: &str =
    "this process is in a user namespace, whose capabilities do not count for this";

/// The capabilities for most of the loader's work.
pub(crate) const USUAL: &[Capability] = &[Capability::BPF, Capability::PERFMON];

/// Returns the capabilities needed to load a program of this type.
pub(crate) fn to_load(program_type: ProgramType) -> &'static [Capability] {
    use Capability as C;
    match program_type {
        ProgramType::KPROBE
        | ProgramType::TRACEPOINT
        | ProgramType::PERF_EVENT
        | ProgramType::RAW_TRACEPOINT
        | ProgramType::RAW_TRACEPOINT_WRITABLE
        | ProgramType::TRACING
        | ProgramType::LSM
        | ProgramType::STRUCT_OPS => USUAL,
        ProgramType::EXT => &[C::BPF, C::PERFMON, C::NET_ADMIN],
        ProgramType::SOCKET_FILTER
        | ProgramType::CGROUP_SKB
        | ProgramType::SK_REUSEPORT
        | ProgramType::SK_LOOKUP
        | ProgramType::SYSCALL => &[C::BPF],
        _ => &[C::BPF, C::NET_ADMIN],
    }
}

/// Returns the capabilities needed to create a map of this type.
pub(crate) fn to_create(map_type: MapType) -> &'static [Capability] {
    use Capability as C;
    match map_type {
        MapType::SOCKMAP | MapType::SOCKHASH | MapType::DEVMAP | MapType::DEVMAP_HASH | MapType::XSKMAP => {
            &[C::BPF, C::NET_ADMIN]
        }
        _ => &[C::BPF],
    }
}

/// Returns what to do after a refusal of an operation that needs these capabilities; `None` if no reason is found.
pub(crate) fn advice(wanted: &[Capability]) -> Option<String> {
    if !cfg!(feature = "advice") {
        return None;
    }
    // The process name in it may contain any bytes.
    let status = fs::read("/proc/self/status").unwrap_or_default();
    let status = String::from_utf8_lossy(&status);
    let whole = fs::read_to_string("/proc/self/uid_map").is_ok_and(|map| is_initial(&map));
    explain(wanted, &status, whole, lockdown().as_deref())
}

/// Returns the mode of the kernel's lockdown: `integrity` or `confidentiality`; `None` without lockdown.
fn lockdown() -> Option<String> {
    let modes = fs::read_to_string("/sys/kernel/security/lockdown").ok().or_else(unmounted_lockdown)?;
    locked(&modes).map(str::to_owned)
}

/// Reads the modes by a private mount of securityfs, because it is not mounted.
#[cfg(feature = "uprobe")]
fn unmounted_lockdown() -> Option<String> {
    mount::read(c"securityfs", c"lockdown", "reads the mode of lockdown, which forbids some operations even to root")
        .ok()
}

/// Returns `None`: the smallest builds mount no file systems.
#[cfg(not(feature = "uprobe"))]
fn unmounted_lockdown() -> Option<String> {
    None
}

/// Returns true if the user namespace is the initial one.
fn is_initial(uid_map: &str) -> bool {
    uid_map.split_whitespace().eq(["0", "0", "4294967295"])
}

/// Parses `none [integrity] confidentiality`.
fn locked(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once('[')?;
    rest.split(']').next().filter(|&state| state != "none")
}

/// Returns the names of those of these capabilities that the process lacks, also in its own user namespace; `None` if
/// it lacks none, or that is unknown.
#[cfg(feature = "token")]
pub(crate) fn missing(wanted: &[Capability]) -> Option<String> {
    let status = fs::read("/proc/self/status").ok()?;
    lacking(wanted, &String::from_utf8_lossy(&status)).filter(|names| !names.is_empty())
}

/// Returns the value of a line of `/proc/self/status`.
fn field<'s>(status: &'s str, name: &str) -> Option<&'s str> {
    status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

/// Returns the names of the capabilities that are not effective, joined by `and`; `None` if that is unknown.
fn lacking(wanted: &[Capability], status: &str) -> Option<String> {
    let effective = field(status, "CapEff").and_then(|text| u64::from_str_radix(text, 16).ok())?;
    let has = |capability: &Capability| effective & 1 << capability.0 != 0;
    if has(&Capability::SYS_ADMIN) {
        return Some(String::new());
    }
    let names: Vec<_> = wanted.iter().filter(|capability| !has(capability)).map(|capability| capability.1).collect();
    Some(names.join(" and "))
}

fn explain(wanted: &[Capability], status: &str, whole: bool, lockdown: Option<&str>) -> Option<String> {
    if wanted.is_empty() {
        return None;
    }
    let lacking = lacking(wanted, status)?;
    if !lacking.is_empty() {
        let before = if lacking.contains(Capability::SYS_ADMIN.1) { "" } else { " (CAP_SYS_ADMIN before Linux 5.8)" };
        return Some(format!("this process lacks {lacking}: run it as root, or with {lacking}{before}"));
    }
    if !whole {
        return Some(IN_USER_NAMESPACE.to_owned());
    }
    // Lockdown for integrity forbids none of this, except the helpers that `under_lockdown` checks.
    if lockdown == Some("confidentiality") {
        return Some(
            "the kernel is locked down for confidentiality (/sys/kernel/security/lockdown), which forbids kprobes, \
             perf events and tracefs even to root"
                .to_owned(),
        );
    }
    match field(status, "Seccomp") {
        Some("2") => Some("a seccomp filter, as containers have, may forbid it".to_owned()),
        _ => None,
    }
}

/// Returns the verifier's sentence with the lockdown mode, if lockdown is why a helper is unknown.
pub(crate) fn under_lockdown(sentence: &str) -> Option<String> {
    if !cfg!(feature = "advice") {
        return None;
    }
    let forbidden = ["bpf_probe_write_user", "bpf_probe_read"];
    let is_helper = forbidden.iter().any(|helper| sentence.contains(helper));
    if !is_helper || !(sentence.contains("cannot use helper") || sentence.contains("unknown func")) {
        return None;
    }
    let lockdown = lockdown()?;
    Some(format!("{sentence} (the kernel is locked down for {lockdown}, see /sys/kernel/security/lockdown)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(effective: u64, seccomp: u32) -> String {
        format!("Name:\tx\nCapPrm:\t{effective:016x}\nCapEff:\t{effective:016x}\nSeccomp:\t{seccomp}\n")
    }

    #[test]
    fn missing_capability_is_named() {
        let bpf = 1 << 39;
        let perfmon = 1 << 38;
        let admin = 1 << 21;
        let lacking = |effective| explain(USUAL, &status(effective, 0), true, Some("confidentiality"));
        assert!(lacking(0).unwrap().starts_with("this process lacks CAP_BPF and CAP_PERFMON: run it as root"));
        assert!(lacking(bpf).unwrap().starts_with("this process lacks CAP_PERFMON: "));
        assert!(lacking(perfmon).unwrap().starts_with("this process lacks CAP_BPF: "));
        assert!(lacking(bpf | perfmon).unwrap().starts_with("the kernel is locked down for confidentiality"));
        assert!(lacking(admin).unwrap().starts_with("the kernel is locked down for confidentiality"));
    }

    #[test]
    fn other_reasons_of_a_refusal() {
        let all = |whole, seccomp| explain(USUAL, &status(u64::MAX, seccomp), whole, None);
        assert!(all(false, 0).unwrap().contains("user namespace"));
        assert!(all(true, 2).unwrap().contains("seccomp"));
        assert_eq!(all(true, 0), None);
        assert_eq!(explain(USUAL, "", true, None), None);
        assert_eq!(explain(USUAL, &status(u64::MAX, 0), true, Some("integrity")), None);
        assert_eq!(explain(&[], &status(0, 2), false, Some("confidentiality")), None);
    }

    #[test]
    fn kernel_files_are_parsed() {
        assert_eq!(locked("none [integrity] confidentiality\n"), Some("integrity"));
        assert_eq!(locked("[none] integrity confidentiality\n"), None);
        assert_eq!(locked(""), None);
        assert!(is_initial("         0          0 4294967295\n"));
        assert!(!is_initial("         0       1000          1\n"));
    }
}
