//! Builds and runs the packages of `tests/embedding` as their users would. They know only the loader's path in this
//! workspace.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../../live/support/requirements.rs"]
mod requirements;

#[path = "../../live/support/own_mounts.rs"]
#[expect(dead_code, reason = "others mount more")]
mod own_mounts;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use requirements::ring;

fn main() {
    own_mounts::enter(&[own_mounts::BPFFS]);
    let object = |name: &str| root().join("corpus/kinds").join(name).into_os_string().into_string().unwrap();
    let (one_ring, pinned) = (object("one_ring.o"), object("pinned.o"));
    let (again, third) = (one_ring.clone(), one_ring.clone());
    let tests = vec![
        built("counts_embeds_the_loader", ring, move || run("counts", &[&one_ring], "5 calls")),
        built("streams_embeds_the_loader", ring, move || run("streams", &[&again], "20 events")),
        built("stays_embeds_the_loader", ring, move || {
            let pins = Pins::new();
            run("stays", &[&pinned, pins.0.to_str().unwrap()], "30 events, 101010 in all")
        }),
        built("typed_uses_what_its_build_script_generates", ring, || {
            run("typed", &[], "3 calls, 3 in all, VERDICT_LAST, -3")
        }),
        built("module_of_every_object_compiles_without_a_warning", || None, every),
        built("twenty_crates_are_enough", || None, few_crates),
        built("half_a_megabyte_is_enough", ring, move || small(&third)),
    ];
    libtest_mimic::run(&Arguments::from_args(), tests).exit();
}

/// Returns the directory `tests`.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO"));
    command.args(arguments).current_dir(root().join("embedding"));
    command.env("CARGO_TARGET_DIR", Path::new(env!("CARGO_TARGET_TMPDIR")).join("embedding"));
    command
}

/// Returns a test of these packages. It is ignored if their crates cannot be fetched.
fn built(
    name: &str,
    missing: fn() -> Option<String>,
    test: impl FnOnce() -> Result<(), Failed> + Send + 'static,
) -> Trial {
    Trial::ignorable_test(name, move || {
        if let Some(reason) = missing() {
            return Ok(Completion::ignored_with(reason));
        }
        let fetched = cargo(&["fetch", "--locked", "--quiet"]).output()?;
        if !fetched.status.success() {
            let text = String::from_utf8_lossy(&fetched.stderr).into_owned();
            // The loader's dependencies have changed; the network is not the reason.
            if text.contains("--locked") {
                return Err(format!(
                    "tests/embedding/Cargo.lock is out of date: run `cargo fetch` in tests/embedding: {text}"
                )
                .into());
            }
            let why = text.lines().last().unwrap_or_default();
            return Ok(Completion::ignored_with(format!("cannot fetch the crates that it needs: {why}")));
        }
        test().map(|()| Completion::Completed)
    })
}

/// Compiles the modules of all objects of the corpus: warnings are errors there.
fn every() -> Result<(), Failed> {
    let output = cargo(&["run", "--locked", "--quiet", "--package", "every"]).output()?;
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let count = stdout.trim().strip_suffix(" modules").and_then(|count| count.parse().ok());
    match count {
        Some(90_u32..) if output.status.success() => Ok(()),
        _ => Err(format!("{}: {stdout}{stderr}", output.status).into()),
    }
}

fn run(package: &str, arguments: &[&str], says: &str) -> Result<(), Failed> {
    let output = cargo(&["run", "--locked", "--quiet", "--package", package, "--"]).args(arguments).output()?;
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if output.status.success() && stdout.trim() == says {
        return Ok(());
    }
    Err(format!("{}: {stdout}{stderr}", output.status).into())
}

/// A directory for pins. Dropping it removes the directory and its contents.
struct Pins(PathBuf);

impl Pins {
    fn new() -> Self {
        let directory = Path::new("/sys/fs/bpf").join(format!("cutaway-stays-{}", std::process::id()));
        fs::create_dir(&directory).unwrap();
        Self(directory)
    }
}

impl Drop for Pins {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Checks the number of crates that an embedder builds, its own included.
fn few_crates() -> Result<(), Failed> {
    const MOST: usize = 20;
    for package in ["counts", "stays"] {
        let output = cargo(&["tree", "--locked", "--offline", "--edges=normal", "--prefix=none", "--package", package])
            .output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() || text.is_empty() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
        }
        let mut crates: Vec<_> = text.lines().map(|line| line.trim_end_matches(" (*)")).collect();
        crates.sort_unstable();
        crates.dedup();
        if crates.len() > MOST {
            return Err(format!("`{package}` has {} crates, itself included: {crates:?}", crates.len()).into());
        }
    }
    Ok(())
}

/// Checks the size of a program that loads an object, attaches it and reads its first event. It is built for size as by
/// `cargo xtask bench loader`. Another compiler or machine gives slightly different sizes.
fn small(object: &str) -> Result<(), Failed> {
    let most = if cfg!(target_arch = "x86_64") { 500_000 } else { 600_000 };
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("small");
    let build = ["build", "--locked", "--quiet", "--profile", "small", "--no-default-features"];
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(build).current_dir(root().join("peers/loader/cutaway")).env("CARGO_TARGET_DIR", &target);
    let output = cargo.output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
    }
    let binary = target.join("small/first-event-cutaway");
    let output = Command::new(&binary).args(["first", object]).output()?;
    if !output.status.success() {
        return Err(format!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr)).into());
    }
    let size = fs::metadata(&binary)?.len();
    if size > most {
        return Err(format!("the binary has {size} bytes, more than {most}").into());
    }
    Ok(())
}
