//! `--fresh`: a guest for each test. One more guest lists the tests.
//!
//! A test that breaks its kernel then fails alone: its guest's end becomes its own outcome.

use std::fs;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::error::{Error, Result};
use crate::interrupt;
use crate::orders::Task;
use crate::progress::Line;
use crate::report::{End, Guest, Outcome, Test, lines};
use crate::run::{Heard, Run};
use crate::shard;
use crate::start::Starter;

/// Runs each test of the plan in a guest of its own, `guests` at a time. The files of each guest are in a directory
/// `tests/NUMBER` of `whole.folder`.
pub(crate) fn run(whole: &Run<'_>, starter: &Starter<'_>, guests: usize, line: &Line<'_>) -> Result<Guest> {
    let started = Instant::now();
    let mut listed = starter.guest(&Run { task: &Task::List, ..*whole }, line)?;
    if listed.end != End::Clean {
        return Ok(listed);
    }
    let (waiting, failed): (Vec<Test>, Vec<Test>) =
        listed.tests.drain(..).partition(|test| test.outcome == Outcome::NotRun);
    listed.tests = failed;
    let tests: Vec<Task> = waiting
        .into_iter()
        .filter_map(|test| {
            let binary = whole.plan.binaries.iter().position(|binary| binary.label == test.binary)?;
            Some(Task::One { binary, test: test.name })
        })
        .collect();
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::new());
    let work = || -> Result<()> {
        loop {
            // ATOMICS: a lone counter that gives out indices; the scope below orders everything else.
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(task) = tests.get(number).filter(|_| !interrupt::seen()) else { return Ok(()) };
            let guest = one(whole, starter, number + 1, task, line)?;
            done.lock().unwrap_or_else(PoisonError::into_inner).push((number, guest));
        }
    };
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..guests.clamp(1, tests.len().max(1))).map(|_| scope.spawn(work)).collect();
        let ended: Vec<Result<()>> =
            running.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic))).collect();
        ended.into_iter().collect::<Result<()>>()
    })?;
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(number, _)| *number);
    let boot_seconds = listed.boot_seconds;
    let all = std::iter::once(listed).chain(done.into_iter().map(|(_, guest)| guest)).collect();
    let mut all = shard::merge(all).ok_or(Error::Interrupted)?;
    if interrupt::seen() {
        all.end = End::Interrupted;
    }
    all.folder = Some(whole.folder.to_path_buf());
    (all.boot_seconds, all.seconds) = (boot_seconds, started.elapsed().as_secs_f64());
    Ok(all)
}

/// Runs one test.
fn one(whole: &Run<'_>, starter: &Starter<'_>, number: usize, task: &Task, line: &Line<'_>) -> Result<Guest> {
    let folder = whole.folder.join(TESTS).join(number.to_string());
    fs::create_dir_all(&folder).map_err(Error::file("create", &folder))?;
    let mut guest = starter.guest(&Run { task, folder: &folder, ..*whole }, line)?;
    let why = match &guest.end {
        End::Clean | End::Interrupted => return Ok(guest),
        end => lines::end(end),
    };
    let trace = match &guest.end {
        End::Crashed(crash) | End::Hung(Some(crash)) => format!("\n{}", crash.trace),
        _ => String::new(),
    };
    // The other tests have kernels of their own, so the end of this one is the test's.
    guest.end = End::Clean;
    for test in &mut guest.tests {
        if matches!(test.outcome, Outcome::Died | Outcome::NotRun | Outcome::TimedOut(_)) {
            test.outcome = Outcome::Failed(format!("its guest ended: {why}"));
            test.output.push(trace.as_bytes());
            line.hear(&Heard::Ended(test));
        }
    }
    Ok(guest)
}

/// The directory of the guests' files.
pub(crate) const TESTS: &str = "tests";
