//! The programs that are attached to a target, by any process, in the order in which they run.

use std::io;

use cutaway_sys::AttachType;

use crate::{
    Error,
    sys::{
        link::Target,
        query::{self, Lists},
    },
};

/// The programs of a target, in the order in which they run: from [`Tcx::attached`](crate::Tcx::attached) and the
/// methods of the same name.
#[doc(alias("BPF_PROG_QUERY", "bpf_prog_query_opts", "QueryResult"))]
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Attached {
    /// The programs.
    pub programs: Vec<AttachedProgram>,
    /// The revision of the list: each change adds to it. Compared by `expected_revision` when a program is attached.
    /// For tcx (Linux 6.6), netkit (6.7) and cgroups (6.17, unless queried for the effective programs); otherwise
    /// `None`.
    pub revision: Option<u64>,
    /// The flags of the list, for a cgroup: 0 if other programs are refused, `BPF_F_ALLOW_OVERRIDE` (1) or
    /// `BPF_F_ALLOW_MULTI` (2).
    pub flags: u32,
    /// Whether the kernel reports the links of this kind of target. If not, [`AttachedProgram::link`] is `None` for a
    /// program that a link attached, too.
    pub reports_links: bool,
}

/// A program in an [`Attached`] list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct AttachedProgram {
    /// The program id.
    pub id: u32,
    /// The id of the link that attaches it; `None` if it is attached without a link, or the kernel does not report
    /// links ([`Attached::reports_links`]).
    pub link: Option<u32>,
    /// The flags that it was attached with, for a cgroup (Linux 6.0).
    pub flags: Option<u32>,
}

/// Lists the programs of a target. `what` names the target in errors, and `advice` says what to do about them.
pub(super) fn attached(
    target: Target<'_>,
    attach_type: AttachType,
    lists: Lists,
    what: &str,
    advice: impl FnOnce(&io::Error) -> Option<&'static str>,
) -> Result<Attached, Error> {
    let why = "lists the programs that are attached to the target, in their order";
    let answer = match query::programs(target, attach_type, lists, why) {
        // Linux 6.6 has no list until the first program is attached; its first revision is 1.
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) && lists == Lists::ProgramsAndLinks => {
            query::Answer { revision: 1, ..query::Answer::default() }
        }
        answer => answer.map_err(|error| {
            let plain = Error::kernel(format!("list the programs of {what} ({attach_type})"), &error);
            match advice(&error) {
                Some(advice) => plain.advise(advice),
                None => plain,
            }
        })?,
    };
    let reports_links = lists == Lists::ProgramsAndLinks;
    let programs = answer.programs.iter().enumerate().map(|(index, &id)| AttachedProgram {
        id,
        link: answer.links.get(index).copied().filter(|&id| id != 0),
        flags: if reports_links { None } else { answer.program_flags.get(index).copied() },
    });
    Ok(Attached {
        programs: programs.collect(),
        revision: (answer.revision != 0).then_some(answer.revision),
        flags: answer.flags,
        reports_links,
    })
}
