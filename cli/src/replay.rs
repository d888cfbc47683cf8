//! `cutaway replay`: shows a recording of trace, run or peek again.
//!
//! ```text
//!     args.rs        the arguments
//!     recording.rs   the file: start, definitions, entries at their pace
//! ```
//!
//! Each command formats its own recordings, by the code that formats what it receives.

mod args;
mod recording;

use std::path::Path;

pub(crate) use self::{
    args::ReplayArguments,
    recording::{Definitions, Recording, Show, safe, say_other_format},
};
use crate::{error::CliError, peek, run, trace};

/// Shows the recording that the arguments name.
pub(crate) fn run(arguments: &ReplayArguments) -> Result<(), CliError> {
    let recording = Recording::open(&arguments.file)?;
    let command = recording.command().to_owned();
    arguments.check(&command)?;
    let is_stdin = arguments.file == Path::new("-");
    if let Some(option) = [(arguments.step, "--step"), (arguments.watch, "--watch")].iter().find(|(given, _)| *given)
        && is_stdin
    {
        return Err(CliError::usage(format!("{} reads keys from stdin, so the recording must be a file", option.1)));
    }
    match command.as_str() {
        "run" => run::replay(recording, arguments),
        "trace" => trace::replay(recording, arguments),
        "peek" => peek::replay(recording, arguments),
        other => Err(recording.failure(&format!("it is of `{other}`, which this program does not know"))),
    }
}
