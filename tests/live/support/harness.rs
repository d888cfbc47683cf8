//! The harness of all live suites, on top of libtest-mimic.
//!
//! A suite is a table with a row for each test: `test!(pinned_map_is_reused).needs(root)`. The name of the function is
//! the name of the test, so grep finds a failing test. The row lists the requirements of the test. A test that cannot
//! run is
//! reported as ignored when its turn comes, with the reason. A reason `needs X.Y: …` names a kernel version, and the VM
//! matrix checks it.
//!
//! Tests run in parallel, except those whose row says [`Test::alone`] and why. A test fails by panicking, so it cleans
//! up by guards: values whose `Drop` detaches, unpins, unmounts or kills.

use std::{
    collections::HashSet,
    fs,
    process::Command,
    sync::{PoisonError, RwLock},
};

use libtest_mimic::{Arguments, Completion, Failed, Trial};

/// The first argument of a process that runs one test of [`Suite::isolated`].
pub(crate) const ISOLATED: &str = "isolated";

/// Makes a test that is named like its function.
///
/// With a second argument, which lists pairs `(label, value)`: makes a test for each pair, named `function::label`,
/// that calls the function with the value. A third argument returns the reason why the test of a value cannot run here.
macro_rules! test {
    ($function:ident) => {
        $crate::harness::Test::new(stringify!($function), $function)
    };
    ($function:ident, $values:expr) => {
        $crate::harness::test!($function, $values, |_| None)
    };
    ($function:ident, $values:expr, $missing:expr) => {
        $values.into_iter().map(|(label, value)| {
            let name = format!("{}::{label}", stringify!($function));
            $crate::harness::Test::new(name, move || $function(value)).needs(move || $missing(value))
        })
    };
}
pub(crate) use test;

/// A row of a suite's table.
pub(crate) struct Test {
    name: String,
    obstacles: Vec<Box<dyn Fn() -> Option<String> + Send>>,
    alone: bool,
    run: Box<dyn FnOnce() -> Result<Completion, Failed> + Send>,
}

impl Test {
    /// Makes a test; the macro [`test!`] passes the function's own name.
    pub(crate) fn new<T: Outcome>(name: impl Into<String>, run: impl FnOnce() -> T + Send + 'static) -> Self {
        let run = Box::new(|| run().completion());
        Self { name: name.into(), obstacles: Vec::new(), alone: false, run }
    }

    /// Ignores the test where `missing` returns a reason: a privilege, a tool or a setting is missing. The first reason
    /// is reported.
    pub(crate) fn needs(mut self, missing: impl Fn() -> Option<String> + Send + 'static) -> Self {
        self.obstacles.push(Box::new(missing));
        self
    }

    /// Ignores the test where this kernel lacks a feature: `.unless(unsupported::kprobes)`.
    pub(crate) fn unless(self, unsupported: impl Fn() -> Option<String> + Send + 'static) -> Self {
        self.needs(unsupported)
    }

    /// Ignores the test on a kernel older than `major.minor`, the first one with `feature`.
    pub(crate) fn since(self, major: u32, minor: u32, feature: &'static str) -> Self {
        self.needs(move || older_than(major, minor, feature))
    }

    /// Runs the test while no other test of its suite runs.
    pub(crate) fn alone(self, reason: &'static str) -> Self {
        assert!(!reason.is_empty(), "{} does not say why it runs alone", self.name);
        Self { alone: true, ..self }
    }

    fn obstacle(&self) -> Option<String> {
        self.obstacles.iter().find_map(|missing| missing())
    }

    /// Runs the test in this process.
    fn run(self) -> Result<Completion, Failed> {
        match self.obstacle() {
            Some(reason) => Ok(Completion::ignored_with(reason)),
            None => in_turn(self.alone, self.run),
        }
    }

    /// Runs the test of a process that runs no other.
    fn run_here(self, prepare: fn()) -> Result<Completion, Failed> {
        match self.obstacle() {
            Some(reason) => Ok(Completion::ignored_with(reason)),
            None => run_checked(prepare, self.run),
        }
    }

    /// Runs the test in a process of its own.
    fn run_isolated(self) -> Result<Completion, Failed> {
        let name = &self.name;
        match self.obstacle() {
            Some(reason) => Ok(Completion::ignored_with(reason)),
            None => in_turn(self.alone, || {
                let output = Command::new(std::env::current_exe()?).args([ISOLATED, name]).output()?;
                match output.status.success() {
                    true => Ok(Completion::Completed),
                    false => Err(format!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr)).into()),
                }
            }),
        }
    }
}

/// The return type of a test's function.
pub(crate) trait Outcome {
    fn completion(self) -> Result<Completion, Failed>;
}

impl Outcome for () {
    fn completion(self) -> Result<Completion, Failed> {
        Ok(Completion::Completed)
    }
}

impl<T: Outcome> Outcome for Result<T, Failed> {
    fn completion(self) -> Result<Completion, Failed> {
        self.and_then(Outcome::completion)
    }
}

/// The reason to ignore a test that finds out only while it runs that it cannot run here.
impl Outcome for Option<String> {
    fn completion(self) -> Result<Completion, Failed> {
        Ok(self.map_or(Completion::Completed, Completion::ignored_with))
    }
}

impl Outcome for Completion {
    fn completion(self) -> Result<Completion, Failed> {
        Ok(self)
    }
}

/// The tests of one binary.
pub(crate) struct Suite(Vec<Test>);

impl Suite {
    /// Collects the tables. Panics if two tests have one name: `--exact` could not tell them apart.
    pub(crate) fn new(tables: impl IntoIterator<Item = Vec<Test>>) -> Self {
        let tests: Vec<Test> = tables.into_iter().flatten().collect();
        let mut names = HashSet::new();
        for test in &tests {
            assert!(names.insert(&test.name), "two tests are named {}", test.name);
        }
        Self(tests)
    }

    /// Adds a requirement to each test, in front of its own.
    pub(crate) fn all_need(mut self, missing: fn() -> Option<String>) -> Self {
        for test in &mut self.0 {
            test.obstacles.insert(0, Box::new(missing));
        }
        self
    }

    /// Runs the tests in threads of this process, as the command line says, and exits.
    pub(crate) fn run(self) -> ! {
        self.run_then(|| {})
    }

    /// Runs the tests like [`Suite::run`], and `check` when all of them have ended.
    pub(crate) fn run_then(self, check: impl FnOnce()) -> ! {
        self.run_with(&Arguments::from_args(), Test::run, check)
    }

    /// Runs each test in a process of its own: fds, limits, the logger and cached kernel features belong to a process.
    /// The process calls `prepare` first, and must end with as many open fds as it had then.
    ///
    /// It is a process started from this binary, or this one if it runs only one test: the VM runner and cargo-nextest
    /// start one for each.
    pub(crate) fn run_isolated(self, prepare: fn()) -> ! {
        let mut arguments = std::env::args_os().skip(1);
        if arguments.next().is_none_or(|argument| argument != ISOLATED) {
            let arguments = Arguments::from_args();
            if arguments.exact && arguments.filter.is_some() {
                // By one thread, the first: some tests need a process that has no other.
                let arguments = Arguments { test_threads: Some(1), ..arguments };
                self.run_with(&arguments, move |test| test.run_here(prepare), || {})
            }
            self.run_with(&arguments, Test::run_isolated, || {})
        }
        let name = arguments.next().unwrap_or_default();
        let Some(test) = self.0.into_iter().find(|test| *test.name == *name) else {
            panic!("no test is named {}", name.display());
        };
        if let Err(failed) = run_checked(prepare, test.run) {
            panic!("{}", failed.message().unwrap_or_default());
        }
        std::process::exit(0)
    }

    fn run_with<R>(self, arguments: &Arguments, run: R, check: impl FnOnce()) -> !
    where
        R: Fn(Test) -> Result<Completion, Failed> + Copy + Send + 'static,
    {
        let trial = |test: Test| Trial::ignorable_test(test.name.clone(), move || run(test));
        let conclusion = libtest_mimic::run(arguments, self.0.into_iter().map(trial).collect());
        check();
        conclusion.exit()
    }
}

/// Runs a test in this process, which must have as many open fds afterwards as after `prepare`.
fn run_checked<T>(prepare: fn(), run: impl FnOnce() -> Result<T, Failed>) -> Result<T, Failed> {
    prepare();
    let before = open_fds();
    let outcome = run()?;
    assert_eq!(open_fds(), before, "fds leak");
    Ok(outcome)
}

/// Runs a test when no other test runs that excludes it.
fn in_turn<T>(alone: bool, run: impl FnOnce() -> T) -> T {
    static RUNNING: RwLock<()> = RwLock::new(());
    // A failed test poisons the lock. Its guards have cleaned up.
    if alone {
        let _turn = RUNNING.write().unwrap_or_else(PoisonError::into_inner);
        run()
    } else {
        let _turn = RUNNING.read().unwrap_or_else(PoisonError::into_inner);
        run()
    }
}

/// Returns the reason to ignore a test of `feature` on a kernel older than `major.minor`. A distribution may have
/// backported the feature; such a kernel is tested less than possible.
pub(crate) fn older_than(major: u32, minor: u32, feature: &str) -> Option<String> {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map_while(|number| number.parse::<u32>().ok());
    let version = numbers.next().zip(numbers.next()).unwrap();
    (version < (major, minor)).then(|| format!("needs {major}.{minor}: {feature}"))
}

/// Returns the open fds of this process: number and target.
pub(crate) fn open_fds() -> Vec<(String, String)> {
    let mut open: Vec<_> = fs::read_dir("/proc/self/fd")
        .unwrap()
        .filter_map(|entry| {
            // The fd of the directory itself is closed before its target is read.
            let entry = entry.ok()?;
            let target = fs::read_link(entry.path()).ok()?;
            Some((entry.file_name().display().to_string(), target.display().to_string()))
        })
        .filter(|(_, target)| !target.ends_with("/fd"))
        .collect();
    open.sort();
    open
}
