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

pub(crate) use self::{
    args::ReplayArguments,
    recording::{Definitions, Recording},
};
use crate::{error::CliError, peek, run, trace};

/// Shows the recording that the arguments name.
pub(crate) fn run(arguments: &ReplayArguments) -> Result<(), CliError> {
    let recording = Recording::open(&arguments.file)?;
    let command = recording.command().to_owned();
    arguments.check(&command)?;
    match command.as_str() {
        "run" => run::replay(recording, arguments),
        "trace" => trace::replay(recording, arguments),
        "peek" => peek::replay(recording, arguments),
        other => Err(recording.failure(&format!("it is of `{other}`, which this program does not know"))),
    }
}
