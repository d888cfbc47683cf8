//! `--shell`: the shell, and the messages for its user.

use std::path::PathBuf;
use std::time::Duration;

use crate::base::Source;
use crate::cache::Cache;
use crate::error::{Error, Result};
use crate::kernel::Request;
use crate::matrix::Job;
use crate::plan::Plan;
use crate::report::{End, Matrix};
use crate::shell::{self, Shell};

/// The time limit of a guest with a shell: none that a user sees.
pub(super) const FOREVER: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
/// The largest number of binaries that are listed.
const LISTED: usize = 10;

/// Returns the shell. Adds its program to the guest's files, and its variables to the environment.
pub(super) fn prepare(
    requests: &[Request],
    plan: &mut Plan,
    bring: &mut Vec<PathBuf>,
    source: &Source,
    cache: &Cache,
) -> Result<Shell> {
    let [kernel] = requests else { return Err(Error::NotOneKernel) };
    let program = shell::find(source, cache, &|text| eprintln!("{text}"))?;
    let window = shell::window();
    if window.is_some() {
        let terminal = std::env::var("TERM").unwrap_or_else(|_| "linux".to_owned());
        plan.environment.entry("TERM".to_owned()).or_insert(terminal);
        // Only busybox replaces \w by the working directory.
        let place = if program.is_busybox() { ":\\w" } else { "" };
        plan.environment.entry("PS1".to_owned()).or_insert_with(|| format!("guest {kernel}{place}# "));
    }
    let directory = match plan.binaries.as_slice() {
        [binary] => binary.directory.clone(),
        _ => "/root".to_owned(),
    };
    let mut words = vec![program.path.display().to_string()];
    words.extend(program.arguments);
    bring.push(program.path);
    Ok(Shell { program: words, directory, window })
}

/// Prints how to leave the shell, and the paths of the binaries, if there is a terminal.
pub(super) fn announce(shell: &Shell, plan: &Plan) {
    if shell.window.is_none() {
        return;
    }
    eprintln!("a shell in the guest; to end it: exit, or Ctrl-] three times");
    for binary in plan.binaries.iter().take(LISTED) {
        eprintln!("binary: {}", binary.path);
    }
    if plan.binaries.len() > LISTED {
        eprintln!("and {} more in the same directories", plan.binaries.len() - LISTED);
    }
}

/// Returns true if the user has ended the guest of a shell, so that there is no result to report.
pub(super) fn was_escaped(job: &Job, matrix: &Matrix) -> bool {
    job.shell.is_some() && matrix.guests.iter().any(|guest| guest.end == End::Interrupted)
}

/// Returns true if the current directory is in a Cargo package or workspace.
pub(super) fn in_workspace() -> bool {
    std::env::current_dir()
        .is_ok_and(|directory| directory.ancestors().any(|directory| directory.join("Cargo.toml").is_file()))
}
