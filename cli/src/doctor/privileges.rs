//! Checks of the privileges of this process.

use std::fs;

use cutaway::BpfToken;
use cutaway_sys::mount;

use super::finding::Finding;

pub(super) fn findings() -> Vec<Finding> {
    vec![capabilities(), token(), unprivileged(), paranoid(), lockdown(), locked_memory()]
}

/// The relevant capabilities, by number (`include/uapi/linux/capability.h`).
const CAPABILITIES: [(u32, &str); 5] =
    [(14, "CAP_IPC_LOCK"), (21, "CAP_SYS_ADMIN"), (24, "CAP_SYS_RESOURCE"), (38, "CAP_PERFMON"), (39, "CAP_BPF")];

/// Returns the effective capabilities; `None` if they cannot be read.
fn effective() -> Option<u64> {
    // The name in this file may have any bytes.
    let status = fs::read("/proc/self/status").unwrap_or_default();
    let status = String::from_utf8_lossy(&status);
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(effective.trim(), 16).ok()
}

/// Reports whether `peek` can borrow the fds of other processes, as it does for perf buffers.
pub(super) fn observer() -> Finding {
    const CHECK: &str = "perf buffers";
    const CAP_SYS_PTRACE: u32 = 19;
    match effective() {
        None => Finding::note(CHECK, "unknown: /proc/self/status cannot be read", "mount /proc"),
        Some(mask) if mask >> CAP_SYS_PTRACE & 1 == 1 => Finding::ok(CHECK, "permitted by CAP_SYS_PTRACE"),
        Some(_) => {
            Finding::note(CHECK, "not permitted, except those of the same user", "run as root, or with CAP_SYS_PTRACE")
        }
    }
}

fn capabilities() -> Finding {
    let Some(effective) = effective() else {
        return Finding::note("capabilities", "unknown: /proc/self/status cannot be read", "mount /proc");
    };
    let has = |number: u32| effective >> number & 1 == 1;
    let (there, missing): (Vec<_>, Vec<_>) = CAPABILITIES.iter().partition(|(number, _)| has(*number));
    let names = |list: &[&(u32, &str)]| list.iter().map(|(_, name)| *name).collect::<Vec<_>>().join(", ");
    let finding = match (there.as_slice(), missing.as_slice()) {
        ([], _) => "none of the relevant ones".to_owned(),
        (there, []) => names(there),
        (there, missing) => format!("{}; without {}", names(there), names(missing)),
    };
    let enough = has(21) || has(38) && has(39);
    if enough && BpfToken::is_needed() {
        let advice = "they do not count for BPF, except with a BPF token; see BPF token below";
        Finding::note("capabilities", format!("{finding}; in a user namespace"), advice)
    } else if enough {
        Finding::ok("capabilities", finding)
    } else {
        Finding::no(
            "capabilities",
            finding,
            "run as root, or give the process CAP_BPF and CAP_PERFMON (CAP_SYS_ADMIN before Linux 5.8)",
        )
    }
}

/// Reports the token that a load uses by itself.
fn token() -> Finding {
    const CHECK: &str = "BPF token";
    if !BpfToken::is_needed() {
        return Finding::ok(CHECK, "not needed in the initial user namespace");
    }
    let token = match BpfToken::from_env() {
        Ok(token) => token,
        Err(error) => {
            return Finding::no(
                CHECK,
                format!("none: {error}"),
                "mount a BPF file system of this user namespace with delegate_cmds, delegate_maps, delegate_progs and \
                 delegate_attachs",
            );
        }
    };
    match token.delegation() {
        Ok(delegation) => Finding::ok(CHECK, format!("{token} has {delegation}")),
        Err(error) => Finding::note(CHECK, format!("{token}: {error}"), "mount /proc"),
    }
}

fn setting(path: &str) -> Option<i64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

fn unprivileged() -> Finding {
    const CHECK: &str = "unprivileged bpf(2)";
    match setting("/proc/sys/kernel/unprivileged_bpf_disabled") {
        Some(0) => Finding::note(CHECK, "allowed, for a few kinds of program", "tracing still needs capabilities"),
        Some(level) => Finding::ok(CHECK, format!("forbidden (kernel.unprivileged_bpf_disabled = {level})")),
        None => Finding::ok(CHECK, "unknown"),
    }
}

fn paranoid() -> Finding {
    const CHECK: &str = "perf_event_paranoid";
    match setting("/proc/sys/kernel/perf_event_paranoid") {
        Some(level) if level > 0 => Finding::ok(CHECK, format!("{level}: perf buffers need CAP_PERFMON")),
        Some(level) => Finding::ok(CHECK, format!("{level}: perf buffers may be opened by every user")),
        None => Finding::no(CHECK, "the kernel has no perf events", "it needs CONFIG_PERF_EVENTS"),
    }
}

fn lockdown() -> Finding {
    const CHECK: &str = "lockdown";
    let unmounted = || mount::read(c"securityfs", c"lockdown", "reads the mode of lockdown");
    let text = fs::read_to_string("/sys/kernel/security/lockdown").ok().or_else(|| unmounted().ok());
    let text = text.unwrap_or_default();
    let level = text.split_once('[').and_then(|(_, rest)| rest.split_once(']')).map(|(level, _)| level);
    match level {
        // The checks that load programs show whether they need it.
        Some("confidentiality") => Finding::note(
            CHECK,
            "confidentiality: programs cannot read kernel memory, and some cannot be loaded",
            "boot without lockdown=confidentiality",
        ),
        Some(level) => Finding::ok(CHECK, level),
        None => Finding::ok(CHECK, "unknown, or not built into the kernel"),
    }
}

fn locked_memory() -> Finding {
    const CHECK: &str = "locked memory";
    let limit = rustix::process::getrlimit(rustix::process::Resource::Memlock).current;
    let limit = limit.map_or_else(|| "no limit".to_owned(), |bytes| format!("limit {} KiB", bytes / 1024));
    match setting("/proc/sys/kernel/perf_event_mlock_kb") {
        Some(kib) => Finding::ok(CHECK, format!("{limit}; perf buffers may lock {kib} KiB more for each CPU and user")),
        None => Finding::ok(CHECK, limit),
    }
}
