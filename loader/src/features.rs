//! What this kernel can do, found out by trying.
//!
//! A version number is no answer: distributions backport, configurations leave out, containers forbid. So each question
//! is put to the kernel itself, when it is first needed, and the answer is kept for the life of the process.

mod btf;
mod entries;
mod links;

use std::{fmt, io, os::fd::OwnedFd, sync::OnceLock};

pub use entries::max_entries;
pub use links::{cgroup_link, kprobe_multi, netkit_link, perf_link, tcx_link, uprobe_multi, uprobe_multi_pid};

use cutaway_sys::{AttachType, Instruction, memory::page_size};

use crate::{
    MapType, ProgramType,
    btf::sanitize::Kinds,
    sys::{
        attr::MapCreate,
        bpf::{self, LogLevel},
        process,
    },
};

/// Whether the kernel has a feature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Support {
    /// It has.
    Yes,
    /// It has not; the first Linux that does.
    Needs(&'static str),
    /// It would not tell us: the process lacks a privilege.
    NotPermitted,
    /// It could not be found out: the process has no descriptors left, or the kernel no memory.
    Unknown,
}

impl Support {
    /// The feature is there and may be used.
    #[must_use]
    pub fn is_yes(self) -> bool {
        self == Self::Yes
    }
}

impl fmt::Display for Support {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Yes => f.write_str("yes"),
            Self::Needs(version) => write!(f, "unsupported, needs Linux {version}"),
            Self::NotPermitted => f.write_str("not permitted"),
            Self::Unknown => f.write_str("unknown: it could not be tried"),
        }
    }
}

/// `BPF_MAP_TYPE_RINGBUF`, by making a ring of one page.
#[must_use]
pub fn ring_buffer() -> Support {
    static ANSWER: OnceLock<Support> = OnceLock::new();
    kept(&ANSWER, || {
        let ring = MapCreate { map_type: MapType::RINGBUF, max_entries: page_size() as u32, ..MapCreate::default() };
        support(
            charged(&mut || bpf::map_create(ring, "asks whether this kernel has ring buffers, by making a small one")),
            "5.8",
        )
    })
}

/// `BPF_MAP_TYPE_PERF_EVENT_ARRAY`, by making one with one slot.
#[must_use]
pub fn perf_event_array() -> Support {
    static ANSWER: OnceLock<Support> = OnceLock::new();
    kept(&ANSWER, || {
        let array = MapCreate {
            map_type: MapType::PERF_EVENT_ARRAY,
            key_size: 4,
            value_size: 4,
            max_entries: 1,
            ..MapCreate::default()
        };
        support(
            charged(&mut || bpf::map_create(array, "asks whether this kernel has perf event arrays, by making one")),
            "4.3",
        )
    })
}

/// `bpf_get_attach_cookie`, which gives a program the number that it was attached with: by loading a program that calls it.
#[must_use]
pub fn attach_cookie() -> Support {
    const BPF_FUNC_GET_ATTACH_COOKIE: i32 = 174;
    static ANSWER: OnceLock<Support> = OnceLock::new();
    kept(&ANSWER, || {
        let call = instruction(0x85, BPF_FUNC_GET_ATTACH_COOKIE);
        support(small(ProgramType::KPROBE, AttachType::default(), &[call, instruction(EXIT, 0)]), "5.15")
    })
}

/// `BPF_JMP | BPF_EXIT`
const EXIT: u8 = 0x95;

fn instruction(code: u8, imm: i32) -> Instruction {
    Instruction::new(code, 0, 0, 0, imm)
}

/// A program that does nothing, for questions that need one.
fn nothing(program_type: ProgramType, expected_attach_type: AttachType) -> io::Result<OwnedFd> {
    const MOV_R0: u8 = 0xb7;
    small(program_type, expected_attach_type, &[instruction(MOV_R0, 0), instruction(EXIT, 0)])
}

/// A program to ask a question with.
fn small(
    program_type: ProgramType,
    expected_attach_type: AttachType,
    instructions: &[Instruction],
) -> io::Result<OwnedFd> {
    let program = bpf::Program {
        program_type,
        expected_attach_type,
        flags: 0,
        name: "nothing",
        instructions,
        license: c"GPL",
        kernel_version: 0,
        btf: None,
        target: bpf::BtfTarget::default(),
        modules: &[],
    };
    charged(&mut || bpf::prog_load(&program, LogLevel::Reason, &mut [], "loads a small program to ask a question with"))
}

/// BTF at all: `BPF_BTF_LOAD` with one integer type.
#[must_use]
pub fn btf() -> Support {
    static ANSWER: OnceLock<Support> = OnceLock::new();
    kept(&ANSWER, || support(charged(&mut || btf::load(btf::PLAIN)), "4.18"))
}

/// The kinds of BTF that an object's own is rewritten to.
pub(crate) fn btf_kinds() -> Kinds {
    static ANSWER: OnceLock<Kinds> = OnceLock::new();
    *ANSWER.get_or_init(btf::kinds)
}

/// Keeps an answer, unless it is none.
fn kept(answer: &OnceLock<Support>, ask: fn() -> Support) -> Support {
    match answer.get() {
        Some(answer) => *answer,
        None => match ask() {
            Support::Unknown => Support::Unknown,
            known => *answer.get_or_init(|| known),
        },
    }
}

/// Runs what creates a map or loads a program, and once more with the locked-memory limit raised if the kernel says
/// EPERM: before 5.11 that is what it says when the limit is reached, which it soon is.
pub(crate) fn charged(create: &mut dyn FnMut() -> io::Result<OwnedFd>) -> io::Result<OwnedFd> {
    match create() {
        Err(error) if error.raw_os_error() == Some(libc::EPERM) && matches!(process::memlock(), Ok(Some(_))) => {
            if process::raise_memlock().is_ok() {
                create()
            } else {
                Err(error)
            }
        }
        answer => answer,
    }
}

fn support<T>(answer: io::Result<T>, since: &'static str) -> Support {
    match answer {
        Ok(_) => Support::Yes,
        Err(error) if matches!(error.raw_os_error(), Some(libc::EPERM | libc::EACCES)) => Support::NotPermitted,
        Err(error)
            if matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM | libc::EINTR)) =>
        {
            Support::Unknown
        }
        Err(_) => Support::Needs(since),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_yes_no_or_not_permitted() {
        let errno = |number| Err::<(), _>(io::Error::from_raw_os_error(number));
        assert_eq!(support(Ok(()), "5.8"), Support::Yes);
        assert_eq!(support(errno(libc::EINVAL), "5.8"), Support::Needs("5.8"));
        assert_eq!(support(errno(libc::EPERM), "5.8"), Support::NotPermitted);
        assert_eq!(support(errno(libc::EMFILE), "5.8"), Support::Unknown);
    }
}
