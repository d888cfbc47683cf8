//! The results of probes, and the small programs that probes load.

use std::{fmt, io, os::fd::OwnedFd, sync::OnceLock};

use cutaway_sys::{AttachType, Instruction, instruction::opcode};

#[cfg(feature = "token")]
use crate::sys::process;
use crate::{
    ProgramType,
    sys::bpf::{self, LogLevel},
    token::Tokens,
};

/// The result of a probe: whether the kernel has a feature.
#[doc(alias("libbpf_probe_bpf_prog_type", "ErrNotSupported"))]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Support {
    /// The kernel has the feature.
    Yes,
    /// The kernel does not have the feature. Holds the first Linux version that does.
    Needs(&'static str),
    /// The kernel does not have the feature: it is older, or was built without it.
    No,
    /// The probe failed for lack of a privilege (EPERM, EACCES). A later call probes again, perhaps with a BPF token.
    NotPermitted,
    /// The probe failed for another reason: the process has no file descriptor left (EMFILE, ENFILE), the kernel has no
    /// memory (ENOMEM), or a signal interrupted the probe (EINTR). A later call probes again.
    Unknown,
}

impl Support {
    /// Returns whether the kernel has the feature and the process may use it.
    #[must_use]
    pub fn is_yes(self) -> bool {
        self == Self::Yes
    }

    /// Returns the probe's answer; `Yes` if it gave none, and the kernel is at least of this version.
    ///
    /// To attach a loaded program takes less than a probe does: the program's BPF token may have been another one, or
    /// may not delegate the programs that the probe loads. And a program that cannot be loaded is better refused for
    /// the attach type that its author chose. Without tokens, the probe decides.
    #[cfg_attr(not(feature = "token"), expect(unused_variables, reason = "the probe decides"))]
    pub(crate) fn probed_or_since(probe: impl FnOnce() -> Self, major: u32, minor: u32) -> Self {
        #[cfg(not(feature = "token"))]
        return probe();
        #[cfg(feature = "token")]
        match probe() {
            unknown @ (Self::NotPermitted | Self::Unknown) => match process::kernel_version() {
                Ok(version) if version >> 8 >= major << 8 | minor => Self::Yes,
                _ => unknown,
            },
            known => known,
        }
    }
}

impl fmt::Display for Support {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Yes => f.write_str("yes"),
            Self::Needs(version) => write!(f, "unsupported, needs Linux {version}"),
            Self::No => f.write_str("unsupported"),
            Self::NotPermitted => f.write_str("not permitted"),
            Self::Unknown => f.write_str("unknown: the probe failed"),
        }
    }
}

pub(super) const EXIT: Instruction = Instruction::new(opcode::JMP | opcode::EXIT, 0, 0, 0, 0);

/// A program that only returns 0.
pub(super) const NOTHING: [Instruction; 2] =
    [Instruction::new(opcode::ALU64 | opcode::MOV | opcode::K, 0, 0, 0, 0), EXIT];

/// Loads a program that only returns 0.
pub(super) fn nothing(
    program_type: ProgramType,
    expected_attach_type: AttachType,
    tokens: &Tokens<'_>,
) -> io::Result<OwnedFd> {
    small(program_type, expected_attach_type, &NOTHING, tokens)
}

/// Loads a small program as a probe.
pub(super) fn small(
    program_type: ProgramType,
    expected_attach_type: AttachType,
    instructions: &[Instruction],
    tokens: &Tokens<'_>,
) -> io::Result<OwnedFd> {
    let program = program(program_type, expected_attach_type, instructions);
    logged(&program, &mut [], tokens)
}

/// Describes a small program without a target.
pub(super) fn program(
    program_type: ProgramType,
    expected_attach_type: AttachType,
    instructions: &[Instruction],
) -> bpf::Program<'_> {
    bpf::Program {
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
        #[cfg(feature = "load-options")]
        bound: &[],
    }
}

/// Loads a small program as a probe. The verifier's reason for a refusal is in `log`, if that is not empty.
pub(super) fn logged(program: &bpf::Program<'_>, log: &mut [u8], tokens: &Tokens<'_>) -> io::Result<OwnedFd> {
    tokens
        .create(&mut |token| bpf::prog_load(program, token, LogLevel::Reason, log, "loads a small program as a probe"))
}

/// Returns the kept answer, or probes and keeps the answer for the life of the process. Only what is known about the
/// kernel is kept: a later probe may have more rights.
pub(super) fn kept(answer: &OnceLock<Support>, tokens: &Tokens<'_>, ask: fn(&Tokens<'_>) -> Support) -> Support {
    match answer.get() {
        Some(answer) => *answer,
        None => match ask(tokens) {
            unknown @ (Support::Unknown | Support::NotPermitted) => unknown,
            known => *answer.get_or_init(|| known),
        },
    }
}

/// Converts the result of a probe. `since` is the first Linux version with the feature.
pub(super) fn support<T>(answer: io::Result<T>, since: &'static str) -> Support {
    support_or(answer, Support::Needs(since))
}

/// Converts the result of a probe. `otherwise` is the answer if the kernel does not have the feature.
pub(super) fn support_or<T>(answer: io::Result<T>, otherwise: Support) -> Support {
    match answer {
        Ok(_) => Support::Yes,
        Err(error) if matches!(error.raw_os_error(), Some(libc::EPERM | libc::EACCES)) => Support::NotPermitted,
        Err(error)
            if matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM | libc::EINTR)) =>
        {
            Support::Unknown
        }
        Err(_) => otherwise,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A process may get a token, and may drop privileges and get them back.
    #[test]
    fn only_knowledge_of_the_kernel_is_kept() {
        static ANSWER: OnceLock<Support> = OnceLock::new();
        let tokens = Tokens::automatic();
        for answer in [|_: &Tokens<'_>| Support::NotPermitted, |_: &Tokens<'_>| Support::Unknown] {
            assert_eq!(kept(&ANSWER, &tokens, answer), answer(&tokens));
        }
        assert_eq!(kept(&ANSWER, &tokens, |_| Support::Yes), Support::Yes);
        assert_eq!(kept(&ANSWER, &tokens, |_| Support::NotPermitted), Support::Yes);
    }

    #[test]
    #[cfg(feature = "token")]
    fn version_decides_where_no_probe_is_permitted() {
        for unanswered in [Support::NotPermitted, Support::Unknown] {
            assert_eq!(Support::probed_or_since(|| unanswered, 4, 18), Support::Yes);
            assert_eq!(Support::probed_or_since(|| unanswered, 255, 0), unanswered);
        }
        assert_eq!(Support::probed_or_since(|| Support::Needs("5.8"), 4, 18), Support::Needs("5.8"));
    }

    #[test]
    fn errno_of_a_probe_gives_the_answer() {
        let errno = |number| Err::<(), _>(io::Error::from_raw_os_error(number));
        assert_eq!(support(Ok(()), "5.8"), Support::Yes);
        assert_eq!(support(errno(libc::EINVAL), "5.8"), Support::Needs("5.8"));
        assert_eq!(support_or(errno(libc::EINVAL), Support::No), Support::No);
        assert_eq!(support_or(errno(libc::EPERM), Support::No), Support::NotPermitted);
        assert_eq!(support(errno(libc::EPERM), "5.8"), Support::NotPermitted);
        assert_eq!(support(errno(libc::EMFILE), "5.8"), Support::Unknown);
    }
}
