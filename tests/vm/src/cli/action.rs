//! The actions that are no run.

use std::process::ExitCode;

use super::args::Action;
use super::verdict;
use crate::base::{self, Source};
use crate::cache::Cache;
use crate::error::{Error, Result};
use crate::merge;
use crate::report::lines;
use crate::saved::command as saved;

impl Action {
    /// Runs the subcommand, and prints its result.
    pub(super) fn run(&self) -> Result<ExitCode> {
        let text = match self {
            Self::Saved { clear: true } => saved::clear(&Cache::open()?)?,
            Self::Saved { clear: false } => saved::list(&Cache::open()?)?,
            Self::Env { arch, sysroot } => {
                environment(&Source::obtain(*arch, sysroot.as_deref(), &Cache::open()?, false)?)?
            }
            Self::Compat(compat) => return Ok(compat.main()),
            Self::MergeJunit { files, output, kernels } => {
                let matrix = merge::merge(files, kernels)?;
                if let Some(path) = output {
                    verdict::write_junit(&matrix, path)?;
                }
                for guest in &matrix.guests {
                    println!("{}", lines::guest(guest));
                }
                verdict::print(&matrix, true);
                return Ok(verdict::exit_code(&matrix, false));
            }
        };
        print!("{text}");
        Ok(ExitCode::SUCCESS)
    }
}

/// Returns the lines of a shell that set cargo's variables for an architecture, with this program as the runner.
fn environment(source: &Source) -> Result<String> {
    base::require(source.arch)?;
    let me = std::env::current_exe().map_err(Error::file("find", "this executable"))?;
    let runner = (base::runner(source.arch), format!("{} --", me.display()));
    let lines = source.variables().into_iter().chain([runner]);
    Ok(lines.map(|(name, value)| format!("export {name}='{value}'\n")).collect())
}
