//! BPF objects in the kernel, by their ids: checks that they are freed when their owner ends.
#![expect(unsafe_code, reason = "calls bpf(2) itself")]

use std::{
    collections::BTreeSet,
    fs, io,
    os::fd::{FromRawFd, OwnedFd, RawFd},
};

use crate::patience::wait_until;

/// The kind of an id; the value is the command that opens an object by its id (`enum bpf_cmd`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Program = 13,
    Map = 14,
    Link = 30,
}

/// The programs, maps and links that a process holds.
#[derive(Debug)]
pub(crate) struct Held(BTreeSet<(Kind, u32)>);

impl Held {
    /// Returns the objects that the process holds now.
    pub(crate) fn by(pid: u32) -> Self {
        let mut held = BTreeSet::new();
        for entry in fs::read_dir(format!("/proc/{pid}/fdinfo")).unwrap() {
            // An fd may be closed meanwhile.
            let Ok(text) = fs::read_to_string(entry.unwrap().path()) else { continue };
            // A link also names its program's id, and holds the program.
            for (word, kind) in [("prog_id:", Kind::Program), ("map_id:", Kind::Map), ("link_id:", Kind::Link)] {
                let numbers = text.lines().filter_map(|line| line.strip_prefix(word)?.trim().parse().ok());
                held.extend(numbers.map(|number| (kind, number)));
            }
        }
        Self(held)
    }

    /// Returns the number of programs.
    pub(crate) fn programs(&self) -> usize {
        self.0.iter().filter(|(kind, _)| *kind == Kind::Program).count()
    }

    /// Waits until all objects are gone: the kernel frees some a little after their owner's end.
    pub(crate) fn wait_until_gone(mut self) {
        wait_until(&format!("{self:?} are gone"), || {
            self.0.retain(|&(kind, number)| open(kind, number).is_ok());
            self.0.is_empty().then_some(())
        });
    }
}

/// Opens an object by its id. It calls bpf(2) itself, because a check for leftovers must not depend on the loader.
fn open(kind: Kind, number: u32) -> io::Result<OwnedFd> {
    // The id, the id to continue from, and flags.
    let attr = [number, 0, 0];
    // SAFETY: the command reads `attr`, as many bytes as are given.
    let answer = unsafe { libc::syscall(libc::SYS_bpf, kind as libc::c_long, attr.as_ptr(), size_of_val(&attr)) };
    let fd = RawFd::try_from(answer).unwrap();
    if fd < 0 {
        let error = io::Error::last_os_error();
        assert_eq!(error.raw_os_error(), Some(libc::ENOENT), "{kind:?} {number}: {error}");
        return Err(error);
    }
    // SAFETY: the kernel has just created this fd for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
