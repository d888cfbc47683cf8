//! The file systems and limits of a guest: what a distribution's init would have set up before any test.

use std::ffi::CString;
use std::path::{Path, PathBuf};
use std::{fs, io};

use rustix::fs::Mode;
use rustix::mount::{MountFlags, mount, mount_bind};
use rustix::process::{Resource, Rlimit, setrlimit};

use crate::plan::RESULTS;

/// Type, place, options. `/tmp` and the results folder are bounded, so that a test which fills its disk gets
/// ENOSPC and does not drive the guest out of memory.
const MOUNTS: &[(&str, &str, &str)] = &[
    ("proc", "/proc", ""),
    ("sysfs", "/sys", ""),
    ("devtmpfs", "/dev", ""),
    ("devpts", "/dev/pts", ""),
    ("tmpfs", "/dev/shm", "size=25%"),
    ("tmpfs", "/run", "size=10%"),
    ("tmpfs", "/tmp", "size=25%"),
    ("tmpfs", RESULTS, "size=25%"),
    ("cgroup2", "/sys/fs/cgroup", ""),
    ("bpf", "/sys/fs/bpf", ""),
    ("debugfs", "/sys/kernel/debug", ""),
    ("tracefs", "/sys/kernel/tracing", ""),
];

/// Settings that turn a sick kernel into a dead one, whose trace the host then shows.
const SYSCTLS: &[(&str, &str)] = &[
    ("kernel/panic_on_oops", "1"),
    ("kernel/softlockup_panic", "1"),
    ("kernel/unknown_nmi_panic", "1"),
    ("kernel/panic", "-1"),
    // Every line of a dying kernel belongs on the console, whatever a distribution's default hides.
    ("kernel/printk", "7"),
];

/// Mounts everything and sets the limits. Returns a sentence for each thing that did not work: an old or small
/// kernel lacks a file system without being useless.
pub(super) fn all() -> Vec<String> {
    let mut complaints = Vec::new();
    for &(kind, place, options) in MOUNTS {
        if let Err(error) = one(kind, place, options) {
            complaints.push(format!("{kind} is not mounted on {place}: {error}"));
        }
    }
    for &(name, value) in SYSCTLS {
        if let Err(error) = fs::write(Path::new("/proc/sys").join(name), value) {
            complaints.push(format!("sysctl {name} stays as it is: {error}"));
        }
    }
    // The common defaults of a login: 1024 files, up to half a million on request; no core files.
    // RLIMIT_MEMLOCK stays the kernel's, for raising it (before 5.11) is a loader's own business.
    let files = Rlimit { current: Some(1024), maximum: Some(524_288) };
    let no_core = Rlimit { current: Some(0), maximum: Some(0) };
    for (limit, value) in [(Resource::Nofile, files), (Resource::Core, no_core)] {
        if let Err(error) = setrlimit(limit, value) {
            complaints.push(format!("{limit:?} stays as it is: {error}"));
        }
    }
    for (link, target) in
        [("/dev/fd", "/proc/self/fd"), ("/dev/stdin", "fd/0"), ("/dev/stdout", "fd/1"), ("/dev/stderr", "fd/2")]
    {
        // devtmpfs is fresh, so only an odd kernel has them already.
        if let Err(error) = std::os::unix::fs::symlink(target, link) {
            complaints.push(format!("{link} is missing: {error}"));
        }
    }
    if let Err(error) = rustix::system::sethostname(b"guest") {
        complaints.push(format!("the guest has no name: {error}"));
    }
    complaints
}

fn one(kind: &str, place: &str, options: &str) -> io::Result<()> {
    fs::create_dir_all(place)?;
    let options = CString::new(options)?;
    // Test binaries may lie under /tmp: what the initramfs has there must not vanish under the mount.
    let brought = if kind == "tmpfs" { set_aside(place)? } else { None };
    mount(kind, place, kind, MountFlags::empty(), options.as_c_str())?;
    if place == "/tmp" || place == "/dev/shm" {
        rustix::fs::chmod(place, Mode::from_raw_mode(0o1777))?;
    }
    for entry in brought.iter().flat_map(fs::read_dir).flatten() {
        let entry = entry?;
        let place = Path::new(place).join(entry.file_name());
        let kind = entry.file_type()?;
        if kind.is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(entry.path())?, &place)?;
            continue;
        } else if kind.is_dir() {
            fs::create_dir(&place)?;
        } else {
            fs::write(&place, "")?;
        }
        mount_bind(entry.path(), &place)?;
    }
    Ok(())
}

/// Moves a folder that is not empty to where a mount does not hide it.
fn set_aside(place: &str) -> io::Result<Option<PathBuf>> {
    if fs::read_dir(place)?.next().is_none() {
        return Ok(None);
    }
    let aside = Path::new("/cutaway-vm").join(place.replace('/', "_"));
    fs::rename(place, &aside)?;
    fs::create_dir(place)?;
    Ok(Some(aside))
}
