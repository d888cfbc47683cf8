//! Parses the verifier's log: finds the reason of a refusal, and where in the program the verifier stopped.
//!
//! A log has three parts:
//!
//! 1. The trace of the instructions that the verifier processes. It has source lines (`; …`), instructions
//!    (`12: (85) call …`) and register states (`R1=ctx() R10=fp0`, `from 3 to 7: …`).
//! 2. The reason, one line.
//! 3. Statistics (`processed 9 insns …`). The number of these lines depends on the kernel.
//!
//! So the reason is the last line that belongs neither to the trace nor to the statistics.
//!
//! Since Linux 7.3 a report of many lines follows some reasons. It begins with `Verification failed: `, and has an
//! explanation and a suggestion. The reason is still the line before the report.
//!
//! The verifier stops at the last instruction before the reason. The source line of this instruction is the last `;`
//! line before it, because the kernel prints a source line only if it differs from the one printed last.
//!
//! The verifier finds some errors before or after it processes the instructions, for example a jump out of the program.
//! The kernel prints the reason of such an error before the trace, or after it has cleared the trace. The reason `BPF
//! program is too large` follows an instruction of the trace, on the same line.

use crate::btf::shown;

/// Returns the reason in a log; `None` if the log has no reason.
pub(super) fn reason_in_log(log: &str) -> Option<&str> {
    let mut lines = log.lines().map(str::trim_ascii);
    let before_the_report = lines.by_ref().take_while(|line| !line.starts_with(REPORT));
    // If there is no reason before the report, use the first line after the heading of the report and `Reason:`.
    let found = before_the_report.filter_map(reason_in_line).last();
    found.or_else(|| lines.filter(|line| *line != "Reason:").find_map(reason_in_line))
}

/// Returns the reason in a line: the whole line, or its end if an instruction precedes the reason. Returns `None` if
/// the line has no reason.
fn reason_in_line(line: &str) -> Option<&str> {
    match line {
        "" => None,
        line if is_statistics(line) => None,
        line if is_trace(line) => reason_after_insn(line),
        line => Some(line),
    }
}

/// Returns the reason that follows an instruction on the same line, as in `5: (05) goto pc-7 BPF program is too large.
/// Processed 1000001 insn`. Some kernels print the line break after an instruction only together with the register
/// state. If the verifier stops before that, its reason follows on the same line.
fn reason_after_insn(line: &str) -> Option<&str> {
    // A build without `advice` omits this code, to be smaller. It takes this kind of reason from the log of the first
    // load, which has no trace (`verify.rs`). So it cannot report where the verifier stopped.
    if !cfg!(feature = "advice") {
        return None;
    }
    if let Some(at) = line.find(TOO_LARGE) {
        return line.get(at..);
    }
    let (number, rest) = line.split_once(": (")?;
    if !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (_, text) = rest.split_once(") ")?;
    let after = ENDS.iter().find_map(|end| {
        let from = text.find(end)? + end.len();
        // Skip the operand: the offset of a jump, or the function of a call.
        let rest = text.get(from..)?;
        Some(rest.split_once(' ')?.1)
    })?;
    let after = after.trim_ascii();
    (!after.is_empty() && !after.starts_with(';') && !is_state(after) && !after.starts_with("goto ")).then_some(after)
}

/// The texts before the last operand of a jump and of a call, and the text of an exit, which has no operand. For other
/// instructions, the end of the instruction's text cannot be found.
const ENDS: [&str; 3] = ["goto pc", "call ", "exit"];

/// Returns true if the reason is that the verifier has processed more than `BPF_COMPLEXITY_LIMIT_INSNS` instructions.
pub(super) fn is_too_large(reason: &str) -> bool {
    reason.starts_with(TOO_LARGE)
}

const TOO_LARGE: &str = "BPF program is too large";

/// Returns where the verifier stopped, as `instruction 12: call 25; send.c:31: bpf_perf_event_output(…)`. Returns
/// `None` if the log has no instruction. The source line, and the name of its file since Linux 6.9, come from the
/// object's line information.
pub(super) fn location(log: &str) -> Option<String> {
    let (mut source, mut location) = (None, None);
    for line in log.lines().map(str::trim_ascii).take_while(|line| !line.starts_with(REPORT)) {
        match line.strip_prefix("; ") {
            Some(text) => source = Some(text),
            None => location = instruction(line).map(|found| (found, source)).or(location),
        }
    }
    let ((number, text), source) = location?;
    let (between, file, line) = match source.map(|source| with_file(source).unwrap_or((source, ""))) {
        Some((line, "")) => ("; ", "", line),
        Some((line, file)) => ("; ", file, line),
        None => ("", "", ""),
    };
    let colon = if file.is_empty() { "" } else { ": " };
    let all = format!("instruction {number}: {text}{between}{file}{colon}{}", line.trim_ascii());
    Some(shown(all.as_bytes()).into_owned())
}

/// Splits a source line into its text and the name of its file, which follows the last ` @ `. (The search for one
/// character is less code than the search for ` @ `: see [`split`].)
fn with_file(source: &str) -> Option<(&str, &str)> {
    source.rmatch_indices('@').find_map(|(at, _)| {
        let (line, file) = (source.get(..at)?, source.get(at + 1..)?);
        Some((line.strip_suffix(' ')?, file.strip_prefix(' ')?))
    })
}

/// Splits the line of an instruction, such as `12: (85) call bpf_perf_event_output#25 ; R0=scalar()`. Returns the
/// instruction's index (`12`), and the text between the opcode and the register state
/// (`call bpf_perf_event_output#25`).
fn instruction(line: &str) -> Option<(&str, &str)> {
    let (number, rest) = split(line, ':')?;
    let (_, text) = split(rest.strip_prefix('(')?, ')')?;
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let text = reason_after_insn(line).and_then(|reason| text.strip_suffix(reason)).unwrap_or(text);
    is_number.then(|| (number, text.split_once(';').map_or(text, |(text, _)| text).trim_ascii()))
}

/// The start of a report's first line.
const REPORT: &str = "Verification failed: ";

/// Returns true if the line belongs to the trace.
fn is_trace(line: &str) -> bool {
    let numbered = split(line, ':').is_some_and(|(number, rest)| {
        number.bytes().all(|byte| byte.is_ascii_digit()) && (rest.starts_with('(') || is_state(rest))
    });
    numbered || is_state(line) || begins_with(line, TRACE) || is_argument_note(line)
}

/// The starts of other lines of the trace, separated by `|`. (One string is a quarter of the size of an array of
/// strings: in the array, each string would need an address, and each address a relocation.)
const TRACE: &str = ";|from |last_idx |regs=|parent |mark_precise: |cur state: |old state: |func#|Func#|Validating |caller:\
                    |callee:|Live regs before insn|reg type unsupported";

fn begins_with(line: &str, starts: &str) -> bool {
    starts.split('|').any(|start| line.starts_with(start))
}

/// Splits at the first `end`. Returns `None` if no space follows it. (The search for one character is less code than
/// the search for two.)
fn split(text: &str, end: char) -> Option<(&str, &str)> {
    let (before, behind) = text.split_once(end)?;
    Some((before, behind.strip_prefix(' ')?))
}

/// Returns true if the line shows register states: `R1=ctx(off=0) R10=fp0`, in older kernels `R1_w=…`, or
/// `frame1: R1=…`.
fn is_state(line: &str) -> bool {
    let state = line.strip_prefix("frame").and_then(|rest| split(rest, ':')).map_or(line, |(_, state)| state);
    state.strip_prefix('R').and_then(|rest| rest.split_once('=')).is_some_and(|(name, _)| {
        name.starts_with(|c: char| c.is_ascii_digit()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    })
}

/// Returns true for the note `arg#0 reference type('…`. The kernel prints it for an argument whose size it cannot
/// determine. The note is not a reason, because the kernel also prints it for programs that it accepts.
fn is_argument_note(line: &str) -> bool {
    line.strip_prefix("arg#")
        .is_some_and(|rest| rest.trim_start_matches(|c: char| c.is_ascii_digit()).starts_with(" reference type('"))
}

/// The starts of the statistics lines, separated by `|`.
const STATISTICS: &str =
    "processed |verification time |stack depth |max_states_per_insn |insns processed |total_states ";

/// Returns true if the line belongs to the statistics.
fn is_statistics(line: &str) -> bool {
    begins_with(line, STATISTICS)
        // Since Linux 7.3 there is a line for each function:
        // `subprog 0 (main) main insns_self 3 insns_total 3 stack 0`.
        || (line.starts_with("subprog ") && line.contains(" insns_self "))
}

#[cfg(test)]
mod tests {
    use super::{location, reason_in_log};

    #[test]
    fn location_is_the_last_instruction_and_its_line() {
        let trace = "0: R1=ctx() R10=fp0\n; let x = 1; @ stack.rs:12\n0: (b7) r1 = 0    ; R1=0\n1: (7b) *(u64 *)(r10 \
             -520) = r1\n";
        for (log, expected) in [
            (
                format!("{trace}invalid write to stack\nprocessed 2 insns\n"),
                "instruction 1: *(u64 *)(r10 -520) = r1; stack.rs:12: let x = 1;",
            ),
            // Kernels before 6.9 do not print the file, and an object without line information has no source lines.
            (trace.replace(" @ stack.rs:12", ""), "instruction 1: *(u64 *)(r10 -520) = r1; let x = 1;"),
            ("0: (95) exit\nR0 !read_ok\n".to_owned(), "instruction 0: exit"),
            ("from 3 to 7: R0=0\n; a\n7: (95) exit\n; b @ f.c:2\nR0\n".to_owned(), "instruction 7: exit; a"),
            (
                "; \x1b[31m\n7: (95) exit\nVerification failed: x\n8: (95) exit\n".to_owned(),
                "instruction 7: exit; \u{fffd}[31m",
            ),
        ] {
            assert_eq!(location(&log).as_deref(), Some(expected), "{log}");
        }
        assert_eq!(location("back-edge from insn 0 to 0\nprocessed 0 insns\n"), None);
        assert_eq!(location(""), None);
        let statistics = "processed 3 insns\nsubprog 0 (send) main insns_self 3 insns_total 3 stack 0\n";
        assert_eq!((reason_in_log(statistics), reason_in_log(&format!("R0\n{statistics}"))), (None, Some("R0")));
    }

    #[test]
    fn reason_is_between_trace_and_statistics() {
        let log = "0: R1=ctx() R10=fp0\n; let x = 1; @ stack.rs:12\n0: (b7) r1 = 0    ; R1=0\n1: (7b) *(u64 *)(r10 -520) = r1\n\
                   invalid write to stack R10 off=-520 size=8\nprocessed 2 insns (limit 1000000) max_states_per_insn 0 total_states 0\n";
        assert_eq!(reason_in_log(log), Some("invalid write to stack R10 off=-520 size=8"));
    }

    #[test]
    fn additional_statistics_are_skipped() {
        let log = "func#0 @0\n0: (95) exit\nR0 !read_ok\nverification time 12 usec\nstack depth 0\nprocessed 1 insns \
             (limit 1000000)\n";
        assert_eq!(reason_in_log(log), Some("R0 !read_ok"));
    }

    #[test]
    fn states_after_an_infinite_loop_are_skipped() {
        let log = "0: (b7) r0 = 1\n1: (05) goto pc-1\ninfinite loop detected at insn 1\ncur state: R0=1 R10=fp0\nold \
             state: R0=1 R10=fp0\nprocessed 3 insns\n";
        assert_eq!(reason_in_log(log), Some("infinite loop detected at insn 1"));
    }

    #[test]
    fn report_after_the_reason_is_skipped() {
        let report = "\nVerification failed: Register Type Safety: Unreadable register\n\nReason:\n  R0 has never been initialized on this path, so the verifier cannot use it as an input.\n\n\
                      At:\n  send @ vlog.rs:14:9\n  Source context:\n  >>> 14 | exit\n         | ^-- error: R0 is not readable\n  Instruction context:\n  >>> 0 | (95) exit\n\n\
                      Suggestion:\n  Initialize R0 on every path before this instruction.\n\nprocessed 1 insns (limit 1000000)\n";
        let trace = "0: R1=ctx() R10=fp0\n; exit @ vlog.rs:14\n0: (95) exit\n";
        assert_eq!(reason_in_log(&format!("{trace}R0 !read_ok\n{report}")), Some("R0 !read_ok"));
        let alone = format!("{trace}{report}");
        let first = "R0 has never been initialized on this path, so the verifier cannot use it as an input.";
        assert_eq!(reason_in_log(&alone), Some(first));
    }

    #[test]
    fn combined_stack_size_is_a_reason() {
        let log = "combined stack size of 2 calls is 544. Too large\nverification time 4 usec\nprocessed 3 insns\n";
        assert_eq!(reason_in_log(log), Some("combined stack size of 2 calls is 544. Too large"));
    }

    #[test]
    #[cfg(feature = "advice")]
    fn reason_on_the_line_of_an_instruction_is_found() {
        let too_large = "BPF program is too large. Processed 1000001 insn";
        for (insn, text, reason) in [
            ("4: (05) goto pc-7 ", "goto pc-7", too_large),
            ("4: (a5) if r1 < 0x5 goto pc-7 ", "if r1 < 0x5 goto pc-7", too_large),
            ("4: (bf) r1 = r2 ", "r1 = r2", too_large),
            ("4: (85) call bpf_loop#181 ", "call bpf_loop#181", "R2 pointer comparison prohibited"),
            ("4: (95) exit ", "exit", "R0 !read_ok"),
            ("4: (05) goto pc+1 ", "goto pc+1", "infinite loop detected at insn 4"),
        ] {
            let log = format!("3: (b7) r0 = 0 ; R0=0\n{insn}{reason}\nprocessed 5 insns (limit 1000000)\n");
            assert_eq!(reason_in_log(&log), Some(reason), "{log}");
            assert_eq!(location(&log), Some(format!("instruction 4: {text}")), "{log}");
        }
        for insn in [
            "4: (85) call bpf_loop#181   ; R0=scalar()",
            "4: (15) if r2 == 0x8 goto pc+1   ; R2=8",
            "4: (95) exit",
            "4: (05) goto pc-7",
            "4: (85) call bpf_loop#181 R0_w=scalar()",
            "4: (15) if r1 == 0 goto pc+2 R1=ctx()",
        ] {
            assert_eq!(reason_in_log(&format!("{insn}\nprocessed 5 insns\n")), None, "{insn}");
        }
        assert_eq!(reason_in_log(&format!("from 4 to 2: R0=1 {too_large}\n")), Some(too_large));
        let noise = "arg#0 reference type('UNKNOWN ') size cannot be determined: -22";
        assert_eq!(reason_in_log(&format!("{noise}\nprocessed 5 insns\n")), None);
    }

    #[test]
    fn log_without_reason_has_none() {
        assert_eq!(reason_in_log(""), None);
        assert_eq!(reason_in_log("0: (95) exit\nprocessed 1 insns\n"), None);
    }
}
