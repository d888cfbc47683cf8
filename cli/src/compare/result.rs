//! The result of an experiment.

use serde::Serialize;

use super::{
    bench::Obstacle,
    data::{Plot, Table},
    experiment::{Experiment, Findings, Judgement, Verdict},
};

/// The result of an experiment, of the same form also for one that cannot be run.
#[derive(Debug, Clone, Serialize)]
pub(super) struct ExperimentResult {
    pub(super) name: &'static str,
    pub(super) claim: &'static str,
    verdict: Verdict,
    pub(super) sentence: String,
    pub(super) notes: Vec<String>,
    pub(super) tables: Vec<Table>,
    /// The data of the tables as plots.
    pub(super) plots: Vec<Plot>,
}

impl ExperimentResult {
    /// Makes the result of a run; `None` if it was stopped.
    pub(super) fn of(experiment: &Experiment, result: Result<Findings, Obstacle>) -> Option<Self> {
        let findings = match result {
            Ok(findings) => findings,
            Err(Obstacle::Stopped) => return None,
            Err(Obstacle::Because(why)) => Findings {
                judgement: Judgement::new(Verdict::CannotBeTried, format!("It cannot be tried here: {why}.")),
                tables: Vec::new(),
                plots: Vec::new(),
                notes: Vec::new(),
            },
        };
        let Findings { judgement: Judgement { verdict, sentence }, tables, plots, notes } = findings;
        let (name, claim) = (experiment.name, experiment.claim);
        Some(Self { name, claim, verdict, sentence, notes, tables, plots })
    }

    pub(super) fn verdict(&self) -> Verdict {
        self.verdict
    }
}
