//! Finds the processes that hold a map or a perf event, by their fds in `/proc`.
//!
//! `/proc/PID/fd/N` is a link whose text names the kind (`anon_inode:bpf-map`, `anon_inode:[perf_event]`).
//! `/proc/PID/fdinfo/N` has a map's id (`map_id`, Linux 4.13; `bpf_map_show_fdinfo` in `kernel/bpf/syscall.c`). A map
//! is not found if it is only mapped into a process that has closed the fd, or if only programs use it.

use std::{
    fs,
    io::{self, Read},
    path::Path,
};

use crate::{Error, sys::ids};

/// An fd of a map or perf event in a process.
#[doc(alias("BPF_TASK_FD_QUERY", "bpf_task_fd_query"))]
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FdOwner {
    /// The process id in the caller's PID namespace.
    pub pid: u32,
    /// The process's name (`comm`): up to 15 bytes, any bytes.
    pub comm: String,
    /// The number of the fd in that process.
    pub fd: u32,
    /// The kind of object that the fd refers to.
    pub kind: FdKind,
}

/// The kind of object that an fd refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FdKind {
    /// A map, by its id.
    Map(u32),
    /// A perf event: a probe, a counter, or the buffer of one CPU.
    PerfEvent,
}

impl FdOwner {
    /// Returns whether a perf event runs a program. The event of a probe does; those of perf buffers do not.
    /// Returns `None` if the kernel does not say (it requires CAP_SYS_ADMIN and Linux 4.18), or the fd has been closed.
    #[doc(alias("BPF_TASK_FD_QUERY", "bpf_task_fd_query"))]
    #[must_use]
    pub fn runs_a_program(&self) -> Option<bool> {
        match ids::program_of_event(self.pid, self.fd) {
            Ok(program) => Some(program.is_some()),
            // A counter that runs a program when it samples.
            Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => Some(true),
            Err(_) => None,
        }
    }
}

/// The result of [`open_fds`].
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct OpenFds {
    /// Ordered by process and fd.
    pub found: Vec<FdOwner>,
    /// The number of processes that the caller must not inspect.
    pub hidden: u32,
}

impl OpenFds {
    /// Returns the processes that hold this map.
    pub fn of_map(&self, id: u32) -> impl Iterator<Item = &FdOwner> {
        self.found.iter().filter(move |holder| holder.kind == FdKind::Map(id))
    }
}

/// Searches all processes for fds of maps and perf events.
///
/// # Errors
///
/// [`Error::Invalid`] or [`Error::Syscall`] if `/proc` cannot be read. A process that ends meanwhile is skipped. One
/// that the caller must not inspect (see ptrace(2)) is counted in [`OpenFds::hidden`]. EMFILE or ENFILE if the search
/// runs out of fds: the list would be incomplete.
#[doc(alias = "BPF_TASK_FD_QUERY")]
pub fn open_fds() -> Result<OpenFds, Error> {
    let processes = fs::read_dir("/proc").map_err(|error| Error::kernel("list the processes in /proc", &error))?;
    let mut pids: Vec<u32> = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect();
    pids.sort_unstable();
    let mut holders = OpenFds::default();
    for pid in pids {
        match of_process(pid, &mut holders.found) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                holders.hidden = holders.hidden.saturating_add(1);
            }
            Err(error) if wants_fds(&error) => {
                return Err(Error::kernel(format!("read the fds of process {pid}"), &error));
            }
            // The process has ended.
            Ok(()) | Err(_) => {}
        }
    }
    Ok(holders)
}

fn of_process(pid: u32, found: &mut Vec<FdOwner>) -> io::Result<()> {
    let directory = format!("/proc/{pid}/fd");
    let mut fds: Vec<u32> =
        fs::read_dir(&directory)?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect();
    fds.sort_unstable();
    let mut comm = None;
    for fd in fds {
        // The fd was closed meanwhile.
        let Ok(link) = fs::read_link(format!("{directory}/{fd}")) else { continue };
        let kind = if link == Path::new("anon_inode:bpf-map") {
            match map_id(&format!("/proc/{pid}/fdinfo/{fd}")) {
                Ok(Some(id)) => FdKind::Map(id),
                Err(error) if wants_fds(&error) => return Err(error),
                Ok(None) | Err(_) => continue,
            }
        } else if link == Path::new("anon_inode:[perf_event]") {
            FdKind::PerfEvent
        } else {
            continue;
        };
        let comm = comm.get_or_insert_with(|| {
            let comm = fs::read(format!("/proc/{pid}/comm")).unwrap_or_default();
            String::from_utf8_lossy(&comm).trim_end_matches('\n').to_owned()
        });
        found.push(FdOwner { pid, comm: comm.clone(), fd, kind });
    }
    Ok(())
}

/// Returns the id of the map that an fd refers to; `None` if it is not a map.
pub(super) fn map_id(fdinfo: &str) -> io::Result<Option<u32>> {
    /// The text of a map has some hundred bytes. That of another kind of fd (an inotify instance) has a line for each
    /// watched object.
    const LONGEST: u64 = 64 << 10;
    let mut text = Vec::new();
    fs::File::open(fdinfo)?.take(LONGEST).read_to_end(&mut text)?;
    let text = String::from_utf8_lossy(&text);
    Ok(text.lines().find_map(|line| line.strip_prefix("map_id:")).and_then(|id| id.trim().parse().ok()))
}

/// Returns true if this process or the machine has no fd left: the object may exist nevertheless.
pub(super) fn wants_fds(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}
