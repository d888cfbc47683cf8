//! Runs the worker in guests: all objects share a guest, each in a process of its own. If an object ends its guest, the
//! objects after it go on in a new one.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::verdict::{OnKernel, Verdict};
use super::worker;
use crate::accel::Choice;
use crate::base::Source;
use crate::cache::Cache;
use crate::error::{Error, Result};
use crate::interrupt;
use crate::kernel::Request;
use crate::matrix::Job;
use crate::plan::{Binary, Plan, RESULTS};
use crate::progress::{Detail, Screen};
use crate::report::{Guest, Outcome, lines};
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
    /// The time limit of each object.
    pub(super) seconds: u64,
    /// The time limit of each guest.
    pub(super) whole: u64,
}

/// An object: its name in the report, and its path.
struct Task {
    label: String,
    path: PathBuf,
}

impl Lab<'_> {
    /// Loads every object on one kernel. `named` means that the user chose it.
    pub(super) fn run(
        &self,
        request: &Request,
        named: bool,
        objects: &[PathBuf],
        btf: Option<&Path>,
    ) -> Result<OnKernel> {
        let kernel = request.to_string();
        let mut waiting = objects
            .iter()
            .map(|path| {
                let real = fs::canonicalize(path).map_err(Error::file("find", path))?;
                Ok(Task { label: path.display().to_string(), path: real })
            })
            .collect::<Result<Vec<_>>>()?;
        let mut on = OnKernel::new(kernel, self.source.arch);
        while !waiting.is_empty() {
            let mut matrix = self.job(&waiting, btf)?.run(
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
            let count = waiting.len();
            let folder = self.folder.join(&guest.name).join(run::FILES);
            waiting = sorted_out(waiting, &guest, &folder, self.seconds, &mut on.objects);
            if waiting.len() == count {
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
            arguments: vec![
                worker::NAME.to_owned(),
                task.path.display().to_string(),
                format!("{RESULTS}/{}", verdict_file(index)),
            ],
            ..Binary::default()
        };
        let plan = Plan {
            binaries: tasks.iter().enumerate().map(binary).collect(),
            environment,
            test_seconds: self.seconds,
            output_limit: 1 << 20,
            slice: None,
        };
        let limit = Duration::from_secs;
        Ok(Job {
            plan,
            source: self.source.clone(),
            init: self.init.to_path_buf(),
            bring,
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
            coverage: None,
        })
    }
}

fn verdict_file(index: usize) -> String {
    format!("compat-{index}.json")
}

/// Collects the verdicts of one guest; returns the objects that it did not come to.
fn sorted_out(tasks: Vec<Task>, guest: &Guest, folder: &Path, seconds: u64, verdicts: &mut Vec<Verdict>) -> Vec<Task> {
    let mut unrun = Vec::new();
    for (index, task) in tasks.into_iter().enumerate() {
        let label = index.to_string();
        let test = guest.tests.iter().find(|test| test.binary == label);
        let file = folder.join(verdict_file(index));
        let why = match test.map(|test| &test.outcome) {
            None | Some(Outcome::NotRun) => {
                unrun.push(task);
                continue;
            }
            Some(Outcome::Passed) => {
                let read = fs::read(&file).map_err(|error| error.to_string());
                match read.and_then(|json| serde_json::from_slice(&json).map_err(|error| error.to_string())) {
                    Ok(verdict) => {
                        verdicts.push(Verdict { object: task.label, ..verdict });
                        continue;
                    }
                    Err(error) => format!("unknown: the guest sent no verdict: {error}"),
                }
            }
            Some(Outcome::Died) => format!("ended the guest: {}", lines::end(&guest.end)),
            Some(Outcome::TimedOut(_)) => format!("took longer than {seconds} s"),
            Some(Outcome::Failed(why) | Outcome::Skipped(why)) => {
                let output = test.map(|test| test.output.trim()).unwrap_or_default();
                format!("unknown: the loading process failed: {why}: {output}")
            }
        };
        verdicts.push(Verdict { object: task.label, why: Some(why), ..Verdict::default() });
    }
    unrun
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::End;
    use crate::report::examples::{guest, test};

    fn tasks(names: &[&str]) -> Vec<Task> {
        names.iter().map(|&name| Task { label: name.to_owned(), path: name.into() }).collect()
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
        guest.end = End::OutOfTime;
        let mut verdicts = Vec::new();
        let rest = sorted_out(tasks(&["a.o", "b.o", "c.o", "d.o"]), &guest, folder.path(), 60, &mut verdicts);
        let rest: Vec<_> = rest.iter().map(|task| task.label.as_str()).collect();
        assert_eq!(rest, ["c.o", "d.o"]);
        assert_eq!(verdicts[0], Verdict { object: "a.o".into(), ..good });
        assert!(!verdicts[1].loads && verdicts[1].why.as_ref().unwrap().starts_with("ended the guest: "));
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
