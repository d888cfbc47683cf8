//! `cargo nextest run` with the runner and the files of `docs/ci`, on a workspace of three binaries and ten tests.

use std::path::Path;
use std::process::{Command, Stdio};

use cutaway_vm::kernel::{Request, obtain};
use cutaway_vm::{Accelerator, Arch, Cache, Choice, decide};
use libtest_mimic::{Completion, Failed};

use super::Ran;
use super::scene::{self, KERNEL, Scene};

/// The binaries and their numbers of tests.
const BINARIES: [(&str, usize); 3] = [("one", 4), ("two", 3), ("three", 3)];
/// The figure to reach: nextest's time, by that of one guest.
const RATIO: f64 = 1.5;

/// Compares nextest, which restores a guest for each test, with all tests in one booted guest. Both run twice, and the
/// lesser time counts: the first nextest run saves the guests.
pub(crate) fn costs() -> Ran {
    let mut version = Command::new("cargo");
    version.args(["nextest", "--version"]).stdout(Stdio::null()).stderr(Stdio::null());
    if !version.status().is_ok_and(|status| status.success()) {
        return Ok(Completion::ignored_with("cargo-nextest is not installed"));
    }
    let scene = Scene::new()?;
    let home = scene.path("workspace");
    scene::write(
        &home.join("Cargo.toml"),
        "[package]\nname = \"ten\"\nversion = \"0.0.0\"\nedition = \"2024\"\n[workspace]\n",
    )?;
    scene::write(&home.join("src/lib.rs"), "")?;
    for (name, tests) in BINARIES {
        let text: String = (0..tests)
            .map(|number| {
                format!("#[test]\nfn test_{number}() {{ assert!(std::env::var_os(\"CUTAWAY_VM\").is_some()); }}\n")
            })
            .collect();
        scene::write(&home.join(format!("tests/{name}.rs")), &text)?;
    }
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/ci");
    for (example, file) in [("nextest.toml", ".config/nextest.toml"), ("cargo.toml", ".cargo/config.toml")] {
        scene::write(&home.join(file), &std::fs::read_to_string(examples.join(example))?)?;
    }
    let command = Path::new(env!("CARGO_BIN_EXE_cutaway-vm"));
    // The runner in the example is found by its name.
    let mut path = vec![command.parent().ok_or("no directory of programs")?.to_path_buf()];
    path.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    let path = std::env::join_paths(path)?;
    let prepared = |program: &Path, words: &[&str]| {
        let mut prepared = Command::new(program);
        prepared.args(words).current_dir(&home).env("XDG_CACHE_HOME", scene.path("cache")).env("PATH", &path);
        prepared.env("CARGO_TARGET_DIR", home.join("target")).env_remove("RUSTFLAGS");
        prepared.env_remove("CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER");
        prepared
    };
    let cargo = Path::new("cargo");
    let accelerator = accelerator()?;
    scene::finish(&mut prepared(cargo, &["test", "--no-run", "--tests", "--offline"]))?.left(0)?;
    let mut figures = Vec::new();
    for _ in 0..2 {
        let guest = scene::finish(&mut prepared(command, &["--kernel", KERNEL]))?;
        guest.left(0)?;
        guest.says("10 passed")?;
        let words = ["nextest", "run", "--profile", "ci", "--tests", "--offline"];
        let nextest = scene::finish(&mut prepared(cargo, &words))?;
        nextest.left(0)?;
        nextest.says("10 tests run: 10 passed")?;
        figures.push((guest.took.as_secs_f64(), nextest.took.as_secs_f64()));
    }
    let least = |of: fn(&(f64, f64)) -> f64| figures.iter().map(of).fold(f64::INFINITY, f64::min);
    let (guest, nextest) = (least(|one| one.0), least(|one| one.1));
    println!("one guest: {guest:.2} s, nextest: {nextest:.2} s, {:.2} times as long", nextest / guest);
    let junit = std::fs::read_to_string(home.join("target/nextest/ci/junit.xml"))?;
    let report = quick_junit::Report::deserialize_from_str(&junit)?;
    if (report.tests, report.failures, report.errors) != (10, 0, 0) {
        return Err(format!("the profile `ci` writes another report: {junit}").into());
    }
    // The library has no unit tests, so no test of it runs. Under KVM guests are not saved.
    let (saved, wanted) = match accelerator {
        Accelerator::Tcg => (scene.saved()?.len(), BINARIES.len()),
        Accelerator::Kvm => (0, 0),
    };
    if saved != wanted {
        return Err(format!("{saved} saved guests, not one for each binary").into());
    }
    retries(&home, || prepared(cargo, &["nextest", "run", "--profile", "ci", "--tests", "--offline", "fails"]))?;
    // Twice the figure, so that a busy machine does not fail it; the figure itself is printed.
    if nextest > guest * RATIO * 2.0 {
        return Err(format!("nextest took {nextest:.2} s, one guest {guest:.2} s").into());
    }
    Ok(Completion::Completed)
}

/// Returns the accelerator that a run without `--accel` uses.
fn accelerator() -> Result<Accelerator, Failed> {
    let cache = Cache::open()?;
    let request: Request = KERNEL.parse()?;
    let kernel = obtain(&request, Arch::OWN, &cache, false)?;
    Ok(decide(Choice::Auto, Arch::OWN, &kernel, &cache)?.accelerator)
}

/// Checks that a test which fails in its guest is tried twice, and fails the run.
fn retries(home: &Path, prepared: impl Fn() -> Command) -> Result<(), Failed> {
    scene::write(&home.join("tests/four.rs"), "#[test]\nfn fails() { panic!(\"as wanted\") }\n")?;
    let done = scene::finish(&mut prepared())?;
    done.left(100)?;
    done.says("TRY 2 FAIL")?;
    done.says("as wanted")?;
    done.says("1 test run: 0 passed, 1 failed")
}
