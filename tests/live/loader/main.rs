//! The crate `cutaway` on the running kernel.
//!
//! Each test runs in a process of its own, which is this binary once more: descriptors, limits, the log, and what is known of
//! the kernel belong to a process, and so the tests do not disturb each other. Every one of them must leave as many
//! descriptors open as it found.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod attaching;
mod batches;
mod corpus;
mod descriptors;
mod externs;
mod journal;
mod lockdown;
mod maps;
mod objects;
mod polling;
mod privileges;
mod reading;
mod sample;
mod stacks;
mod sysfs;
mod variables;
mod verifier;

#[path = "../support/many_core.rs"]
mod many_core;
#[path = "../support/open.rs"]
mod open;
#[path = "../support/own_mounts.rs"]
#[expect(dead_code, reason = "others mount more")]
mod own_mounts;
#[path = "../support/requirements.rs"]
mod requirements;

use std::{fs, process::Command};

use cutaway_programs::getaddrinfo::Transport;
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use requirements::Needs;

/// The argument that makes this binary run one test alone.
const ALONE: &str = "alone";

/// A test.
struct Test {
    name: String,
    needs: Needs,
    /// The first Linux that has what it is about, and what that is.
    since: Option<(&'static str, &'static str)>,
    run: Box<dyn Fn() + Send>,
}

impl Test {
    fn new(name: &str, needs: Needs, run: impl Fn() + Send + 'static) -> Self {
        Self { name: name.to_owned(), needs, since: None, run: Box::new(run) }
    }

    /// The test is about something that Linux has since this version.
    fn since(self, version: &'static str, what: &'static str) -> Self {
        Self { since: Some((version, what)), ..self }
    }

    /// Why it cannot run here, as far as the kernel's version is in the way.
    fn too_old(&self) -> Option<String> {
        let (version, what) = self.since?;
        let running = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
        (numbers(&running) < numbers(version)).then(|| format!("needs {version}: {what}"))
    }

    /// The same test for each way.
    fn each_way(name: &str, needs: impl Fn(Transport) -> Needs, run: fn(Transport)) -> impl Iterator<Item = Self> {
        Transport::ALL.map(|way| Self::new(&format!("{name}_{way}"), needs(way), move || run(way))).into_iter()
    }
}

fn main() {
    own_mounts::enter(&[own_mounts::BPFFS]);
    let tests = [
        objects::tests(),
        maps::tests(),
        batches::tests(),
        verifier::tests(),
        attaching::tests(),
        stacks::tests(),
        reading::tests(),
        polling::tests(),
        descriptors::tests(),
        externs::tests(),
        privileges::tests(),
        lockdown::tests(),
        variables::tests(),
        sysfs::tests(),
    ];
    let mut tests = tests.into_iter().flatten();
    let mut words = std::env::args().skip(1);
    if words.next().is_some_and(|word| word == ALONE) {
        let name = words.next().expect("a test's name");
        let test = tests.find(|test| test.name == name).expect("the name of a test");
        journal::start();
        let before = open::descriptors();
        (test.run)();
        assert_eq!(open::descriptors(), before, "descriptors leak");
        return;
    }
    let trials = tests.map(|test| {
        let (name, too_old) = (test.name.clone(), test.too_old());
        if let Some(reason) = too_old {
            return Trial::ignorable_test(name, || Ok(Completion::ignored_with(reason)));
        }
        requirements::trial(name.clone(), test.needs, move || alone(&name))
    });
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit();
}

fn alone(name: &str) -> Result<(), Failed> {
    let output = Command::new(std::env::current_exe()?).args([ALONE, name]).output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr)).into())
}

/// The two numbers that a version begins with.
fn numbers(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.split(|c: char| !c.is_ascii_digit()).map_while(|number| number.parse().ok());
    Some((numbers.next()?, numbers.next()?))
}
