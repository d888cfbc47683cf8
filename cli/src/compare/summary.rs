//! The claimed likenesses and differences of the two buffers, each with the verdict of its experiments.

use serde::Serialize;

use super::{experiment::Verdict, result::ExperimentResult};

/// One of the seven claims.
pub(super) struct Statement {
    pub(super) name: &'static str,
    likeness: bool,
    text: &'static str,
    experiments: &'static [&'static str],
}

const CLAIMS: [Statement; 7] = [
    Statement {
        name: "notification",
        likeness: true,
        text: "Both notify user space of new records; a map has to be polled.",
        experiments: &["wake-ups"],
    },
    Statement {
        name: "shared memory",
        likeness: true,
        text: "Both are memory that the kernel shares with user space: reading copies nothing.",
        experiments: &["shared-memory"],
    },
    Statement {
        name: "variable length",
        likeness: true,
        text: "Both carry records of varying length.",
        experiments: &["variable-length"],
    },
    Statement {
        name: "copies",
        likeness: false,
        text: "The perf buffer copies a finished event, limited by the stack or built on a heap; \
               the ring lets the program build it in place, and refuses before the work.",
        experiments: &["stack-limit", "copies", "full-buffer"],
    },
    Statement {
        name: "order",
        likeness: false,
        text: "Perf buffers keep no order across CPUs, the ring does.",
        experiments: &["order"],
    },
    Statement {
        name: "size",
        likeness: false,
        text: "max_entries counts slots in one and bytes in the other; there is one perf buffer for each CPU, and one \
             ring for all.",
        experiments: &["max-entries", "memory"],
    },
    Statement {
        name: "speed",
        likeness: false,
        text: "The ring is faster than the perf buffer.",
        experiments: &["throughput"],
    },
];

/// A statement and its verdict.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Answer {
    pub(super) name: &'static str,
    /// `likeness` or `difference`.
    pub(super) kind: &'static str,
    pub(super) statement: &'static str,
    pub(super) verdict: Verdict,
    /// The experiments that test it.
    pub(super) experiments: &'static [&'static str],
}

/// Returns the statements all of whose experiments have run.
pub(super) fn answers(results: &[ExperimentResult]) -> Vec<Answer> {
    let verdict = |name: &&str| results.iter().find(|outcome| outcome.name == *name).map(ExperimentResult::verdict);
    let answer = |statement: &Statement| {
        let verdicts: Option<Vec<_>> = statement.experiments.iter().map(verdict).collect();
        Some(Answer {
            name: statement.name,
            kind: if statement.likeness { "likeness" } else { "difference" },
            statement: statement.text,
            verdict: together(&verdicts?),
            experiments: statement.experiments,
        })
    };
    CLAIMS.iter().filter_map(answer).collect()
}

/// Returns the worst of several verdicts.
fn together(verdicts: &[Verdict]) -> Verdict {
    let order = [Verdict::DoesNotHold, Verdict::TooNoisy, Verdict::CannotBeTried];
    order.into_iter().find(|verdict| verdicts.contains(verdict)).unwrap_or(Verdict::Holds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn worst_verdict_counts() {
        use Verdict::*;
        assert_eq!(together(&[Holds, Holds]), Holds);
        assert_eq!(together(&[Holds, DoesNotHold, TooNoisy]), DoesNotHold);
        assert_eq!(together(&[Holds, CannotBeTried, TooNoisy]), TooNoisy);
        assert_eq!(together(&[CannotBeTried, Holds]), CannotBeTried);
    }

    #[test]
    fn named_experiments_exist() {
        for statement in &CLAIMS {
            for name in statement.experiments {
                let all = super::super::experiments::ALL;
                assert!(all.iter().any(|experiment| experiment.name == *name), "{name}");
            }
        }
    }
}
