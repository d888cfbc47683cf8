//! The file systems and limits of a guest, as a distribution's init sets them up.

use std::ffi::CString;
use std::path::{Path, PathBuf};
use std::{fs, io};

use rustix::fs::Mode;
use rustix::mount::{MountFlags, mount, mount_bind};
use rustix::process::{Resource, Rlimit, setrlimit};

use crate::plan::RESULTS;

/// Type, mount point, options. `/tmp` and the results directory are limited, so that a test that fills its disk gets
/// ENOSPC and does not use up the guest's memory.
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

/// Settings that turn a sick kernel into a dead one, so that the host can show its trace.
const SYSCTLS: &[(&str, &str)] = &[
    ("kernel/panic_on_oops", "1"),
    ("kernel/softlockup_panic", "1"),
    ("kernel/panic", "-1"),
    // Every line of a dying kernel goes to the console, even if the distribution's default would hide it.
    ("kernel/printk", "7"),
];

/// Mounts everything and sets the limits. Returns a note for each step that failed: an old or small kernel that lacks a
/// file system is still usable.
pub(super) fn all() -> Vec<String> {
    let mut complaints = Vec::new();
    for &(kind, mount_point, options) in MOUNTS {
        if let Err(error) = one(kind, mount_point, options) {
            complaints.push(format!("cannot mount {kind} on {mount_point}: {error}"));
        }
    }
    for &(name, value) in SYSCTLS {
        if let Err(error) = fs::write(Path::new("/proc/sys").join(name), value) {
            complaints.push(format!("cannot set sysctl {name}: {error}"));
        }
    }
    // The common defaults of a login: 1024 open files, up to half a million on request; no core files. RLIMIT_MEMLOCK
    // keeps the kernel's default, because raising it (before 5.11) is the loader's job.
    let files = Rlimit { current: Some(1024), maximum: Some(524_288) };
    let no_core = Rlimit { current: Some(0), maximum: Some(0) };
    for (limit, value) in [(Resource::Nofile, files), (Resource::Core, no_core)] {
        if let Err(error) = setrlimit(limit, value) {
            complaints.push(format!("cannot set {limit:?}: {error}"));
        }
    }
    for (link, target) in
        [("/dev/fd", "/proc/self/fd"), ("/dev/stdin", "fd/0"), ("/dev/stdout", "fd/1"), ("/dev/stderr", "fd/2")]
    {
        // devtmpfs is new, so only an unusual kernel has these links already.
        if let Err(error) = std::os::unix::fs::symlink(target, link) {
            complaints.push(format!("cannot create {link}: {error}"));
        }
    }
    if let Err(error) = rustix::system::sethostname(b"guest") {
        complaints.push(format!("cannot set the host name: {error}"));
    }
    complaints
}

fn one(kind: &str, mount_point: &str, options: &str) -> io::Result<()> {
    fs::create_dir_all(mount_point)?;
    let options = CString::new(options)?;
    // Test binaries may be under /tmp: the mount must not hide the initramfs's files there.
    let saved = if kind == "tmpfs" { save_contents(mount_point)? } else { None };
    mount(kind, mount_point, kind, MountFlags::empty(), options.as_c_str())?;
    if mount_point == "/tmp" || mount_point == "/dev/shm" {
        rustix::fs::chmod(mount_point, Mode::from_raw_mode(0o1777))?;
    }
    for entry in saved.iter().flat_map(fs::read_dir).flatten() {
        let entry = entry?;
        let target = Path::new(mount_point).join(entry.file_name());
        let kind = entry.file_type()?;
        if kind.is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(entry.path())?, &target)?;
            continue;
        } else if kind.is_dir() {
            fs::create_dir(&target)?;
        } else {
            fs::write(&target, "")?;
        }
        mount_bind(entry.path(), &target)?;
    }
    Ok(())
}

/// Moves a directory that is not empty to a path that no mount hides.
fn save_contents(mount_point: &str) -> io::Result<Option<PathBuf>> {
    if fs::read_dir(mount_point)?.next().is_none() {
        return Ok(None);
    }
    let saved = Path::new("/cutaway-vm").join(mount_point.replace('/', "_"));
    fs::rename(mount_point, &saved)?;
    fs::create_dir(mount_point)?;
    Ok(Some(saved))
}
