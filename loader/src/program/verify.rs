//! Loading a program: at most two walks of the verifier for one that is refused.
//!
//! The first load asks for the reason and statistics alone (`BPF_LOG_STATS`, Linux 5.2), which costs nothing and fits
//! a small buffer: the sentence is known whatever the log of the whole walk would be cut off at. Only a refusal is
//! walked once more, with each step in the log, to tell where the walk ended. A program of more than a million steps
//! is not: its second walk would take as long as the first, and the location where the count ran out says nothing.
//!
//! Since Linux 6.4 a log that does not fit loses its beginning and the kernel says ENOSPC; before, it loses its end.
//! The errno of the first load is the verifier's own, and the one that is reported. (`kernel/bpf/log.c`,
//! `kernel/bpf/verifier.c`.)

use std::{io, os::fd::OwnedFd};

use super::{
    Shared,
    explain::{is_about_the_license, worded},
    verifier,
};
use crate::{
    Errno, Error, privileges,
    sys::{
        bpf::{self, LogLevel},
        memlock::charged,
    },
};

/// Bytes for the reason and statistics. A sentence has at most some hundred bytes, statistics some thousand.
const REASON: usize = 64 << 10;

/// Bytes for a whole log. Memory is only used as far as the kernel writes. The limit of all kernels (`UINT_MAX >> 8`).
const WHOLE: usize = (u32::MAX >> 8) as usize;

/// What the kernel said to a program that it refused.
pub(super) struct Refusal {
    error: io::Error,
    /// The reason and statistics; empty if it was not the verifier that refused it.
    log: String,
}

/// Loads a program, with a log of the reason alone.
pub(super) fn first(program: &bpf::Program<'_>) -> Result<OwnedFd, Refusal> {
    let mut room = vec![0; REASON];
    let errno = |answer: &io::Result<OwnedFd>| answer.as_ref().err().and_then(io::Error::raw_os_error);
    let mut answer = patiently(program, LogLevel::Reason, &mut room);
    if errno(&answer) == Some(libc::EPERM) && text(&room).is_empty() {
        // The verifier has not seen it: perhaps the limit of locked memory is reached.
        answer = charged(&mut || patiently(program, LogLevel::Reason, &mut room));
    }
    if errno(&answer) == Some(libc::ENOSPC) {
        // The log did not fit, which hides what the verifier thinks of the program.
        answer = patiently(program, LogLevel::Reason, &mut []);
    }
    answer.map_err(|error| Refusal { error, log: text(&room) })
}

impl Refusal {
    /// Finds out where the walk through `program` ended, by another load. That program may differ from the one that
    /// was refused by instructions that its author did not write (`differs`), and then it may be taken.
    pub(super) fn explain(
        &self,
        program: &bpf::Program<'_>,
        shared: &Shared<'_>,
        differs: bool,
    ) -> Result<OwnedFd, Error> {
        let sentence = verifier::sentence(&self.log);
        if sentence.map_or(!differs, verifier::is_too_large) {
            return Err(self.told(program, shared));
        }
        let mut room = vec![0; WHOLE];
        let second = match patiently(program, LogLevel::Steps, &mut room) {
            Ok(program) => return Ok(program),
            Err(error) => error,
        };
        let mut log = text(&room);
        drop(room);
        // A log that lost its end stops in the middle of a step, which may look like a reason.
        let own = verifier::sentence(&log).filter(|own| differs || sentence == Some(*own));
        let overflows = second.raw_os_error() == Some(libc::ENOSPC);
        if differs && own.is_none() && overflows {
            // It is taken, only its log did not fit.
            return patiently(program, LogLevel::Reason, &mut []).map_err(|error| refused(program, &error));
        }
        let Some(found) = own.or(sentence) else {
            return Err(refused(program, &self.error));
        };
        let is_whole = own.is_some();
        let mut at = if is_whole { verifier::location(&log) } else { None };
        if is_about_the_license(found) {
            // The call alone: the line of source is not at fault.
            at = at.map(|at| at.split(';').next().unwrap_or_default().to_owned());
        }
        let told = worded(found, shared);
        if !is_whole && overflows {
            log.push_str(&format!(
                "\n… the kernel cut the log off here, at {WHOLE} bytes; the verifier's last words are:\n{}",
                self.log
            ));
        }
        Err(self.verifier(program, told, at, log))
    }

    /// The refusal without another walk: where it ended is unknown.
    pub(super) fn told(&self, program: &bpf::Program<'_>, shared: &Shared<'_>) -> Error {
        match verifier::sentence(&self.log) {
            Some(sentence) => self.verifier(program, worded(sentence, shared), None, self.log.clone()),
            None => refused(program, &self.error),
        }
    }

    fn verifier(&self, program: &bpf::Program<'_>, sentence: String, at: Option<String>, log: String) -> Error {
        Error::Verifier { program: program.name.to_owned(), sentence, at, errno: Errno::of(&self.error), log }
    }
}

/// The verifier says EAGAIN when a signal interrupts it; a few more times are enough.
fn patiently(program: &bpf::Program<'_>, level: LogLevel, log: &mut [u8]) -> io::Result<OwnedFd> {
    const TIMES: u32 = 5;
    let mut why = match level {
        LogLevel::Reason => "loads a program: the verifier walks every path through it",
        LogLevel::Steps => "loads it once more, with each step of the verifier in the log, to tell where it refuses it",
    };
    let mut times = 1;
    loop {
        let answer = bpf::prog_load(program, level, log, why);
        match &answer {
            Err(error) if error.raw_os_error() == Some(libc::EAGAIN) && times < TIMES => times += 1,
            _ => return answer,
        }
        why = "loads the program again: a signal had interrupted the verifier";
    }
}

/// What the kernel has written, up to the NUL.
fn text(log: &[u8]) -> String {
    String::from_utf8_lossy(log.split(|&byte| byte == 0).next().unwrap_or_default()).into_owned()
}

fn refused(program: &bpf::Program<'_>, error: &io::Error) -> Error {
    let attempt = format!("load the program `{}` ({})", program.name, program.program_type);
    let plain = Error::kernel(attempt, error);
    match Errno::of(error).raw() {
        libc::EINVAL => {
            plain.advise("the verifier gives no reason; perhaps this kernel does not know this kind of program")
        }
        libc::E2BIG => plain.advise("it has more instructions than the kernel takes"),
        _ => plain.wanting(privileges::to_load(program.program_type)),
    }
}
