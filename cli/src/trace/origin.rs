//! Finds the origin of a call: the process's cgroup and container.
//!
//! The program sends the id of the cgroup in the hierarchy of version 2. Such an id is a file handle (`FILEID_KERNFS`,
//! `fs/kernfs/mount.c`), so open_by_handle_at(2) opens the directory, and its name is the path. On a machine whose
//! containers use cgroups of version 1, the id is that of the root. Then `/proc/PID/cgroup` is read while the process
//! lives.
#![expect(unsafe_code, reason = "open_by_handle_at(2)")]

use std::{
    collections::HashMap,
    fs::{self, File},
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
    time::Duration,
};

use cutaway_sys::mount;

/// Finds the paths of cgroups, and keeps them.
pub(crate) struct Cgroups {
    root: Option<OwnedFd>,
    known: HashMap<u64, String>,
    /// Whether the process ids in events are those of `/proc`. They are not outside of the initial PID namespace.
    can_read_proc: bool,
    /// Whether there are also hierarchies of version 1. A process in the root of version 2 can be in one of their
    /// cgroups.
    has_v1: bool,
}

/// The origin of a call. `None` means unknown.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Origin {
    pub(crate) library: Option<String>,
    pub(crate) cgroup: Option<String>,
    /// Also `None` for a process in no container.
    pub(crate) container: Option<String>,
}

/// Paths that are kept, at most.
const MAX_KNOWN: usize = 4096;

impl Cgroups {
    pub(crate) fn new() -> Self {
        let own = fs::read(format!("/proc/{}/cgroup", std::process::id())).unwrap_or_default();
        Self {
            root: root().ok(),
            known: HashMap::new(),
            can_read_proc: super::follow::pid_namespace_obstacle().is_none(),
            has_v1: String::from_utf8_lossy(&own).lines().any(|line| !line.starts_with("0::")),
        }
    }

    /// Returns the path of the cgroup with this id (0 if it is unknown). If the id does not show it, returns the path
    /// of the process's cgroup, as long as the process lives that made the call at `time_ns` of `CLOCK_MONOTONIC`.
    pub(crate) fn path(&mut self, id: u64, pid: u32, time_ns: u64) -> Option<String> {
        let by_id = self.by_id(id);
        match by_id.as_deref() {
            Some("/") | None => {
                let of_process = if self.can_read_proc && existed_at(pid, time_ns) { of_process(pid) } else { None };
                of_process.or(by_id.filter(|_| !self.has_v1))
            }
            Some(_) => by_id,
        }
    }

    fn by_id(&mut self, id: u64) -> Option<String> {
        if let Some(path) = self.known.get(&id) {
            return Some(path.clone());
        }
        let path = find(self.root.as_ref().filter(|_| id != 0)?.as_fd(), id).ok()?;
        if self.known.len() >= MAX_KNOWN {
            self.known.clear();
        }
        self.known.insert(id, path.clone());
        Some(path)
    }
}

/// Opens the root of the hierarchy of version 2, at a usual path or by a private mount of this process.
fn root() -> io::Result<OwnedFd> {
    let known = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"].into_iter().find(|directory| {
        // Every directory of version 2 has this file, and no directory of version 1.
        fs::exists(format!("{directory}/cgroup.controllers")).unwrap_or(false)
    });
    if let Some(directory) = known {
        return File::open(directory).map(OwnedFd::from);
    }
    mount::private(
        c"cgroup2",
        "opens the cgroup hierarchy, which is not mounted, by a private mount, to find the cgroup of a call",
    )
}

/// `struct file_handle` with the eight bytes of a kernfs id.
#[repr(C)]
struct FileHandle {
    handle_bytes: libc::c_uint,
    handle_type: libc::c_int,
    id: [u8; 8],
}

fn find(root: BorrowedFd<'_>, id: u64) -> io::Result<String> {
    /// `FILEID_KERNFS`
    const KERNFS: libc::c_int = 0xfe;
    let mut handle = FileHandle { handle_bytes: 8, handle_type: KERNFS, id: id.to_ne_bytes() };
    // SAFETY: `handle` is a file handle followed by as many bytes as it says, and lives until the call is over.
    let fd =
        unsafe { libc::open_by_handle_at(root.as_raw_fd(), (&raw mut handle).cast(), libc::O_PATH | libc::O_CLOEXEC) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this fd for the caller, and nothing else knows it.
    let directory = unsafe { OwnedFd::from_raw_fd(fd) };
    let name = |fd: BorrowedFd<'_>| fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd()));
    let (top, path) = (name(root)?, name(directory.as_fd())?);
    let below = path.strip_prefix(&top).map_err(|_| io::Error::from(io::ErrorKind::NotFound))?;
    Ok(format!("/{}", below.display()))
}

/// Returns whether the process with this id existed at that time. The id may have been reused since.
fn existed_at(pid: u32, time_ns: u64) -> bool {
    use rustix::{
        param::clock_ticks_per_second,
        time::{ClockId, clock_gettime},
    };
    let now = |clock| Duration::try_from(clock_gettime(clock)).unwrap_or_default();
    let slept = now(ClockId::Boottime).saturating_sub(now(ClockId::Monotonic));
    let stat = fs::read(format!("/proc/{pid}/stat")).unwrap_or_default();
    let stat = String::from_utf8_lossy(&stat);
    // `starttime` is the 22nd field. The name can contain any character, and the third field follows it.
    let start = stat.rsplit_once(") ").and_then(|(_, fields)| fields.split_whitespace().nth(19)?.parse::<u64>().ok());
    let ticks = clock_ticks_per_second().max(1);
    start.is_some_and(|start| {
        Duration::from_nanos(1_000_000_000 / ticks).saturating_mul(u32::try_from(start).unwrap_or(u32::MAX))
            <= Duration::from_nanos(time_ns).saturating_add(slept)
    })
}

/// Reads the path in `/proc/PID/cgroup`.
fn of_process(pid: u32) -> Option<String> {
    from_list(&String::from_utf8_lossy(&fs::read(format!("/proc/{pid}/cgroup")).ok()?))
}

/// Returns the most specific path of lines `ID:CONTROLLERS:PATH`: that of a container, otherwise that of version 2 (the
/// last line), otherwise the first path that is not the root.
fn from_list(list: &str) -> Option<String> {
    let paths: Vec<&str> = list.lines().filter_map(|line| line.splitn(3, ':').nth(2)).collect();
    let v2 = list.lines().find_map(|line| line.strip_prefix("0::"));
    let of_container = paths.iter().copied().find(|path| container(path).is_some());
    let not_root = || paths.iter().copied().find(|path| *path != "/");
    of_container
        .or(v2.filter(|path| *path != "/"))
        .or_else(not_root)
        .or(v2)
        .or(paths.first().copied())
        .map(str::to_owned)
}

/// Returns the id of the innermost container in a cgroup's path. It is the 64 hexadecimal digits that docker,
/// containerd, podman and CRI-O put there in several forms, or the name after `lxc.payload.`.
pub(crate) fn container(cgroup: &str) -> Option<String> {
    const DIGITS: usize = 64;
    cgroup.rsplit('/').find_map(|part| {
        if let Some(name) = part.strip_prefix("lxc.payload.") {
            return Some(name.to_owned());
        }
        let mut runs = part.rsplit(|letter: char| !letter.is_ascii_hexdigit());
        runs.find(|run| run.len() == DIGITS).map(str::to_owned)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn container_is_found_in_path() {
        let id = "0123456789abcdef".repeat(4);
        for path in [
            format!("/docker/{id}"),
            format!("/system.slice/docker-{id}.scope"),
            format!("/kubepods.slice/kubepods-pod1.slice/cri-containerd-{id}.scope"),
            format!("/machine.slice/libpod-{id}.scope/container"),
            format!("/kubepods/besteffort/podf0/{id}/init.scope"),
        ] {
            assert_eq!(container(&path).as_ref(), Some(&id), "{path}");
        }
        assert_eq!(container("/lxc.payload.web/system.slice").as_deref(), Some("web"));
        for path in ["/", "/user.slice/user-0.slice/session-1.scope", &format!("/{}", &id[1..]), &format!("/{id}0")] {
            assert_eq!(container(path), None, "{path}");
        }
    }

    #[test]
    fn process_did_not_exist_before_its_start() {
        let now = Duration::try_from(rustix::time::clock_gettime(rustix::time::ClockId::Monotonic)).unwrap();
        assert!(existed_at(std::process::id(), now.as_nanos() as u64));
        assert!(!existed_at(std::process::id(), 0));
        assert!(!existed_at(0, now.as_nanos() as u64));
    }

    #[test]
    fn root_of_version_2_does_not_show_cgroups_of_version_1() {
        let path = |has_v1| {
            let known = HashMap::from([(1, "/".to_owned()), (2, "/x".to_owned())]);
            let mut cgroups = Cgroups { root: None, known, can_read_proc: true, has_v1 };
            // No process has the id 0.
            (cgroups.path(1, 0, 0), cgroups.path(2, 0, 0))
        };
        assert_eq!(path(false), (Some("/".to_owned()), Some("/x".to_owned())));
        assert_eq!(path(true), (None, Some("/x".to_owned())));
    }

    #[test]
    fn most_specific_path_is_chosen() {
        let id = "f".repeat(64);
        assert_eq!(from_list("0::/a\n").as_deref(), Some("/a"));
        assert_eq!(from_list(&format!("3:cpu:/\n2:pids:/docker/{id}\n0::/a:b\n")), Some(format!("/docker/{id}")));
        assert_eq!(from_list("3:cpu:/x\n0::/a:b\n").as_deref(), Some("/a:b"));
        assert_eq!(from_list("3:cpu:/\n2:memory:/y\n0::/\n").as_deref(), Some("/y"));
        assert_eq!(from_list("0::/\n").as_deref(), Some("/"));
        assert_eq!(from_list(""), None);
    }
}
