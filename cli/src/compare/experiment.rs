//! What an experiment is: a claim, a way to try it, and what came of it.
//!
//! ```text
//!     Experiment ── run(&Bench) ──▶ Findings: verdict, sentence, tables, plots
//!                         └───────▶ Obstacle: it cannot be tried here because …
//! ```
//!
//! An experiment measures first and judges afterwards, by a pure function of its figures, so that a test can put broken
//! figures in and see the verdict turn. Each has a control as well: a variant that is broken on purpose, run on the
//! real kernel, which must not hold ([`Bench::control`]).

use serde::Serialize;

use super::{
    bench::{Bench, Effort, Obstacle},
    cpus,
    data::{Plot, Table},
    stats::Relation,
};

/// One of them.
pub(super) struct Experiment {
    /// Its name on the command line.
    pub(super) name: &'static str,
    /// What is said to be so.
    pub(super) claim: &'static str,
    pub(super) run: fn(&Bench<'_>) -> Result<Findings, Obstacle>,
}

impl Experiment {
    /// Makes it; once more if the figures contradict each other and there is time for it.
    pub(super) fn make(&self, bench: &Bench<'_>) -> Result<Findings, Obstacle> {
        let first = (self.run)(bench)?;
        if first.judgement.verdict != Verdict::TooNoisy || bench.effort == Effort::Quick {
            return Ok(first);
        }
        // Threads and processes inherit where they may run, and this thread has been pinned.
        cpus::allow(&bench.cpus)?;
        let mut second = (self.run)(bench)?;
        second.notes.push("This is a second attempt: the figures of the first contradicted each other.".to_owned());
        Ok(second)
    }
}

/// What comes of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Verdict {
    Holds,
    DoesNotHold,
    TooNoisy,
    CannotBeTried,
}

impl Verdict {
    /// Of a claim that the first is less in each of these comparisons: one in which it is not refutes it, whatever the others
    /// say; without such a one, rounds that contradict each other leave it open, as does nothing compared.
    pub(super) fn if_all_less(comparisons: &[Relation]) -> Self {
        if comparisons.iter().any(|relation| matches!(relation, Relation::Same | Relation::More)) {
            Self::DoesNotHold
        } else if comparisons.is_empty() || comparisons.contains(&Relation::Unclear) {
            Self::TooNoisy
        } else {
            Self::Holds
        }
    }

    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::DoesNotHold => "does not hold here",
            Self::TooNoisy => "too noisy to tell",
            Self::CannotBeTried => "cannot be tried here",
        }
    }
}

/// A verdict and the sentence that gives its figures.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Judgement {
    pub(super) verdict: Verdict,
    pub(super) sentence: String,
}

impl Judgement {
    pub(super) fn new(verdict: Verdict, sentence: impl Into<String>) -> Self {
        Self { verdict, sentence: sentence.into() }
    }

    /// [`Verdict::Holds`] or [`Verdict::DoesNotHold`].
    pub(super) fn holds(holds: bool, sentence: impl Into<String>) -> Self {
        Self::new(if holds { Verdict::Holds } else { Verdict::DoesNotHold }, sentence)
    }
}

/// What an experiment brought.
#[derive(Debug, Clone)]
pub(super) struct Findings {
    pub(super) judgement: Judgement,
    pub(super) tables: Vec<Table>,
    pub(super) plots: Vec<Plot>,
    /// How it was measured, and what is good to know.
    pub(super) notes: Vec<String>,
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use indicatif::ProgressBar;

    use super::*;

    #[test]
    fn one_comparison_that_says_otherwise_refutes_a_claim() {
        use Relation::{Less, More, Same, Unclear};
        assert_eq!(Verdict::if_all_less(&[Less, Less]), Verdict::Holds);
        for otherwise in [Same, More] {
            assert_eq!(Verdict::if_all_less(&[Less, otherwise]), Verdict::DoesNotHold);
            assert_eq!(Verdict::if_all_less(&[Unclear, otherwise]), Verdict::DoesNotHold);
        }
        assert_eq!(Verdict::if_all_less(&[Less, Unclear]), Verdict::TooNoisy);
        assert_eq!(Verdict::if_all_less(&[]), Verdict::TooNoisy);
    }

    /// Contradicts itself the first time, never the second.
    fn noisy_once(bench: &Bench<'_>) -> Result<Findings, Obstacle> {
        let first = bench.bar.position() == 0;
        bench.bar.inc(1);
        let verdict = if first { Verdict::TooNoisy } else { Verdict::Holds };
        Ok(Findings {
            judgement: Judgement::new(verdict, ""),
            tables: Vec::new(),
            plots: Vec::new(),
            notes: Vec::new(),
        })
    }

    #[test]
    fn figures_that_contradict_each_other_are_taken_once_more_and_no_more() {
        let attempt = |effort, run| {
            let (bar, stopped) = (ProgressBar::hidden(), AtomicBool::new(false));
            let cpus = cpus::allowed().unwrap();
            let bench = Bench { effort, control: false, cpus, bar: &bar, begun: 0, stopped: &stopped };
            let findings = Experiment { name: "", claim: "", run }.make(&bench).unwrap();
            (findings.judgement.verdict, findings.notes.len(), bar.position())
        };
        assert_eq!(attempt(Effort::Full, noisy_once), (Verdict::Holds, 1, 2));
        assert_eq!(attempt(Effort::Quick, noisy_once), (Verdict::TooNoisy, 0, 1));
        let always: fn(&Bench<'_>) -> Result<Findings, Obstacle> = |bench| {
            let mut findings = noisy_once(bench)?;
            findings.judgement.verdict = Verdict::TooNoisy;
            Ok(findings)
        };
        assert_eq!(attempt(Effort::Full, always), (Verdict::TooNoisy, 1, 2));
    }
}
