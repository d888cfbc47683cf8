//! The figures that the verifier prints about a program that it has accepted (`print_verification_stats` in
//! `kernel/bpf/verifier.c`).
//!
//! ```text
//!     verification time 123 usec
//!     stack depth 0+8                      before 7.3: one figure for each function
//!     stack depth max 8                    since 7.3: along the deepest chain of calls
//!     processed 12 insns (limit 1000000) max_states_per_insn 0 total_states 1 peak_states 1 mark_read 1
//!     subprog 0 (send) main insns_self 3 insns_total 12 stack 0            since 7.3
//! ```

use std::time::Duration;

use super::Program;
use crate::sys::bpf;

/// How much the verifier writes into the log of a program that it accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum LogLevel {
    /// Only the figures of [`VerifierStats`] (`BPF_LOG_STATS`, Linux 5.2).
    #[doc(alias = "BPF_LOG_STATS")]
    Stats,
    /// Each instruction that is processed, with its source line and the registers and stack slots that it changes, and
    /// the figures (`BPF_LOG_LEVEL2`).
    ///
    /// For programs that the kernel accepts there is nothing in between: it empties a log of the level
    /// `BPF_LOG_LEVEL1` when it accepts a program.
    #[doc(alias("BPF_LOG_LEVEL2", "BPF_LOG_LEVEL1", "BPF_LOG_LEVEL"))]
    Instructions,
}

impl LogLevel {
    pub(super) fn kernels(self) -> bpf::LogLevel {
        match self {
            Self::Stats => bpf::LogLevel::Reason,
            Self::Instructions => bpf::LogLevel::StepsAndStatistics,
        }
    }
}

/// The verifier's figures about an accepted program. A figure that this kernel does not print is `None`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
#[doc(alias("veristat", "verified_insns"))]
pub struct VerifierStats {
    /// The instructions that it has processed, on all paths.
    #[doc(alias = "insn_processed")]
    pub processed_insns: Option<u64>,
    /// The number of processed instructions above which it refuses a program (`BPF_COMPLEXITY_LIMIT_INSNS`).
    pub limit: Option<u64>,
    /// The highest number of states that it kept for one instruction.
    pub max_states_per_insn: Option<u64>,
    /// The states that it has stored.
    pub total_states: Option<u64>,
    /// The highest number of states stored at once.
    pub peak_states: Option<u64>,
    /// The longest chain of parent states through which a read was marked.
    #[doc(alias = "longest_mark_read_walk")]
    pub mark_read: Option<u64>,
    /// The stack of each function in bytes; the first is the program itself.
    pub stack_depths: Option<Vec<u32>>,
    /// The stack along the deepest chain of calls, in bytes. Seen on Linux 7.3.
    pub max_stack_depth: Option<u32>,
    /// The duration of the verification.
    pub verification_time: Option<Duration>,
    /// The cost of each function. Seen on Linux 7.3.
    pub functions: Option<Vec<FunctionCost>>,
}

/// The cost of verifying one function. Seen on Linux 7.3.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FunctionCost {
    /// Its name; empty if the program was loaded without BTF.
    pub name: String,
    /// The instructions processed in it.
    pub insns_self: Option<u64>,
    /// The instructions processed in it and in the functions that it calls.
    pub insns_total: Option<u64>,
    /// Its stack in bytes.
    pub stack_depth: Option<u32>,
}

impl Program {
    /// Returns the verifier's figures about the program. `None` unless
    /// [`LoadOptions::verifier_log`](crate::LoadOptions::verifier_log) was set when it was loaded.
    ///
    /// [`Program::info`] has the number of processed instructions of any program, since Linux 5.16.
    ///
    /// Needs this crate's feature `load-options`.
    #[doc(alias("BPF_LOG_STATS", "veristat"))]
    #[must_use]
    pub fn verifier_stats(&self) -> Option<VerifierStats> {
        self.verifier_log().map(VerifierStats::of)
    }
}

impl VerifierStats {
    /// Reads the figures from a log. They are its last lines; a source line in it begins with `;`.
    fn of(log: &str) -> Self {
        let mut stats = Self::default();
        for line in log.lines().map(str::trim_ascii) {
            if let Some(rest) = line.strip_prefix("processed ") {
                stats.processed_insns = first_number(rest);
                stats.limit = line.split_once("(limit ").and_then(|(_, rest)| first_number(rest));
                stats.max_states_per_insn = after(line, "max_states_per_insn");
                stats.total_states = after(line, "total_states");
                stats.peak_states = after(line, "peak_states");
                stats.mark_read = after(line, "mark_read");
            } else if let Some(rest) = line.strip_prefix("verification time ") {
                stats.verification_time = first_number(rest).map(Duration::from_micros);
            } else if let Some(rest) = line.strip_prefix("stack depth max ") {
                stats.max_stack_depth = narrow(first_number(rest));
            } else if let Some(rest) = line.strip_prefix("stack depth ") {
                stats.stack_depths = rest.split('+').map(|depth| depth.parse().ok()).collect();
            } else if line.starts_with("subprog ")
                && let Some(cost) = FunctionCost::of(line)
            {
                stats.functions.get_or_insert_default().push(cost);
            }
        }
        if stats.stack_depths.is_none() {
            let functions = stats.functions.as_deref();
            stats.stack_depths =
                functions.and_then(|functions| functions.iter().map(|function| function.stack_depth).collect());
        }
        stats
    }
}

impl FunctionCost {
    /// Reads `subprog 0 (send) main insns_self 3 insns_total 12 stack 0`.
    fn of(line: &str) -> Option<Self> {
        let (_, rest) = line.split_once('(')?;
        let (name, figures) = rest.split_once(')')?;
        after(figures, "insns_self")?;
        Some(Self {
            name: name.to_owned(),
            insns_self: after(figures, "insns_self"),
            insns_total: after(figures, "insns_total"),
            stack_depth: narrow(after(figures, "stack")),
        })
    }
}

/// Returns the number at the start of a text.
fn first_number(text: &str) -> Option<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text.get(..end)?.parse().ok()
}

/// Returns the number that follows the word `name`.
fn after(line: &str, name: &str) -> Option<u64> {
    let mut words = line.split_ascii_whitespace();
    words.find(|word| *word == name)?;
    words.next().and_then(first_number)
}

fn narrow(number: Option<u64>) -> Option<u32> {
    number.and_then(|number| number.try_into().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_linux_5_10_to_7_2() {
        let stats = VerifierStats::of(
            "0: (b7) r0 = 0\n; processed 9 insns\n1: (95) exit\nverification time 123 usec\nstack depth 0+8+16\nprocessed \
             12 insns (limit 1000000) max_states_per_insn 1 total_states 2 peak_states 3 mark_read 4\n",
        );
        let expected = VerifierStats {
            processed_insns: Some(12),
            limit: Some(1_000_000),
            max_states_per_insn: Some(1),
            total_states: Some(2),
            peak_states: Some(3),
            mark_read: Some(4),
            stack_depths: Some(vec![0, 8, 16]),
            max_stack_depth: None,
            verification_time: Some(Duration::from_micros(123)),
            functions: None,
        };
        assert_eq!(stats, expected);
    }

    #[test]
    fn figures_of_linux_7_3() {
        let stats = VerifierStats::of(
            "verification time 8 usec\nstack depth max 24\nprocessed 12 insns (limit 1000000) max_states_per_insn 0 \
             total_states 1 peak_states 1 mark_read 0\nsubprog 0 (send) main insns_self 3 insns_total 12 stack 8\nsubprog 1 \
             (copy) static insns_self 9 insns_total 9 stack 16\n",
        );
        assert_eq!((stats.max_stack_depth, stats.stack_depths), (Some(24), Some(vec![8, 16])));
        let functions = stats.functions.unwrap();
        let of = |name: &str, insns_self, insns_total, stack_depth| FunctionCost {
            name: name.to_owned(),
            insns_self: Some(insns_self),
            insns_total: Some(insns_total),
            stack_depth: Some(stack_depth),
        };
        assert_eq!(functions, [of("send", 3, 12, 8), of("copy", 9, 9, 16)]);
    }

    #[test]
    fn missing_figures_are_unknown() {
        assert_eq!(VerifierStats::of(""), VerifierStats::default());
        let stats = VerifierStats::of("processed many insns\nstack depth 0+x\nsubprog 0\nverification time -1 usec\n");
        assert_eq!(stats, VerifierStats::default());
    }
}
