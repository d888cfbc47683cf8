//! Guests of another architecture: arm64 on this machine, with this binary built for it.
//!
//! Without QEMU, a kernel or Rust's standard library for it every test here is ignored, with the reason.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use cutaway_vm::Arch;
use libtest_mimic::{Completion, Failed, Trial};
use serde_json::Value;

use super::{Done, Place, Ran, command, hang_on, healthy_on, panic_on, power_off_on, run, starve_on};

/// A kernel with a trampoline for `fentry` on arm64, which 6.1 has not.
const KERNEL: &str = "6.12";
const ARCH: &str = "aarch64";

type Test = fn(&Place) -> Ran;

pub(super) fn trials() -> Vec<Trial> {
    let tests: [(&str, Test); 8] = [
        ("arm64::healthy", healthy_on),
        ("arm64::sick::panic", panic_on),
        ("arm64::sick::hang", hang_on),
        ("arm64::sick::starve", starve),
        ("arm64::sick::power_off", power_off_on),
        ("arm64::exit_status_and_programs", exit_status),
        ("arm64::saved_guest_is_restored", restored),
        ("arm64::foreign_binaries_and_absent_cpus_are_refused", refused),
    ];
    let trials = tests.map(|(name, test)| {
        let able = move || match variables() {
            Ok(variables) => test(&place(&variables)?).map(|()| Completion::Completed),
            Err(reason) => Ok(Completion::ignored_with(reason)),
        };
        Trial::ignorable_test(name, able).with_ignored_flag(true)
    });
    if Arch::OWN == Arch::X86_64 { trials.into() } else { Vec::new() }
}

/// Returns cargo's variables for arm64, or the reason why there are no guests for it here.
fn variables() -> Result<Vec<(String, String)>, String> {
    if Command::new("qemu-system-aarch64").arg("--version").output().is_err() {
        return Err("QEMU is not installed (apt-get install qemu-system-arm)".to_owned());
    }
    let output = command().args(["env", "--arch", ARCH]).output().map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned());
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let variables = text.lines().filter_map(|line| {
        let (name, value) = line.strip_prefix("export ")?.split_once('=')?;
        Some((name.to_owned(), value.trim_matches('\'').to_owned()))
    });
    Ok(variables.collect())
}

/// Builds this binary for arm64, as a user would.
fn place(variables: &[(String, String)]) -> Result<Place, Failed> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["build", "--workspace", "--test", "boot", "--target", Arch::Aarch64.target()])
        .args(["--manifest-path", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")])
        .arg("--message-format=json")
        .envs(variables.iter().cloned())
        .stdin(Stdio::null())
        .output()?;
    let messages = String::from_utf8_lossy(&output.stdout);
    let text = |message: &Value, pointer| message.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    let binary = messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| text(message, "/target/name").as_deref() == Some("boot"))
        .find_map(|message| text(&message, "/executable"));
    match binary {
        Some(binary) => Ok(Place { kernel: KERNEL, binary: PathBuf::from(binary) }),
        None => Err(format!("cargo build: {}", String::from_utf8_lossy(&output.stderr)).into()),
    }
}

/// Starves an older kernel: since Linux 6.12 a process of the highest priority leaves the others a share.
fn starve(place: &Place) -> Ran {
    starve_on(&Place { kernel: "6.1", binary: place.binary.clone() }, "sysrq triggered crash")
}

/// Checks that a program of the sysroot runs, and that its exit status is the command's.
fn exit_status(place: &Place) -> Ran {
    let done: Done = run(&["--arch", ARCH, "--kernel", place.kernel], Path::new("sh"), &["-c", "echo here; exit 7"])?;
    done.left(7)?;
    done.says("here")
}

fn restored(place: &Place) -> Ran {
    let cache = tempfile::tempdir()?;
    let own = cache.path().join("cutaway-vm");
    std::fs::create_dir_all(&own)?;
    let users = cutaway_vm::Cache::open()?;
    for name in ["apt-aarch64", "kernels", "catalog-aarch64.json", "sysroot-aarch64", "init-aarch64"] {
        std::os::unix::fs::symlink(users.path(name), own.join(name))?;
    }
    std::fs::copy(users.path("init-aarch64.json"), own.join("init-aarch64.json"))?;
    let console = cache.path().join("results").join(place.kernel).join("console.log");
    for _ in 0..3 {
        let output = command()
            .env("XDG_CACHE_HOME", cache.path())
            .args(["--kernel", place.kernel, "--results"])
            .arg(cache.path().join("results"))
            .arg("--")
            .arg(&place.binary)
            .args(["--exact", "loopback"])
            .output()?;
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        if !output.status.success() || !text.contains("test boot loopback ... ok") || text.contains("no saved guest") {
            return Err(text.into());
        }
        let console = std::fs::read_to_string(&console)?;
        assert!(console.contains("Linux version 6.12."), "the console begins with the boot: {console}");
    }
    let saved = command().env("XDG_CACHE_HOME", cache.path()).arg("saved").output()?;
    let list = String::from_utf8_lossy(&saved.stdout).into_owned();
    assert_eq!(list.matches(place.kernel).count(), 1, "each run uses the same saved guest: {list}");
    Ok(())
}

fn refused(place: &Place) -> Ran {
    let done = run(&["--arch", "x86_64", "--kernel", "6.1"], &place.binary, &[])?;
    done.left(1)?;
    done.says("it is an executable for aarch64, but the guest is x86_64: use --arch aarch64")?;
    let done = place.run(&["--cpus", "2", "--max-cpus", "4"], &["--exact", "loopback"])?;
    done.left(1)?;
    done.says("omit --max-cpus")
}
