//! bpf(2): the command that lists the programs of a target, `BPF_PROG_QUERY` (4.15).
//!
//! Each kind of target fills other fields. tcx and netkit (`kernel/bpf/mprog.c`) report programs, links and a revision;
//! cgroups programs and flags, and a revision since 6.17; the others programs only.
#![expect(unsafe_code, reason = "hands addresses to bpf(2)")]

use std::io;

use cutaway_sys::AttachType;

use super::{
    attr::{Pointer, ProgQuery},
    bpf::{Command, bpf, length},
    link::Target,
};

/// The lists that a kind of target reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lists {
    /// The ids of programs.
    Programs,
    /// The same for the programs that run, including those of ancestors: `BPF_F_QUERY_EFFECTIVE`.
    Effective,
    /// The ids of programs, and since 6.0 the flags that each was attached with.
    ProgramsAndFlags,
    /// The ids of programs, of their links (0 for a program without one), and the flags of both.
    ProgramsAndLinks,
}

/// The programs of a target, in the order in which they run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) programs: Vec<u32>,
    /// Empty if the kernel does not report it, otherwise as long as `programs`.
    pub(crate) program_flags: Vec<u32>,
    /// As `program_flags`.
    pub(crate) links: Vec<u32>,
    /// The flags of the target's list.
    pub(crate) flags: u32,
    /// 0 if the kernel counts no revisions.
    pub(crate) revision: u64,
}

/// Lists the programs of a target.
pub(crate) fn programs(target: Target<'_>, attach_type: AttachType, lists: Lists, why: &str) -> io::Result<Answer> {
    let mut lists = lists;
    let mut room = 0;
    loop {
        let mut answer = Answer { programs: vec![0; room], ..Answer::default() };
        if matches!(lists, Lists::ProgramsAndFlags | Lists::ProgramsAndLinks) {
            answer.program_flags.resize(room, 0);
        }
        if lists == Lists::ProgramsAndLinks {
            answer.links.resize(room, 0);
        }
        match once(target, attach_type, lists, &mut answer, why) {
            // Programs were attached since the last call. Some targets cut the list without an error.
            Ok(count) if count > room => room = count,
            Err(error) if error.raw_os_error() == Some(libc::ENOSPC) => room = (room * 2).max(8),
            // Before 6.0 the kernel refuses the address of flags.
            Err(error)
                if error.raw_os_error() == Some(libc::EINVAL) && lists == Lists::ProgramsAndFlags && room > 0 =>
            {
                lists = Lists::Programs;
            }
            Err(error) => return Err(error),
            Ok(count) => {
                answer.programs.truncate(count);
                answer.program_flags.truncate(count);
                answer.links.truncate(count);
                return Ok(answer);
            }
        }
    }
}

/// Makes one call, and returns the number of programs at the target, which may exceed the room in `answer`.
fn once(
    target: Target<'_>,
    attach_type: AttachType,
    lists: Lists,
    answer: &mut Answer,
    why: &str,
) -> io::Result<usize> {
    let room = answer.programs.len();
    let mut attr = ProgQuery {
        target_fd: target.number(),
        attach_type,
        query_flags: u32::from(lists == Lists::Effective),
        prog_ids: Pointer::to_mut(&mut answer.programs),
        count: length(room)?,
        prog_attach_flags: Pointer::to_mut(&mut answer.program_flags),
        link_ids: Pointer::to_mut(&mut answer.links),
        ..ProgQuery::default()
    };
    // SAFETY: the kernel writes at most `count` numbers where each address points: the lists are borrowed mutably for
    // the call, and are empty (then the address is null) or have `count` elements.
    unsafe { bpf(Command::PROG_QUERY, &mut attr, why) }?;
    answer.flags = attr.attach_flags.0;
    answer.revision = attr.revision;
    Ok(attr.count as usize)
}
