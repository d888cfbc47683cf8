//! A word that a shell may put at the cursor.

use clap::{Command, builder::StyledStr};

/// A word, and what it means.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Candidate {
    /// If it ends in `=`, a value follows without a space.
    pub(super) word: String,
    pub(super) meaning: String,
}

impl Candidate {
    pub(super) fn new(word: impl Into<String>, meaning: impl Into<String>) -> Self {
        Self { word: word.into(), meaning: meaning.into() }
    }
}

/// Returns the subcommands that `--help` lists.
pub(super) fn commands(command: &Command) -> Vec<Candidate> {
    let listed = command.get_subcommands().filter(|command| !command.is_hide_set());
    listed.map(|command| Candidate::new(command.get_name(), help(command.get_about()))).collect()
}

/// Returns the short help of a command or an option.
pub(super) fn help(text: Option<&StyledStr>) -> String {
    text.map(ToString::to_string).unwrap_or_default()
}
