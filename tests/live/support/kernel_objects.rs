//! BPF objects in the kernel, by the numbers that it gives them: to see that they are gone with whoever made them.
#![expect(unsafe_code, reason = "bpf(2) by hand")]

use std::{
    collections::BTreeSet,
    fs, io,
    os::fd::{FromRawFd, OwnedFd, RawFd},
};

use crate::patience::wait_until;

/// What a number stands for; the value is the command that opens it by number (`enum bpf_cmd`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Program = 13,
    Map = 14,
    Link = 30,
}

/// Programs, maps and links that a process holds.
#[derive(Debug)]
pub(crate) struct Held(BTreeSet<(Kind, u32)>);

impl Held {
    /// What the process holds now.
    pub(crate) fn by(pid: u32) -> Self {
        let mut held = BTreeSet::new();
        for descriptor in fs::read_dir(format!("/proc/{pid}/fdinfo")).unwrap() {
            // A descriptor may be closed while we look.
            let Ok(text) = fs::read_to_string(descriptor.unwrap().path()) else { continue };
            // A link tells its program's number as well, and the program is held by it.
            for (word, kind) in [("prog_id:", Kind::Program), ("map_id:", Kind::Map), ("link_id:", Kind::Link)] {
                let numbers = text.lines().filter_map(|line| line.strip_prefix(word)?.trim().parse().ok());
                held.extend(numbers.map(|number| (kind, number)));
            }
        }
        Self(held)
    }

    /// How many programs there are.
    pub(crate) fn programs(&self) -> usize {
        self.0.iter().filter(|(kind, _)| *kind == Kind::Program).count()
    }

    /// Waits until none of it is there any more: the kernel lets go of some things a little after their holder's end.
    pub(crate) fn wait_until_gone(mut self) {
        wait_until(&format!("{self:?} are gone"), || {
            self.0.retain(|&(kind, number)| open(kind, number).is_ok());
            self.0.is_empty().then_some(())
        });
    }
}

/// Opens an object by its id. With a call of its own: what the tests find left over must not depend on the loader.
fn open(kind: Kind, number: u32) -> io::Result<OwnedFd> {
    // The number, where to go on, and flags.
    let attr = [number, 0, 0];
    // SAFETY: the command reads `attr`, as many bytes as are given.
    let answer = unsafe { libc::syscall(libc::SYS_bpf, kind as libc::c_long, attr.as_ptr(), size_of_val(&attr)) };
    let fd = RawFd::try_from(answer).unwrap();
    if fd < 0 {
        let error = io::Error::last_os_error();
        assert_eq!(error.raw_os_error(), Some(libc::ENOENT), "{kind:?} {number}: {error}");
        return Err(error);
    }
    // SAFETY: the kernel has just made it for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
