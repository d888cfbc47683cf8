//! An experiment and what came of it.

use serde::Serialize;

use super::{
    bench::Obstacle,
    data::{Plot, Table},
    experiment::{Experiment, Findings, Judgement, Verdict},
};

/// The same for every experiment, whatever came of it.
#[derive(Debug, Clone, Serialize)]
pub(super) struct ExperimentResult {
    pub(super) name: &'static str,
    pub(super) claim: &'static str,
    verdict: Verdict,
    pub(super) sentence: String,
    pub(super) notes: Vec<String>,
    pub(super) tables: Vec<Table>,
    /// The same figures as the tables', ready to be drawn.
    pub(super) plots: Vec<Plot>,
}

impl ExperimentResult {
    /// `None` if it was stopped.
    pub(super) fn of(experiment: &Experiment, result: Result<Findings, Obstacle>) -> Option<Self> {
        let findings = match result {
            Ok(findings) => findings,
            Err(Obstacle::Stopped) => return None,
            Err(Obstacle::Because(why)) => Findings {
                judgement: Judgement::new(Verdict::CannotBeTried, format!("It cannot be tried here because {why}.")),
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
