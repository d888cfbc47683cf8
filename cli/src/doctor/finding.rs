//! A finding of `cutaway doctor`.

use serde::Serialize;

/// The result of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Status {
    /// The check passed.
    Ok,
    /// A limit, or other information.
    Note,
    /// Missing: the command that the machine is examined for does not work.
    No,
}

/// One check and its result.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Finding {
    pub(super) check: &'static str,
    pub(super) status: Status,
    pub(super) finding: String,
    /// The remedy.
    pub(super) advice: Option<String>,
}

impl Finding {
    pub(super) fn ok(check: &'static str, finding: impl Into<String>) -> Self {
        Self { check, status: Status::Ok, finding: finding.into(), advice: None }
    }

    pub(super) fn note(check: &'static str, finding: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { check, status: Status::Note, finding: finding.into(), advice: Some(advice.into()) }
    }

    pub(super) fn no(check: &'static str, finding: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { check, status: Status::No, finding: finding.into(), advice: Some(advice.into()) }
    }
}
