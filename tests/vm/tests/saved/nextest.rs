//! `cargo nextest run` with the runner, on a workspace of three binaries and ten tests.

use std::process::{Command, Stdio};

use libtest_mimic::Completion;

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
    let command = env!("CARGO_BIN_EXE_cutaway-vm");
    let prepared = |program: &str, words: &[&str]| {
        let mut prepared = Command::new(program);
        prepared.args(words).current_dir(&home).env("XDG_CACHE_HOME", scene.path("cache"));
        prepared.env("CARGO_TARGET_DIR", home.join("target")).env_remove("RUSTFLAGS");
        prepared
            .env("CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER", format!("{command} --kernel {KERNEL} --accel tcg --"));
        prepared
    };
    scene::finish(&mut prepared("cargo", &["test", "--no-run", "--tests", "--offline"]))?.left(0)?;
    let mut figures = Vec::new();
    for _ in 0..2 {
        let guest = scene::finish(&mut prepared(command, &["--kernel", KERNEL, "--accel", "tcg"]))?;
        guest.left(0)?;
        guest.says("10 passed")?;
        let nextest = scene::finish(&mut prepared("cargo", &["nextest", "run", "--tests", "--offline"]))?;
        nextest.left(0)?;
        nextest.says("10 tests run: 10 passed")?;
        figures.push((guest.took.as_secs_f64(), nextest.took.as_secs_f64()));
    }
    let least = |of: fn(&(f64, f64)) -> f64| figures.iter().map(of).fold(f64::INFINITY, f64::min);
    let (guest, nextest) = (least(|one| one.0), least(|one| one.1));
    println!("one guest: {guest:.2} s, nextest: {nextest:.2} s, {:.2} times as long", nextest / guest);
    // The library has no unit tests, so no test of it runs.
    if scene.saved()?.len() != BINARIES.len() {
        return Err(format!("{} saved guests, not one for each binary", scene.saved()?.len()).into());
    }
    // Twice the figure, so that a busy machine does not fail it; the figure itself is printed.
    if nextest > guest * RATIO * 2.0 {
        return Err(format!("nextest took {nextest:.2} s, one guest {guest:.2} s").into());
    }
    Ok(Completion::Completed)
}
