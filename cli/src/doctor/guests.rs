//! Checks of `cutaway-vm`: what it needs to run a guest. No guest is booted.

use std::{fs, path::PathBuf};

use super::{finding::Finding, machine};

pub(super) fn findings() -> Vec<Finding> {
    vec![machine::kernel(), machine::cpus(), kvm(), packages(), command(), emulator()]
}

/// Returns the path of a program, searched in PATH.
fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|directory| directory.join(name)).find(|file| file.is_file())
}

fn emulator() -> Finding {
    const CHECK: &str = "QEMU";
    let (name, package) = if cfg!(target_arch = "aarch64") {
        ("qemu-system-aarch64", "qemu-system-arm (Fedora: qemu-system-aarch64-core)")
    } else {
        ("qemu-system-x86_64", "qemu-system-x86 (Fedora: qemu-system-x86-core)")
    };
    match program(name) {
        Some(path) => Finding::ok(CHECK, path.display().to_string()),
        None => Finding::no(CHECK, format!("there is no {name} in PATH"), format!("install {package}")),
    }
}

/// Reports whether `/dev/kvm` opens. Guests may not run nevertheless: `cutaway-vm` boots one to find out.
fn kvm() -> Finding {
    const CHECK: &str = "KVM";
    match fs::File::options().read(true).write(true).open("/dev/kvm") {
        Ok(_) => Finding::ok(CHECK, "/dev/kvm opens; whether guests run shows when cutaway-vm boots one"),
        Err(error) => Finding::note(
            CHECK,
            format!("cannot open /dev/kvm: {error}"),
            "QEMU emulates guests in software, which boot in four to five seconds",
        ),
    }
}

fn packages() -> Finding {
    const CHECK: &str = "kernel packages";
    let otherwise = "pass the path of a kernel's image: --image /boot/vmlinuz-…";
    match program("apt-get") {
        Some(_) => Finding::ok(CHECK, "by apt; whether its archives have kernels is not examined"),
        None => Finding::note(CHECK, "there is no apt-get in PATH", otherwise),
    }
}

fn command() -> Finding {
    const CHECK: &str = "cutaway-vm";
    match program("cutaway-vm") {
        Some(path) => Finding::ok(CHECK, path.display().to_string()),
        None => Finding::note(
            CHECK,
            "there is no cutaway-vm in PATH",
            "cargo install --path tests/vm; in this repository, cargo xtask vm builds it",
        ),
    }
}
