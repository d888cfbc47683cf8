//! Iterators: programs that the kernel calls once for each object of a kind, and whose output is read like a file.
//!
//! The link says which objects are iterated. Each fd made from it ([`Link::read_iterator`]) is one iteration, driven by
//! read(2). A pinned link is a file that any user with the permission may `cat` (`kernel/bpf/bpf_iter.c`, Linux 5.8).

use std::os::fd::{AsFd, BorrowedFd};

use super::{Link, link::failed};
use crate::{
    Error, Program, ProgramType, Target,
    sys::{
        bpf::number,
        link::{self, IterInfo},
    },
};

/// The objects over which a program of the section `iter/…` iterates.
///
/// ```no_run
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let loaded = cutaway::Object::parse(&[])?.load()?;
/// use std::io::Read;
/// let link = cutaway::Iter::new().attach(loaded.program("each_task")?)?;
/// let mut text = String::new();
/// link.read_iterator()?.read_to_string(&mut text)?;
/// # Ok(())
/// # }
/// ```
///
/// Linux 5.8. Kernel source: `kernel/bpf/bpf_iter.c`.
///
/// Needs this crate's feature `tracing`.
#[doc(alias("bpf_program__attach_iter", "bpf_iter_link_info"))]
#[derive(Debug, Clone, Default)]
pub struct Iter<'fd> {
    over: Over<'fd>,
}

#[derive(Debug, Clone, Copy, Default)]
enum Over<'fd> {
    #[default]
    Everything,
    Map(BorrowedFd<'fd>),
    Thread(u32),
    Process(u32),
    Cgroup(BorrowedFd<'fd>),
}

impl<'fd> Iter<'fd> {
    /// Iterates over all objects of the program's kind: all tasks, all maps, all sockets.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Iterates over the elements of one map; `iter/bpf_map_elem` needs one (Linux 5.9).
    #[must_use]
    pub fn map(map: &'fd impl AsFd) -> Self {
        Self { over: Over::Map(map.as_fd()) }
    }

    /// Iterates over one thread, for `iter/task` and its relatives (Linux 6.1).
    #[must_use]
    pub fn thread(tid: u32) -> Self {
        Self { over: Over::Thread(tid) }
    }

    /// Iterates over the threads of one process, for `iter/task` and its relatives (Linux 6.1).
    #[must_use]
    pub fn process(pid: u32) -> Self {
        Self { over: Over::Process(pid) }
    }

    /// Iterates over a cgroup and its descendants, parents first, for `iter/cgroup` (Linux 6.1).
    #[must_use]
    pub fn cgroup(cgroup: &'fd impl AsFd) -> Self {
        Self { over: Over::Cgroup(cgroup.as_fd()) }
    }

    /// Creates the link. The program runs when the iterator is read: [`Link::read_iterator`].
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if the program is of another type; [`Error::Syscall`] if the kernel refuses: EINVAL if the
    /// program iterates over objects of another kind, or must be given an object to iterate over.
    pub fn attach(&self, program: &Program) -> Result<Link, Error> {
        let what = match &program.spec().section.target {
            Some(Target::Btf { name }) => format!("the iterator `{name}`"),
            _ => "an iterator".to_owned(),
        };
        program.must_be(&[ProgramType::TRACING], &what)?;
        let why = "makes the program an iterator; it runs when the iterator is read";
        link::create_iter(program.as_fd(), self.info(), why).map(|link| Link::kernels(program, &what, link)).map_err(
            |error| {
                let plain = failed(program, &what, &error);
                match (error.raw_os_error(), self.over) {
                    (Some(libc::EBADF), Over::Everything) => {
                        plain.advise("the program iterates over a map's elements: pass the map")
                    }
                    (Some(libc::EINVAL | libc::E2BIG), Over::Thread(_) | Over::Process(_) | Over::Cgroup(_)) => {
                        plain.advise("one thread, process or cgroup needs Linux 6.1, and an iterator of that kind")
                    }
                    _ => plain,
                }
            },
        )
    }

    /// `union bpf_iter_link_info`
    fn info(&self) -> Option<IterInfo> {
        /// `BPF_CGROUP_ITER_DESCENDANTS_PRE`
        const PARENTS_FIRST: u32 = 2;
        Some(IterInfo(match self.over {
            Over::Everything => return None,
            Over::Map(map) => [number(map), 0, 0, 0],
            Over::Thread(tid) => [tid, 0, 0, 0],
            Over::Process(pid) => [0, pid, 0, 0],
            Over::Cgroup(cgroup) => [PARENTS_FIRST, number(cgroup), 0, 0],
        }))
    }
}
