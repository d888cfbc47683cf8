//! `cutaway compare`: benchmarks perf and ring buffers, and verifies common claims about them.
//!
//! ```text
//!     experiments/*.rs   a claim each: its program, its work, its data, its verdict
//!       experiment.rs    claim, verdict, findings
//!       bench.rs         the settings of an experiment, and why it cannot run
//!       producer.rs      the program that sends, its buffer, and how it is run
//!       readers.rs       the kinds of wait for its records
//!       stats.rs         rounds, medians, and when data is too noisy
//!       mappings.rs      the buffers' memory, as the kernel lists it
//!       cpus.rs          the CPUs of this process
//!       data.rs          tables and plots as values
//!     result.rs          the result of an experiment
//!     summary.rs         the seven claims and their verdicts
//!     output.rs          text and JSON
//!     report.rs          one HTML file with plots
//!     environment.rs     machine, kernel, date
//! ```

mod bench;
mod cpus;
mod data;
mod environment;
mod experiment;
mod experiments;
mod mappings;
mod output;
mod producer;
mod readers;
mod report;
mod result;
mod stats;
mod summary;

use std::{
    io,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use clap::{Args, builder::PossibleValuesParser};
use cutaway::features::{self, Support};
use indicatif::{ProgressBar, ProgressStyle};

use self::{
    bench::{Bench, Effort},
    environment::Environment,
    output::Output,
    report::Draft,
    result::ExperimentResult,
};
use crate::{
    args::Format,
    error::{CliError, enough_fds},
    signals,
};

const EXAMPLES: &str = "\
Examples:
  cutaway compare --quick                         all experiments in one minute
  cutaway compare --report report.html            in full, with an HTML report
  cutaway compare --only order --only throughput  two experiments
  cutaway compare --format json > figures.jsonl   the results as JSON";

/// The arguments of `cutaway compare`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Measure less: all experiments in one minute
    ///
    /// On a machine with two CPUs, this takes one minute. Without --quick,
    /// compare takes up to ten minutes.
    #[arg(long, verbatim_doc_comment)]
    quick: bool,

    /// Run only this experiment (repeatable)
    ///
    /// Default: all experiments. NAME is one of
    ///
    /// stack-limit, copies, full-buffer, shared-memory, variable-length,
    /// wake-ups, order, max-entries, memory, throughput, real-work
    #[arg(verbatim_doc_comment, hide_possible_values = true)]
    #[arg(long, value_name = "NAME", value_parser = PossibleValuesParser::new(experiments::ALL.iter().map(|experiment| experiment.name)))]
    only: Vec<String>,

    /// Write an HTML report with plots
    ///
    /// An existing FILE is replaced only when the report is complete. A
    /// symbolic link is refused.
    #[arg(long, value_name = "FILE", verbatim_doc_comment)]
    report: Option<PathBuf>,

    /// Output format: table (default) or json
    ///
    /// table: columns, for people
    /// json: one JSON object per line
    #[arg(long, value_enum, default_value = "table", hide_default_value = true, hide_possible_values = true)]
    #[arg(verbatim_doc_comment)]
    format: Format,

    /// Show no progress on stderr
    #[arg(long, short)]
    quiet: bool,

    /// Break every experiment on purpose, to see that its verdict changes
    #[arg(long, hide = true)]
    control: bool,
}

/// Runs the experiments and prints the result of each.
pub(crate) fn run(arguments: &Arguments) -> Result<(), CliError> {
    // The largest experiment holds some tens of fds, and two for each CPU. A larger demand would refuse large machines.
    let all_cpus = std::thread::available_parallelism().map_or(1, usize::from);
    enough_fds("run the experiments", 48 + 2 * all_cpus)?;
    permitted()?;
    let draft = arguments.report.as_deref().map(Draft::create).transpose()?;
    let effort = if arguments.quick { Effort::Quick } else { Effort::Full };
    let cpus = cpus::allowed().map_err(|error| CliError::system("read the CPU affinity of this process", &error))?;
    let stopped = set_by_signal()?;
    cpus::raise_priority();
    let chosen: Vec<_> = experiments::ALL
        .iter()
        .filter(|experiment| arguments.only.is_empty() || arguments.only.iter().any(|name| name == experiment.name))
        .collect();

    let output = Output::new(arguments.format);
    let environment = Environment::here(effort, cpus.len(), arguments.control);
    let bar = if arguments.quiet { ProgressBar::hidden() } else { bar(chosen.len()) };
    let mut results = Vec::new();
    if !printed(bar.suspend(|| output.environment(&environment)))? && draft.is_none() {
        return Ok(());
    }
    for (index, experiment) in chosen.iter().enumerate() {
        bar.set_message(experiment.name);
        let bench = Bench {
            effort,
            control: arguments.control,
            cpus: cpus.clone(),
            bar: &bar,
            begun: index as u64 * Bench::STEPS,
            stopped: &stopped,
        };
        let result = experiment.make(&bench);
        bar.set_position((index as u64 + 1) * Bench::STEPS);
        // Threads and processes of the next experiment inherit the CPU affinity.
        cpus::allow(&cpus).map_err(|error| CliError::system("restore the CPU affinity", &error))?;
        let Some(outcome) = ExperimentResult::of(experiment, result) else {
            bar.finish_and_clear();
            let stopped = CliError::new(format!("stopped after {} of {} experiments", results.len(), chosen.len()));
            return Err(if draft.is_some() { stopped.advise("no report was written") } else { stopped });
        };
        if !printed(bar.suspend(|| output.experiment(&outcome)))? && draft.is_none() {
            return Ok(());
        }
        results.push(outcome);
    }
    bar.finish_and_clear();
    let answers = summary::answers(&results);
    printed(output.summary(&results, &answers))?;
    match draft {
        Some(draft) => draft.finish(&environment, &results, &answers),
        None => Ok(()),
    }
}

/// Returns a flag that the first signal sets.
fn set_by_signal() -> Result<Arc<AtomicBool>, CliError> {
    let stopped = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stopped);
    // ATOMICS: pairs with the load in `Bench::step`; it publishes nothing else.
    let stop = move || flag.store(true, Ordering::Relaxed);
    signals::on_stop(stop).map_err(|error| CliError::system("listen for signals", &error))?;
    Ok(stopped)
}

/// Returns whether stdout still has a reader; without one, no more results are needed.
fn printed(result: io::Result<()>) -> Result<bool, CliError> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(CliError::system("write to stdout", &error)),
        Ok(()) => Ok(true),
    }
}

/// Checks that this process may load programs. Maps are not enough: some kernels let every user create them, and
/// CAP_BPF alone does not allow tracing programs, so the second check loads one.
fn permitted() -> Result<(), CliError> {
    if [features::perf_event_array(), features::attach_cookie()].contains(&Support::NotPermitted) {
        return Err(CliError::new("cannot run the experiments: loading BPF programs is not permitted")
            .advise("run it as root, or with CAP_BPF and CAP_PERFMON (CAP_SYS_ADMIN before Linux 5.8)"));
    }
    Ok(())
}

/// Returns the progress bar. It is shown on stderr, if that is a terminal.
fn bar(experiments: usize) -> ProgressBar {
    let bar = ProgressBar::new(experiments as u64 * Bench::STEPS);
    let style = ProgressStyle::with_template("{spinner} {bar:30} {percent:>3} %  {msg}  {elapsed}");
    match style {
        Ok(style) => bar.with_style(style.progress_chars("━╸ ")),
        Err(_) => bar,
    }
}
