//! `cutaway-vm merge-junit`: reports of made-up runs, and of a run whose shards really ran (`--include-ignored`).
//!
//! This one binary has both roles: on the host it starts guests, in a guest it is the test binary.
#![expect(clippy::indexing_slicing, reason = "a run that this file makes up has what it indexes")]

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use cutaway_vm::kernel::{Request, obtain};
use cutaway_vm::report::{End, Guest, Matrix, Outcome, Test, junit};
use cutaway_vm::{Arch, Cache};
use libtest_mimic::{Arguments, Completion, Failed, Trial};

type Ran = Result<Completion, Failed>;
type Check = fn() -> Ran;

const KERNEL: &str = "6.1";
/// The tests in a guest.
const NAMES: [&str; 6] = ["one", "two", "three", "four", "five", "six"];

fn main() {
    let mut arguments = Arguments::from_args();
    if std::env::var_os("CUTAWAY_VM").is_some() {
        let trials = NAMES.map(|name| Trial::test(name, || Ok(()))).into();
        libtest_mimic::run(&arguments, trials).exit();
    }
    arguments.test_threads = arguments.test_threads.or(Some(1));
    let tests: [(&str, Check); 4] = [
        ("shards_become_one_verdict", shards_become_one_verdict),
        ("missing_shards_fail_with_their_numbers", missing_shards_fail_with_their_numbers),
        ("other_files_are_refused_with_a_reason", other_files_are_refused_with_a_reason),
        ("guest::shards_that_ran_are_merged", shards_that_ran_are_merged),
    ];
    let trials = tests.map(|(name, test)| Trial::ignorable_test(name, test).with_ignored_flag(name.contains("::")));
    libtest_mimic::run(&arguments, trials.into()).exit();
}

fn ensure(holds: bool, why: impl FnOnce() -> String) -> Result<(), Failed> {
    if holds { Ok(()) } else { Err(why().into()) }
}

/// A directory of reports.
struct Reports {
    folder: tempfile::TempDir,
}

/// The end of a command: exit status and output.
struct Done {
    code: Option<i32>,
    text: String,
}

impl Done {
    fn of(output: &Output) -> Self {
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        Self { code: output.status.code(), text }
    }

    fn left(&self, code: i32) -> Result<(), Failed> {
        ensure(self.code == Some(code), || format!("exited with {:?}, not {code}\n{}", self.code, self.text))
    }

    fn says(&self, part: &str) -> Result<(), Failed> {
        ensure(self.text.contains(part), || format!("{part:?} is not in\n{}", self.text))
    }
}

impl Reports {
    fn new() -> Result<Self, Failed> {
        Ok(Self { folder: tempfile::tempdir()? })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, matrix: &Matrix) -> Result<(), Failed> {
        Ok(fs::write(self.path(name), junit::xml(matrix)?)?)
    }

    fn merge(&self, files: &[&str], options: &[&str]) -> Result<Done, Failed> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cutaway-vm"));
        command.current_dir(self.folder.path()).arg("merge-junit").args(files).args(options);
        Ok(Done::of(&command.output()?))
    }
}

fn test(name: &str, outcome: Outcome) -> Test {
    let output = format!("output of {name}\n");
    Test { binary: "live".into(), name: name.into(), outcome, seconds: 0.5, output: output.as_str().into(), dropped: 0 }
}

fn shard(slice: &str, kernels: &[&str], tests: &[Test]) -> Matrix {
    let guest = |kernel: &&str| Guest {
        name: (*kernel).to_owned(),
        release: Some(format!("{kernel}.0-1-cloud-amd64")),
        version: None,
        tests: tests.to_vec(),
        end: End::Clean,
        boot_seconds: 3.0,
        seconds: 20.0,
        exit_code: None,
        notes: Vec::new(),
        folder: None,
        lists: BTreeMap::from([("live".to_owned(), "0123456789abcdef".to_owned())]),
    };
    let guests = kernels.iter().map(guest).collect();
    Matrix { guests, slice: slice.parse().ok(), plan: "0123".into(), ..Matrix::default() }
}

fn shards_become_one_verdict() -> Ran {
    let reports = Reports::new()?;
    let kernels = ["6.1", "6.12"];
    reports.write("1.xml", &shard("1/2", &kernels, &[test("ring", Outcome::Passed)]))?;
    let links = Outcome::Skipped("needs 6.12: links".into());
    let mut second = shard("2/2", &kernels, &[test("links", links)]);
    reports.write("skipped.xml", &second)?;
    reports.merge(&["1.xml", "skipped.xml"], &[])?.says("live links: skipped on every kernel of the matrix")?;
    second.guests[1].tests[0].outcome = Outcome::Passed;
    reports.write("2.xml", &second)?;
    let done = reports.merge(&["2.xml", "1.xml"], &["--output", "all.xml", "--kernel", "6.12"])?;
    done.left(0)?;
    done.says("2 passed, 0 skipped, 0 failed in 20.0 s (boot 3.0 s)")?;
    done.says("needs 6.12   0.50 s")?;
    done.says("vm result: ok\n")?;
    // The merged report is a report.
    let again = reports.merge(&["all.xml"], &[])?;
    again.left(0)?;
    ensure(again.text == done.text, || format!("{}\nis not\n{}", again.text, done.text))?;
    second.guests[0].tests[0].outcome = Outcome::Failed("exit status 101".into());
    reports.write("failed.xml", &second)?;
    let done = reports.merge(&["1.xml", "failed.xml"], &[])?;
    done.left(1)?;
    done.says("---- live links on 6.1 ----\noutput of links\n=> exit status 101")?;
    done.says("vm result: FAILED")?;
    Ok(Completion::Completed)
}

fn missing_shards_fail_with_their_numbers() -> Ran {
    let reports = Reports::new()?;
    for number in [1, 3, 5] {
        let name = format!("test_{number}");
        let slice = format!("{number}/5");
        reports.write(&format!("{number}.xml"), &shard(&slice, &["6.1"], &[test(&name, Outcome::Passed)]))?;
    }
    let done = reports.merge(&["1.xml", "3.xml", "5.xml"], &["-o", "all.xml"])?;
    done.left(1)?;
    done.says("FAILED 3 of 5 shards: 2 and 4 are missing\nvm result: FAILED")?;
    // The merged report keeps the missing shards.
    let again = reports.merge(&["all.xml"], &[])?;
    again.left(1)?;
    again.says("FAILED 3 of 5 shards: 2 and 4 are missing")?;
    let done = reports.merge(&["1.xml"], &["--kernel", "6.1", "--kernel", "newest"])?;
    done.left(1)?;
    done.says("FAILED 1 of 5 shards: 2, 3, 4 and 5 are missing")?;
    done.says("FAILED newest: no report has results of this kernel")?;
    Ok(Completion::Completed)
}

fn other_files_are_refused_with_a_reason() -> Ran {
    let reports = Reports::new()?;
    reports.write("1.xml", &shard("1/2", &["6.1"], &[test("ring", Outcome::Passed)]))?;
    let whole = fs::read_to_string(reports.path("1.xml"))?;
    let (half, _) = whole.split_at(whole.len() / 2);
    fs::write(reports.path("half.xml"), half)?;
    fs::write(reports.path("nextest.xml"), whole.replacen("cutaway-vm", "nextest-run", 1))?;
    fs::write(reports.path("bytes.xml"), [0xff, 0xfe])?;
    fs::write(reports.path("page.xml"), "<html/>")?;
    let mut other = shard("2/2", &["6.1"], &[test("links", Outcome::Passed)]);
    other.plan = "4567".into();
    reports.write("plan.xml", &other)?;
    reports.write("kernels.xml", &shard("2/2", &["6.1", "6.12"], &[test("links", Outcome::Passed)]))?;
    reports.write("count.xml", &shard("2/3", &["6.1"], &[test("links", Outcome::Passed)]))?;
    let mut tests = shard("2/2", &["6.1"], &[test("links", Outcome::Passed)]);
    tests.guests[0].lists.insert("live".into(), "another".into());
    reports.write("tests.xml", &tests)?;
    for (file, why) in [
        ("absent.xml", "cutaway-vm: cannot read absent.xml: No such file or directory"),
        ("half.xml", "half.xml: not a complete JUnit report: "),
        ("bytes.xml", "bytes.xml: not a JUnit report: it is not UTF-8"),
        ("page.xml", "page.xml: not a complete JUnit report: "),
        ("nextest.xml", r#"nextest.xml: the report is named "nextest-run", not "cutaway-vm""#),
        ("plan.xml", "plan.xml: its run had other test binaries or arguments than that of 1.xml"),
        ("kernels.xml", "kernels.xml: it ran on 6.1 and 6.12, and 1.xml on 6.1: "),
        ("count.xml", "count.xml: it is shard 2/3, and 1.xml is shard 1/2: "),
        ("tests.xml", "tests.xml: on 6.1, live has other tests than in 1.xml: "),
        ("1.xml", "1.xml: it is shard 1/2, and so is 1.xml: pass one report of each shard"),
    ] {
        let done = reports.merge(&["1.xml", file], &["--output", "all.xml"])?;
        done.left(1)?;
        done.says(why)?;
        ensure(!reports.path("all.xml").exists(), || format!("{file}: a merged report was written"))?;
    }
    reports.write("twice.xml", &shard("2/2", &["6.1"], &[test("ring", Outcome::Passed)]))?;
    let done = reports.merge(&["1.xml", "twice.xml"], &[])?;
    done.left(1)?;
    done.says("FAILED live ring on 6.1 ran in the shards 1/2 and 2/2")?;
    Ok(Completion::Completed)
}

fn shards_that_ran_are_merged() -> Ran {
    if Command::new("qemu-system-x86_64").arg("--version").output().is_err() {
        return Ok(Completion::ignored_with("QEMU is not installed (apt-get install qemu-system-x86)"));
    }
    let request: Request = KERNEL.parse()?;
    if let Err(error) = Cache::open().and_then(|cache| obtain(&request, Arch::OWN, &cache, false)) {
        return Ok(Completion::ignored_with(format!("no kernel is available: {error}")));
    }
    let reports = Reports::new()?;
    let me = std::env::current_exe()?;
    let run = |shard: &str, file: &str, arguments: &[&str]| -> Result<(), Failed> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cutaway-vm"));
        command.args(["--kernel", KERNEL, "--accel", "tcg", "--shard", shard, "--junit"]).arg(reports.path(file));
        Done::of(&command.arg("--").arg(&me).args(arguments).output()?).left(0)
    };
    run("1/2", "1.xml", &[])?;
    run("2/2", "2.xml", &[])?;
    let done = reports.merge(&["1.xml", "2.xml"], &["--kernel", KERNEL])?;
    done.left(0)?;
    done.says(&format!("{} passed, 0 skipped, 0 failed", NAMES.len()))?;
    for name in NAMES {
        done.says(&format!("\n   {name} "))?;
    }
    // The same shard of a run with other tests.
    run("2/2", "skips.xml", &["--skip", "six"])?;
    let done = reports.merge(&["1.xml", "skips.xml"], &[])?;
    done.left(1)?;
    done.says("its run had other test binaries or arguments")?;
    Ok(Completion::Completed)
}
