//! Runs the worker in guests: all objects share a guest, each in a process of its own. If an object ends its guest, the
//! objects after it go on in a new one, and it is loaded once more by steps, to find the program.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::btf::{self, Chosen, Given};
use super::steps;
use super::verdict::{OnKernel, Verdict};
use super::worker;
use crate::accel::Choice;
use crate::base::Source;
use crate::cache::Cache;
use crate::error::{Error, Result};
use crate::interrupt;
use crate::kernel::{self, Request};
use crate::matrix::Job;
use crate::plan::{Binary, Plan, RESULTS};
use crate::progress::{Detail, Screen};
use crate::report::{End, Guest, Outcome, Test, lines};
use crate::run::{self, Limits};

/// The parameters that all kernels share.
pub(super) struct Lab<'a> {
    /// The libraries of the guests' architecture.
    pub(super) source: &'a Source,
    /// The executable that becomes process 1, and that loads the objects.
    pub(super) init: &'a Path,
    pub(super) cache: &'a Cache,
    pub(super) folder: &'a Path,
    pub(super) choice: Choice,
    pub(super) btf: &'a [Given],
    /// Whether the run has several architectures.
    pub(super) several: bool,
    /// The time limit of each object.
    pub(super) seconds: u64,
    /// The time limit of each guest.
    pub(super) whole: u64,
}

/// An object: its name in the report, and its path.
struct Task {
    label: String,
    path: PathBuf,
    /// How it ended a guest, if it has: the next guest loads it by steps.
    ended: Option<String>,
}

impl Lab<'_> {
    /// Loads every object on one kernel. `named` means that the user chose it.
    pub(super) fn run(&self, request: &Request, named: bool, objects: &[PathBuf]) -> Result<OnKernel> {
        let mut waiting = objects
            .iter()
            .map(|path| {
                let real = fs::canonicalize(path).map_err(Error::file("find", path))?;
                Ok(Task { label: path.display().to_string(), path: real, ended: None })
            })
            .collect::<Result<Vec<_>>>()?;
        // A kernel that is not available is reported by the run.
        let arch = self.source.arch;
        let found = kernel::obtain(request, arch, self.cache, false).ok();
        let name = btf::name(request, arch, self.several);
        let Chosen { file: btf, note } =
            found.map_or_else(Chosen::default, |found| btf::choose(self.btf, &name, &found));
        let notes = note.into_iter().collect();
        let mut on = OnKernel { btf: btf.clone(), notes, ..OnKernel::new(request.to_string(), arch) };
        while !waiting.is_empty() {
            let mut matrix = self.job(&waiting, btf.as_deref())?.run(
                std::slice::from_ref(request),
                named,
                self.cache,
                &Screen::new(Detail::Aside),
            )?;
            let Some(guest) = matrix.guests.pop() else {
                let (why, failed) =
                    matrix.absent.pop().map_or(("unknown".to_owned(), true), |(_, why, failed)| (why, failed));
                (on.absent, on.skipped) = (Some(why), !failed);
                return Ok(on);
            };
            if interrupt::seen() {
                return Err(Error::Interrupted);
            }
            on.release = guest.release.clone().or(on.release);
            let before = left_to_do(&waiting);
            let folder = self.folder.join(&guest.name).join(run::FILES);
            waiting = sorted_out(waiting, &guest, &folder, self.seconds, &mut on.objects);
            if left_to_do(&waiting) == before {
                on.absent = Some(format!("the guest loaded no object: {}", lines::end(&guest.end)));
                return Ok(on);
            }
        }
        on.objects.sort_by(|a, b| a.object.cmp(&b.object));
        Ok(on)
    }

    fn job(&self, tasks: &[Task], btf: Option<&Path>) -> Result<Job> {
        let mut bring: Vec<PathBuf> = tasks.iter().map(|task| task.path.clone()).collect();
        let mut environment = BTreeMap::new();
        if let Some(btf) = btf {
            let btf = fs::canonicalize(btf).map_err(Error::file("find", btf))?;
            environment.insert(worker::BTF.to_owned(), btf.display().to_string());
            bring.push(btf);
        }
        let binary = |(index, task): (usize, &Task)| Binary {
            label: index.to_string(),
            path: self.init.display().to_string(),
            directory: "/".to_owned(),
            arguments: [
                worker::NAME.to_owned(),
                task.path.display().to_string(),
                format!("{RESULTS}/{}", verdict_file(index)),
            ]
            .into_iter()
            .chain(task.ended.is_some().then(|| worker::BY_STEPS.to_owned()))
            .collect(),
            ..Binary::default()
        };
        let plan = Plan {
            binaries: tasks.iter().enumerate().map(binary).collect(),
            environment,
            test_seconds: self.seconds,
            output_limit: 1 << 20,
            ..Plan::default()
        };
        let limit = Duration::from_secs;
        Ok(Job {
            plan,
            source: self.source.clone(),
            init: self.init.to_path_buf(),
            bring,
            modules: Vec::new(),
            modules_directory: None,
            cpus: 2,
            max_cpus: 2,
            memory_mib: None,
            append: Vec::new(),
            choice: self.choice,
            limits: Limits { boot: limit(90), silence: limit(60), whole: limit(self.whole) },
            keep_debug: false,
            folder: self.folder.to_path_buf(),
            keep: false,
            parallel: 1,
            guests: 1,
            fresh: false,
            // Objects are usually new; a save would cost more than it gains.
            saves: false,
            saved_limit: 0,
            refresh: false,
            shell: None,
            coverage: None,
        })
    }
}

fn verdict_file(index: usize) -> String {
    format!("compat-{index}.json")
}

/// Returns the number of times that objects are still to be loaded, at most. Each guest lowers it.
fn left_to_do(tasks: &[Task]) -> usize {
    tasks.iter().map(|task| if task.ended.is_some() { 1 } else { 2 }).sum()
}

/// Collects the verdicts of one guest; returns the objects for the next one.
fn sorted_out(tasks: Vec<Task>, guest: &Guest, folder: &Path, seconds: u64, verdicts: &mut Vec<Verdict>) -> Vec<Task> {
    // The test that was running when the guest ended; the tests after it did not run.
    let last = guest.tests.iter().rfind(|test| test.outcome != Outcome::NotRun);
    let mut next = Vec::new();
    let mut by_steps = Vec::new();
    for (index, task) in tasks.into_iter().enumerate() {
        let label = index.to_string();
        let Some(test) = guest.tests.iter().find(|test| test.binary == label && test.outcome != Outcome::NotRun) else {
            next.push(task);
            continue;
        };
        let was_last = last.is_some_and(|last| last.binary == label);
        match of_one(task, test, (guest.end != End::Clean && was_last).then_some(&guest.end), folder, index, seconds) {
            Judged::Verdict(verdict) => verdicts.push(verdict),
            Judged::Again(task) => by_steps.push(task),
        }
    }
    // Last, so that the objects that have not yet been loaded need no further guest.
    next.extend(by_steps);
    next
}

enum Judged {
    Verdict(Verdict),
    /// To be loaded by steps.
    Again(Task),
}

/// Judges the object with this index. `end` is the end of the guest, if the guest ended while it was loaded.
fn of_one(task: Task, test: &Test, end: Option<&End>, folder: &Path, index: usize, seconds: u64) -> Judged {
    let why = match (&test.outcome, end) {
        (Outcome::Died | Outcome::TimedOut(_), Some(end)) => {
            let reason = lines::end(end);
            if task.ended.is_some() {
                return Judged::Verdict(steps::verdict(task.label, &test.output.text(), end, &reason));
            }
            return Judged::Again(Task { ended: Some(format!("{}: {reason}", steps::ended(end))), ..task });
        }
        (Outcome::Passed, _) => {
            let read = fs::read(folder.join(verdict_file(index))).map_err(|error| error.to_string());
            match read.and_then(|json| serde_json::from_slice(&json).map_err(|error| error.to_string())) {
                Ok(verdict) => {
                    let verdict = Verdict { object: task.label, ..verdict };
                    return Judged::Verdict(match task.ended {
                        Some(ended) => after_a_crash(verdict, &ended, "in steps it did not"),
                        None => verdict,
                    });
                }
                Err(error) => format!("unknown: the guest sent no verdict: {error}"),
            }
        }
        (Outcome::TimedOut(_), None) => format!("took longer than {seconds} s"),
        (Outcome::Failed(why) | Outcome::Skipped(why), _) => {
            format!("unknown: the loading process failed: {why}: {}", test.output.text().trim())
        }
        (Outcome::Died | Outcome::NotRun, _) => "unknown: the guest ended".to_owned(),
    };
    let verdict = Verdict { object: task.label, why: Some(why.clone()), ..Verdict::default() };
    Judged::Verdict(match task.ended {
        Some(ended) => after_a_crash(verdict, &ended, &format!("in steps: {why}")),
        None => verdict,
    })
}

/// Returns the verdict on an object that ended a guest as a whole, and not in steps.
fn after_a_crash(verdict: Verdict, ended: &str, in_steps: &str) -> Verdict {
    let why = format!("{ended} (when the object was loaded as a whole; {in_steps})");
    Verdict { loads: false, crashed: true, why: Some(why), ..verdict }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::Crash;
    use crate::report::examples::{guest, test};

    fn tasks(names: &[&str]) -> Vec<Task> {
        names.iter().map(|&name| Task { label: name.to_owned(), path: name.into(), ended: None }).collect()
    }

    /// Returns a guest in which the objects had these outcomes, in their order.
    fn ran(outcomes: &[Outcome]) -> Guest {
        let tests = outcomes.iter().enumerate().map(|(index, outcome)| {
            let mut test = test("", outcome.clone());
            test.binary = index.to_string();
            test
        });
        guest("6.1", tests.collect())
    }

    #[test]
    fn object_that_ends_its_guest_gets_a_verdict_and_the_others_go_on() {
        let folder = tempfile::tempdir().unwrap();
        let good = Verdict { object: "/real/a.o".into(), loads: true, ..Verdict::default() };
        fs::write(folder.path().join(verdict_file(0)), serde_json::to_vec(&good).unwrap()).unwrap();
        let mut guest = ran(&[Outcome::Passed, Outcome::Died, Outcome::NotRun]);
        guest.end = End::Crashed(Crash { reason: "Kernel panic".into(), trace: String::new() });
        let mut verdicts = Vec::new();
        let all = tasks(&["a.o", "b.o", "c.o", "d.o"]);
        let before = left_to_do(&all);
        let rest = sorted_out(all, &guest, folder.path(), 60, &mut verdicts);
        let names: Vec<_> = rest.iter().map(|task| task.label.as_str()).collect();
        assert_eq!(names, ["c.o", "d.o", "b.o"]);
        assert!(left_to_do(&rest) < before);
        assert_eq!(verdicts, [Verdict { object: "a.o".into(), ..good.clone() }]);
        // By steps it ends its guest again.
        let mut guest = ran(&[Outcome::Died]);
        guest.end = End::Crashed(Crash { reason: "Kernel panic".into(), trace: String::new() });
        guest.tests[0].output = "\"maps\"\n{\"load\":\"second\"}\n".into();
        let mut by_steps = rest.into_iter().filter(|task| task.ended.is_some()).collect::<Vec<_>>();
        assert!(sorted_out(std::mem::take(&mut by_steps), &guest, folder.path(), 60, &mut verdicts).is_empty());
        assert_eq!(verdicts[1].why.as_deref(), Some("guest crashed while loading second: Kernel panic"));
    }

    #[test]
    fn object_that_ends_a_guest_once_does_not_count_as_loading() {
        let folder = tempfile::tempdir().unwrap();
        let loads = Verdict { loads: true, ..Verdict::default() };
        fs::write(folder.path().join(verdict_file(0)), serde_json::to_vec(&loads).unwrap()).unwrap();
        for (outcome, why) in [
            (Outcome::Passed, "guest hung: x (when the object was loaded as a whole; in steps it did not)"),
            (
                Outcome::TimedOut(String::new()),
                "guest hung: x (when the object was loaded as a whole; in steps: took longer than 7 s)",
            ),
        ] {
            let mut tasks = tasks(&["a.o"]);
            tasks[0].ended = Some("guest hung: x".into());
            let mut verdicts = Vec::new();
            assert!(sorted_out(tasks, &ran(&[outcome]), folder.path(), 7, &mut verdicts).is_empty());
            assert!(!verdicts[0].loads && verdicts[0].crashed);
            assert_eq!(verdicts[0].why.as_deref(), Some(why));
        }
    }

    #[test]
    fn only_the_last_object_is_blamed_for_the_end_of_a_guest() {
        let folder = tempfile::tempdir().unwrap();
        let late = || Outcome::TimedOut(String::new());
        let mut guest = ran(&[late(), late(), Outcome::NotRun]);
        guest.end = End::OutOfTime;
        let mut verdicts = Vec::new();
        let rest = sorted_out(tasks(&["a.o", "b.o", "c.o"]), &guest, folder.path(), 7, &mut verdicts);
        assert_eq!(rest.iter().map(|task| task.label.as_str()).collect::<Vec<_>>(), ["c.o", "b.o"]);
        assert_eq!(verdicts[0].why.as_deref(), Some("took longer than 7 s"));
    }

    #[test]
    fn unknown_verdicts_say_so() {
        let folder = tempfile::tempdir().unwrap();
        let guest = ran(&[Outcome::Passed, Outcome::Failed("exited with 1".into()), Outcome::TimedOut(String::new())]);
        let mut verdicts = Vec::new();
        assert!(sorted_out(tasks(&["a.o", "b.o", "c.o"]), &guest, folder.path(), 7, &mut verdicts).is_empty());
        let why: Vec<_> = verdicts.iter().map(|verdict| verdict.why.as_deref().unwrap()).collect();
        assert!(why[0].starts_with("unknown: the guest sent no verdict: "), "{why:?}");
        assert!(why[1].starts_with("unknown: the loading process failed: exited with 1"), "{why:?}");
        assert_eq!(why[2], "took longer than 7 s");
        assert!(verdicts.iter().all(|verdict| !verdict.loads));
    }
}
