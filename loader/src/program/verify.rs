//! Loads a program; a refused one is verified at most twice, or three times if its reason is very long.
//!
//! The first load requests only the reason and statistics (`BPF_LOG_STATS`, Linux 5.2), which cost nothing and fit into
//! a small buffer; if they do not, a second load gets a large one. So the reason is known even if the log of the whole
//! walk is cut off. Only a refused program is loaded once more, with each step in the log, to find where the walk
//! ended. This is skipped for a program of more
//! than a million steps: the second walk would take as long as the first, and the location where the limit was reached
//! means nothing.
//!
//! Since Linux 6.4 a log that does not fit loses its beginning and the kernel returns ENOSPC; before, it loses its end.
//! The errno of the first load is the verifier's own, and the one that is reported (`kernel/bpf/log.c`,
//! `kernel/bpf/verifier.c`).

use std::{
    io,
    os::fd::{BorrowedFd, OwnedFd},
};

use super::{
    Shared,
    explain::{explained, is_about_the_license},
    verifier,
};
use crate::{
    Errno, Error,
    sys::{
        bpf::{self, LogLevel},
        memlock::charged,
    },
    token::{Need, Tokens, is_refusal},
};

/// Buffer size in bytes for the reason and statistics. A sentence and the statistics have at most some hundred bytes
/// each. Rare reasons have many lines, for example one for each reference that is not released. Every program that is
/// loaded writes to the whole buffer when it is cleared, so it is small.
const REASON: usize = 4 << 10;

/// Buffer size in bytes for a whole log: the limit of all kernels (`UINT_MAX >> 8`). Only the memory that the kernel
/// writes to is used.
const WHOLE: usize = (u32::MAX >> 8) as usize;

/// Returns cleared memory for a whole log. glibc reuses memory of up to 32 MiB (`DEFAULT_MMAP_THRESHOLD_MAX`) and clears
/// it, which touches each page. More is mapped anew each time.
fn whole() -> Vec<u8> {
    let mut memory = vec![0; 33 << 20];
    memory.truncate(WHOLE);
    memory
}

/// The kernel's response to a program that it refused.
pub(super) struct Refusal {
    error: io::Error,
    /// The reason and statistics; empty if it was not the verifier that refused the program.
    log: String,
}

/// A program that the kernel has accepted.
pub(super) struct Accepted {
    pub(super) program: OwnedFd,
    /// The verifier's log, as far as it was asked for and is known.
    #[cfg(feature = "load-options")]
    pub(super) log: Option<String>,
}

impl Accepted {
    #[cfg_attr(not(feature = "load-options"), expect(unused_variables, reason = "the log is not kept"))]
    fn with(program: OwnedFd, log: &[u8]) -> Self {
        Self {
            program,
            #[cfg(feature = "load-options")]
            log: Some(text(log)),
        }
    }
}

/// Loads a program. A log of the level `Reason` contains only the reason of a refusal, and statistics.
///
/// If the kernel refuses the program for lack of a privilege, tries once more with a token. If the kernel cannot bind
/// maps while it loads a program (before 6.14), they are removed from `program`.
pub(super) fn first(program: &mut bpf::Program<'_>, level: LogLevel, tokens: &Tokens<'_>) -> Result<Accepted, Refusal> {
    let token = tokens.held();
    let answer = first_with(program, token, level);
    if token.is_some() || !answer.as_ref().is_err_and(|refusal| is_refusal(&refusal.error)) {
        return answer;
    }
    match tokens.find() {
        Some(token) => first_with(program, Some(token), level),
        None => answer,
    }
}

fn first_with(
    program: &mut bpf::Program<'_>,
    token: Option<BorrowedFd<'_>>,
    level: LogLevel,
) -> Result<Accepted, Refusal> {
    let mut room = if level == LogLevel::Reason { vec![0; REASON] } else { whole() };
    let errno = |answer: &io::Result<OwnedFd>| answer.as_ref().err().and_then(io::Error::raw_os_error);
    let mut answer = load_retrying(program, token, level, &mut room);
    // A kernel without `fd_array_cnt` answers E2BIG if its `union bpf_attr` ends before it, and EINVAL (`CHECK_ATTR`)
    // if another command made the union longer: 6.7 to 6.13.
    #[cfg(feature = "load-options")]
    if matches!(errno(&answer), Some(libc::E2BIG | libc::EINVAL)) && !program.bound.is_empty() && is_blank(&room) {
        program.bound = &[];
        answer = load_retrying(program, token, level, &mut room);
    }
    if errno(&answer) == Some(libc::EPERM) && is_blank(&room) {
        // The verifier has not seen the program: perhaps the limit of locked memory is reached.
        answer = charged(token, &mut |token| load_retrying(program, token, level, &mut room));
    }
    if errno(&answer) == Some(libc::ENOSPC) {
        // The log did not fit, which hides the verifier's verdict.
        #[cfg(feature = "load-options")]
        if level != LogLevel::Reason {
            return without_steps(program, token, &room);
        }
        room = whole();
        answer = load_retrying(program, token, LogLevel::Reason, &mut room);
    }
    match answer {
        Ok(program) => Ok(Accepted::with(program, &room)),
        Err(error) => Err(Refusal { error, log: text(&room) }),
    }
}

/// Loads a program whose log with each step did not fit into `room`, and appends the statistics to that part of it.
#[cfg(feature = "load-options")]
fn without_steps(program: &bpf::Program<'_>, token: Option<BorrowedFd<'_>>, room: &[u8]) -> Result<Accepted, Refusal> {
    let mut reason = whole();
    match load_retrying(program, token, LogLevel::Reason, &mut reason) {
        Ok(program) => {
            let log = format!("{}{}{}", text(room), cut_off(), text(&reason));
            Ok(Accepted { program, log: Some(log) })
        }
        Err(error) => Err(Refusal { error, log: text(&reason) }),
    }
}

/// Returns the line that separates a log that did not fit from the verifier's last lines. Since Linux 6.4 such a log
/// lacks its beginning, before it lacks its end.
fn cut_off() -> String {
    format!("\n… the kernel cut the log off here, at {WHOLE} bytes; the verifier's last lines are:\n")
}

fn is_blank(log: &[u8]) -> bool {
    log.first().is_none_or(|&byte| byte == 0)
}

impl Refusal {
    /// Finds where the walk through `program` ended, by another load.
    ///
    /// If `differs`, the refused program had instructions that its author did not write, and `program` does not have
    /// them. The kernel may then accept `program`, and its fd is returned.
    pub(super) fn explain(
        &self,
        program: &bpf::Program<'_>,
        shared: &Shared<'_>,
        differs: bool,
    ) -> Result<Accepted, Error> {
        let sentence = verifier::reason_in_log(&self.log);
        if sentence.map_or(!differs, verifier::is_too_large) {
            return Err(self.without_location(program, shared));
        }
        let mut room = whole();
        let second = match load_retrying(program, shared.tokens.held(), LogLevel::Steps, &mut room) {
            Ok(program) => return Ok(Accepted::with(program, &room)),
            Err(error) => error,
        };
        let mut log = text(&room);
        drop(room);
        // A log that lost its end stops in the middle of a step, which may look like a reason.
        let own = verifier::reason_in_log(&log).filter(|own| differs || sentence == Some(*own));
        let overflows = second.raw_os_error() == Some(libc::ENOSPC);
        if differs && own.is_none() && overflows {
            // The program is accepted; only its log did not fit.
            let loaded = load_retrying(program, shared.tokens.held(), LogLevel::Reason, &mut []);
            return loaded
                .map(|loaded| Accepted::with(loaded, log.as_bytes()))
                .map_err(|error| refused(program, &error, shared.tokens));
        }
        let Some(found) = own.or(sentence) else {
            return Err(refused(program, &self.error, shared.tokens));
        };
        let is_whole = own.is_some();
        let mut at = if is_whole { verifier::location(&log) } else { None };
        if is_about_the_license(found) {
            // Report only the call: the source line is not at fault.
            at = at.map(|at| at.split(';').next().unwrap_or_default().to_owned());
        }
        let explanation = explained(found, program, shared);
        if !is_whole && overflows {
            log.push_str(&cut_off());
            log.push_str(&self.log);
        }
        Err(self.verifier(program, explanation, at, log))
    }

    /// Returns the refusal without another load: where the walk ended is unknown.
    pub(super) fn without_location(&self, program: &bpf::Program<'_>, shared: &Shared<'_>) -> Error {
        match verifier::reason_in_log(&self.log) {
            Some(sentence) => self.verifier(program, explained(sentence, program, shared), None, self.log.clone()),
            None => refused(program, &self.error, shared.tokens),
        }
    }

    fn verifier(&self, program: &bpf::Program<'_>, sentence: String, at: Option<String>, log: String) -> Error {
        Error::Verifier { program: program.name.to_owned(), sentence, at, errno: Errno::of(&self.error), log }
    }
}

/// Loads a program. Retries if a signal interrupts the verifier (EAGAIN); a few attempts suffice.
fn load_retrying(
    program: &bpf::Program<'_>,
    token: Option<BorrowedFd<'_>>,
    level: LogLevel,
    log: &mut [u8],
) -> io::Result<OwnedFd> {
    const TIMES: u32 = 5;
    let mut why = match level {
        LogLevel::Reason => "loads a program: the verifier walks every path through it",
        #[cfg(feature = "load-options")]
        LogLevel::StepsAndStatistics => "loads a program, with each step of the verifier in the log",
        LogLevel::Steps => "loads it once more, with each step of the verifier in the log, to find where it refuses it",
    };
    let mut times = 1;
    loop {
        let answer = bpf::prog_load(program, token, level, log, why);
        match &answer {
            Err(error) if error.raw_os_error() == Some(libc::EAGAIN) && times < TIMES => times += 1,
            _ => return answer,
        }
        why = "loads the program again: a signal had interrupted the verifier";
    }
}

/// Returns the text that the kernel has written, up to the NUL.
fn text(log: &[u8]) -> String {
    String::from_utf8_lossy(log.split(|&byte| byte == 0).next().unwrap_or_default()).into_owned()
}

fn refused(program: &bpf::Program<'_>, error: &io::Error, tokens: &Tokens<'_>) -> Error {
    let attempt = format!("load the program `{}` ({})", program.name, program.program_type);
    let plain = Error::kernel(attempt, error);
    match Errno::of(error).raw() {
        libc::EINVAL => {
            plain.advise("the verifier gives no reason; perhaps this kernel does not know this program type")
        }
        libc::E2BIG => plain.advise("it has more instructions or uses more maps than the kernel accepts"),
        _ => tokens.explain(plain, Need::Program(program.program_type, program.expected_attach_type)),
    }
}
