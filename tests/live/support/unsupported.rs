//! Features that a kernel may lack: each function returns the reason. The answers come from the kernel's files, its
//! symbols and its version, not from the code under test.
#![expect(unsafe_code, reason = "asks the kernel itself")]

use std::{fs, path::Path};

use crate::{harness::older_than, own_mounts};

/// Returns no reason, for tables whose rows each name a requirement.
pub(crate) fn nothing() -> Option<String> {
    None
}

/// Returns the reason if the kernel lacks kprobes as perf events.
pub(crate) fn kprobes() -> Option<String> {
    let there = Path::new("/sys/bus/event_source/devices/kprobe").exists();
    (!there).then(|| "this kernel has no kprobes (CONFIG_KPROBE_EVENTS)".to_owned())
}

/// Returns the reason if the kernel cannot patch calls into functions: fentry and its relatives need the function
/// tracer.
pub(crate) fn trampolines() -> Option<String> {
    // The file lists what the tracer can patch. It is missing without dynamic patching, and cannot be opened where that
    // is forbidden.
    let list = own_mounts::Mounted::new("tracefs")
        .and_then(|mounted| fs::File::open(mounted.path().join("available_filter_functions")));
    list.err().map(|error| {
        format!("this kernel cannot patch functions, or that is forbidden: cannot open its list of them: {error}")
    })
}

/// Returns the reason if the kernel has no links on many functions by their BTF ids.
pub(crate) fn tracing_multi() -> Option<String> {
    trampolines().or_else(btf).or_else(|| older_than(7, 3, "links on many functions by BTF id"))
}

/// Returns the reason if LSM programs do not run: the security module `bpf` must be active.
pub(crate) fn lsm() -> Option<String> {
    let directory = Path::new("/sys/kernel/security");
    if directory.exists() && !directory.join("lsm").exists() {
        own_mounts::mount("securityfs", directory);
    }
    let active = fs::read_to_string(directory.join("lsm")).unwrap_or_default();
    let there = active.trim().split(',').any(|module| module == "bpf");
    let text =
        || format!("the security module bpf is not active here (boot with lsm=…,bpf); active are: {}", active.trim());
    trampolines().or_else(|| older_than(5, 7, "LSM programs")).or_else(|| (!there).then(text))
}

/// Returns the reason if the kernel lacks kprobe multi links.
pub(crate) fn kprobe_multi() -> Option<String> {
    let fprobes = || {
        let why = "this kernel has no kprobe multi links (CONFIG_FPROBE)";
        (!has_symbol("register_fprobe")).then(|| why.to_owned())
    };
    kprobes().or_else(trampolines).or_else(|| older_than(5, 18, "kprobe multi links")).or_else(fprobes)
}

pub(crate) fn kprobe_session() -> Option<String> {
    kprobe_multi().or_else(|| older_than(6, 10, "kprobe sessions"))
}

pub(crate) fn uprobe_session() -> Option<String> {
    older_than(6, 13, "uprobe sessions")
}

pub(crate) fn iterators() -> Option<String> {
    btf().or_else(|| older_than(5, 8, "iterators"))
}

pub(crate) fn map_iterators() -> Option<String> {
    btf().or_else(|| older_than(5, 9, "iterators over a map"))
}

pub(crate) fn one_process_iterators() -> Option<String> {
    btf().or_else(|| older_than(6, 1, "iterators over one process"))
}

pub(crate) fn cookies() -> Option<String> {
    older_than(5, 15, "cookies, which need links on perf events")
}

/// Returns the reason if the USDT tests cannot run. The arguments of this binary's probes are in the syntax of an
/// architecture, and their program sends through a ring.
pub(crate) fn usdt() -> Option<String> {
    let known = cfg!(any(target_arch = "x86_64", target_arch = "aarch64"));
    let other = "the probes of these tests are written for x86-64 and arm64";
    (!known).then(|| other.to_owned()).or_else(|| older_than(5, 8, "the ring buffer"))
}

pub(crate) fn usdt_cookies() -> Option<String> {
    usdt().or_else(cookies)
}

pub(crate) fn tracing_cookies() -> Option<String> {
    trampolines().or_else(|| older_than(5, 19, "cookies on functions"))
}

pub(crate) fn raw_cookies() -> Option<String> {
    older_than(6, 10, "cookies on raw tracepoints")
}

/// Returns the reason if the kernel lacks traffic control. It is often in modules, which the kernel loads on demand if
/// they are installed.
pub(crate) fn tc() -> Option<String> {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let built_in = has_symbol("clsact_init") && has_symbol("cls_bpf_classify");
    let modules = Path::new("/lib/modules").join(release.trim()).exists();
    (!built_in && !modules).then(|| "this kernel has traffic control in modules, and they are not here".to_owned())
}

pub(crate) fn tcx() -> Option<String> {
    older_than(6, 6, "links for classifiers")
}

/// Returns the reason if the kernel lacks netkit devices.
pub(crate) fn netkit() -> Option<String> {
    let reason = "this kernel has no netkit devices (CONFIG_NETKIT)";
    older_than(6, 7, "netkit devices").or_else(|| (!has_symbol("netkit_link_attach")).then(|| reason.to_owned()))
}

pub(crate) fn netfilter() -> Option<String> {
    older_than(6, 4, "netfilter programs")
}

pub(crate) fn sk_lookup() -> Option<String> {
    older_than(5, 9, "sk_lookup programs")
}

pub(crate) fn syscall_programs() -> Option<String> {
    older_than(5, 14, "programs of the type SYSCALL")
}

pub(crate) fn verdicts_alone() -> Option<String> {
    older_than(5, 13, "a verdict without a parser")
}

pub(crate) fn btf() -> Option<String> {
    let there = Path::new("/sys/kernel/btf/vmlinux").exists();
    (!there).then(|| "this kernel has no BTF (CONFIG_DEBUG_INFO_BTF)".to_owned())
}

/// Returns the reason if the kernel lacks struct_ops maps. A kernel may be built without those for TCP.
pub(crate) fn struct_ops() -> Option<String> {
    let reason = "this kernel does not support congestion control in BPF (CONFIG_BPF_JIT, CONFIG_DEBUG_INFO_BTF)";
    btf()
        .or_else(|| older_than(5, 6, "struct_ops maps"))
        .or_else(|| (!has_symbol("bpf_tcp_ca_reg")).then(|| reason.to_owned()))
}

pub(crate) fn struct_ops_links() -> Option<String> {
    struct_ops().or_else(|| older_than(6, 4, "links on struct_ops maps"))
}

pub(crate) fn freplace() -> Option<String> {
    /// `BPF_PROG_TYPE_EXT`
    const EXT: u32 = 28;
    older_than(5, 7, "replacing functions of programs, with a link").or_else(|| forbidden(EXT))
}

/// Returns the reason why a program type cannot be loaded even by root: a security module forbids it.
fn forbidden(program_type: u32) -> Option<String> {
    /// `BPF_PROG_LOAD`
    const LOAD: libc::c_long = 5;
    // The check calls bpf(2) itself: the reason to ignore a test must not depend on the loader.
    // r0 = 0; exit
    let program = [0xb7_u64.to_le(), 0x95_u64.to_le()];
    let license = c"GPL";
    // prog_type, insn_cnt, insns, license; the rest is 0.
    let attr = [u64::from(program_type) | 2 << 32, program.as_ptr() as u64, license.as_ptr() as u64];
    // SAFETY: the command reads two instructions and a C string, all alive, and `attr`, with its own length.
    let answer = unsafe { libc::syscall(libc::SYS_bpf, LOAD, attr.as_ptr(), size_of_val(&attr)) };
    let error = std::io::Error::last_os_error();
    // Without a security module, the kernel would refuse such a program with another errno.
    (answer < 0 && error.raw_os_error() == Some(libc::EPERM))
        .then(|| format!("a security module forbids programs of type {program_type}: {error}"))
}

/// Returns the reason if the kernel lacks cgroup v2; it need not be mounted.
pub(crate) fn cgroups() -> Option<String> {
    let known = fs::read_to_string("/proc/filesystems").unwrap().contains("cgroup2");
    (!known).then(|| "this kernel has no cgroups of version 2".to_owned())
}

/// Returns whether a function is built into the kernel.
pub(crate) fn has_symbol(name: &str) -> bool {
    let symbols = fs::read_to_string("/proc/kallsyms").unwrap();
    symbols.lines().any(|line| line.split_whitespace().nth(2) == Some(name))
}
