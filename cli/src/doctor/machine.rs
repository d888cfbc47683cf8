//! Checks of the kernel and of its mounted file systems.

use std::{
    fs,
    io::{self, Read},
    path::Path,
};

use cutaway::{
    Uprobe,
    features::{self, Support},
};
use cutaway_programs::getaddrinfo;

use super::finding::Finding;

/// Checks what `trace` needs.
pub(super) fn for_trace() -> Vec<Finding> {
    let mut findings = buffers();
    findings.extend([uprobes(), function(), tracefs(), bpffs(), jit()]);
    findings
}

/// Checks what `run` needs, for any object.
pub(super) fn for_run() -> Vec<Finding> {
    let mut findings = buffers();
    findings.extend([bpffs(), jit()]);
    findings
}

/// Checks what `peek` needs.
pub(super) fn for_peek() -> Vec<Finding> {
    let ring = feature("ring buffer", features::ring_buffer(), "`peek` shows only perf buffers");
    vec![kernel(), cpus(), ring]
}

fn buffers() -> Vec<Finding> {
    vec![
        kernel(),
        cpus(),
        feature("ring buffer", features::ring_buffer(), "use --transport perf-heap or perf-stack"),
        feature("perf event array", features::perf_event_array(), "a newer kernel is needed"),
        feature("links on perf events", features::perf_link(), "programs are attached by ioctl(2) instead"),
        feature("BTF", features::btf(), "verifier logs will not quote source lines"),
        kernel_btf(),
    ]
}

pub(super) fn kernel() -> Finding {
    let system = rustix::system::uname();
    let text = format!(
        "{} {} on {}",
        system.sysname().to_string_lossy(),
        system.release().to_string_lossy(),
        system.machine().to_string_lossy()
    );
    Finding::ok("kernel", text)
}

pub(super) fn cpus() -> Finding {
    let list = |file: &str| {
        let mut text = String::new();
        let file = fs::File::open(format!("/sys/devices/system/cpu/{file}"))?;
        // A page is the most that the kernel writes.
        file.take(4096).read_to_string(&mut text)?;
        Ok::<_, io::Error>(text.trim().to_owned())
    };
    match (list("online"), list("possible")) {
        (Ok(online), Ok(possible)) => Finding::ok("CPUs", format!("online {online}, possible {possible}")),
        (Err(error), _) | (_, Err(error)) => {
            Finding::no("CPUs", format!("/sys/devices/system/cpu cannot be read: {error}"), "mount sysfs on /sys")
        }
    }
}

fn feature(check: &'static str, support: Support, otherwise: &str) -> Finding {
    match support {
        Support::Yes => Finding::ok(check, "yes"),
        Support::Needs(_) | Support::No => Finding::note(check, support.to_string(), otherwise),
        Support::Unknown => Finding::note(check, support.to_string(), "try again with more fds or memory"),
        Support::NotPermitted => Finding::no(
            check,
            support.to_string(),
            "run as root, or with CAP_BPF and CAP_PERFMON; see capabilities below",
        ),
    }
}

fn kernel_btf() -> Finding {
    const PATH: &str = "/sys/kernel/btf/vmlinux";
    match fs::metadata(PATH) {
        Ok(file) => Finding::ok("kernel BTF", format!("{PATH}, {} bytes", file.len())),
        Err(_) => Finding::note(
            "kernel BTF",
            format!("there is no {PATH}"),
            "objects with CO-RE relocations cannot be loaded; the kernel was built without CONFIG_DEBUG_INFO_BTF",
        ),
    }
}

/// Returns whether the kernel has a source of perf events, by the file in sysfs.
pub(super) fn has_event_source(name: &str) -> bool {
    Path::new("/sys/bus/event_source/devices").join(name).join("type").exists()
}

fn uprobes() -> Finding {
    if has_event_source("uprobe") {
        Finding::ok("uprobes", "yes")
    } else {
        Finding::no(
            "uprobes",
            "this kernel has no uprobe PMU",
            "it needs CONFIG_UPROBE_EVENTS, and sysfs mounted on /sys",
        )
    }
}

fn function() -> Finding {
    match Uprobe::new(getaddrinfo::LIBRARY, getaddrinfo::FUNCTION).locate() {
        Ok((file, offset)) => Finding::ok("getaddrinfo", format!("at {offset:#x} in {}", file.display())),
        Err(error) => Finding::no("getaddrinfo", error.to_string(), "name the right library with --library"),
    }
}

fn tracefs() -> Finding {
    match crate::trace::cannot_follow() {
        None => Finding::ok("following children", "yes, by the tracepoint task/task_newtask"),
        Some(why) => {
            Finding::note("following children", why, "`trace -- COMMAND` traces every process, not COMMAND alone")
        }
    }
}

fn bpffs() -> Finding {
    // Paths in this file may have any bytes.
    let mounts = fs::read("/proc/self/mounts").unwrap_or_default();
    let mounts = String::from_utf8_lossy(&mounts);
    let mount_point = mounts.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        let (mount_point, kind) = (words.nth(1)?, words.next()?);
        (kind == "bpf").then_some(mount_point)
    });
    match mount_point {
        Some(mount_point) => Finding::ok("bpffs", format!("mounted on {mount_point}")),
        None => Finding::note("bpffs", "not mounted", "nothing can be pinned; mount -t bpf bpf /sys/fs/bpf"),
    }
}

fn jit() -> Finding {
    match fs::read_to_string("/proc/sys/net/core/bpf_jit_enable").as_deref().map(str::trim) {
        Ok("0") => Finding::note("JIT compiler", "off: programs are interpreted", "sysctl net.core.bpf_jit_enable=1"),
        Ok(_) => Finding::ok("JIT compiler", "on"),
        // Only root may read it, and a kernel without an interpreter does not have the file.
        Err(_) => Finding::ok("JIT compiler", "unknown: /proc/sys/net/core/bpf_jit_enable cannot be read"),
    }
}
