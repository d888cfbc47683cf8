//! An experiment: a claim, a function that tests it, and its findings.
//!
//! ```text
//!     Experiment ── run(&Bench) ──▶ Findings: verdict, sentence, tables, plots
//!                         └───────▶ Obstacle: it cannot be tried here: …
//! ```
//!
//! An experiment first measures, then judges by a pure function of its data, so that a test can pass broken data and
//! see the verdict change. Each experiment has a control: a variant that is broken on purpose, run on the real kernel,
//! which must not hold ([`Bench::control`]).

use serde::Serialize;

use super::{
    bench::{Bench, Effort, Obstacle},
    cpus,
    data::{Plot, Table},
    stats::Relation,
};

/// An experiment.
pub(super) struct Experiment {
    /// Its name on the command line.
    pub(super) name: &'static str,
    /// The claim that is tested.
    pub(super) claim: &'static str,
    pub(super) run: fn(&Bench<'_>) -> Result<Findings, Obstacle>,
}

impl Experiment {
    /// Runs the experiment. In a full run, runs it a second time if the data of the first contradict each other.
    pub(super) fn make(&self, bench: &Bench<'_>) -> Result<Findings, Obstacle> {
        let first = (self.run)(bench)?;
        if first.judgement.verdict != Verdict::TooNoisy || bench.effort == Effort::Quick {
            return Ok(first);
        }
        // Threads and processes inherit the CPU affinity, and this thread was pinned.
        cpus::allow(&bench.cpus)?;
        let mut second = (self.run)(bench)?;
        second.notes.push("This is a second attempt: the figures of the first contradicted each other.".to_owned());
        Ok(second)
    }
}

/// The verdict on a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verdict {
    Holds,
    DoesNotHold,
    TooNoisy,
    CannotBeTried,
}

impl Verdict {
    /// Judges the claim that the first arm is less in each comparison. One comparison that says otherwise refutes it.
    /// Without one, contradicting rounds leave it open, and so does an empty list.
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

/// A verdict and the sentence with its numbers.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Judgement {
    pub(super) verdict: Verdict,
    pub(super) sentence: String,
}

impl Judgement {
    pub(super) fn new(verdict: Verdict, sentence: impl Into<String>) -> Self {
        Self { verdict, sentence: sentence.into() }
    }

    /// Makes a judgement of [`Verdict::Holds`] or [`Verdict::DoesNotHold`].
    pub(super) fn holds(holds: bool, sentence: impl Into<String>) -> Self {
        Self::new(if holds { Verdict::Holds } else { Verdict::DoesNotHold }, sentence)
    }
}

/// The findings of an experiment.
#[derive(Debug, Clone)]
pub(super) struct Findings {
    pub(super) judgement: Judgement,
    pub(super) tables: Vec<Table>,
    pub(super) plots: Vec<Plot>,
    /// How it was measured, and remarks.
    pub(super) notes: Vec<String>,
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use indicatif::ProgressBar;

    use super::*;

    #[test]
    fn one_contrary_comparison_refutes_a_claim() {
        use Relation::{Less, More, Same, Unclear};
        assert_eq!(Verdict::if_all_less(&[Less, Less]), Verdict::Holds);
        for otherwise in [Same, More] {
            assert_eq!(Verdict::if_all_less(&[Less, otherwise]), Verdict::DoesNotHold);
            assert_eq!(Verdict::if_all_less(&[Unclear, otherwise]), Verdict::DoesNotHold);
        }
        assert_eq!(Verdict::if_all_less(&[Less, Unclear]), Verdict::TooNoisy);
        assert_eq!(Verdict::if_all_less(&[]), Verdict::TooNoisy);
    }

    /// Returns findings that are too noisy at the first attempt, and not at the second.
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
    fn noisy_figures_are_measured_a_second_time_only() {
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
