//! `cutaway-vm compat`: its verdicts on this machine's kernel, and the command on another one.
//!
//! The first test needs root. The others boot guests and run with `--include-ignored`. Without what they need they are
//! ignored, with the reason.
//!
//! This binary can also be the command, with one difference: its worker crashes the guest while it loads a program of a
//! certain name ([`crash`]).
#![expect(clippy::indexing_slicing, reason = "a missing field of a JSON value is null")]

mod crash;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Output};

use cutaway::{Object, Pinning};
use cutaway_vm::kernel::{Request, obtain};
use cutaway_vm::{Arch, Cache};
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use serde_json::{Value, json};

type Ran = Result<Completion, Failed>;
type Check = fn() -> Ran;

const KERNEL: &str = "6.1";
const COMMAND: &str = env!("CARGO_BIN_EXE_cutaway-vm");

fn main() -> ExitCode {
    cutaway_vm::guest::run_if_init();
    if std::env::args().nth(1).is_some_and(|word| word.starts_with("compat")) {
        crash::prepare();
        return cutaway_vm::cli::main();
    }
    let arguments = Arguments::from_args();
    let here = Trial::ignorable_test("verdicts_are_those_of_loading", verdicts_are_those_of_loading);
    let guests: [(&str, Check); 4] = [
        ("guest::baseline_finds_what_got_worse", baseline_finds_what_got_worse),
        ("guest::crash_is_the_verdict_of_one_program", crash_is_the_verdict_of_one_program),
        ("guest::btf_is_chosen_by_release", btf_is_chosen_by_release),
        ("guest::both_architectures_are_in_one_table", both_architectures),
    ];
    let guests = guests.map(|(name, test)| {
        let able = move || lacking().map_or_else(test, |reason| Ok(Completion::ignored_with(reason)));
        Trial::ignorable_test(name, able).with_ignored_flag(true)
    });
    libtest_mimic::run(&arguments, std::iter::once(here).chain(guests).collect()).exit_code()
}

/// Returns the reason why no guest can run here.
fn lacking() -> Option<String> {
    if Command::new("qemu-system-x86_64").arg("--version").output().is_err() {
        return Some("QEMU is not installed (apt-get install qemu-system-x86)".to_owned());
    }
    let request: Request = KERNEL.parse().ok()?;
    let kernel = Cache::open().and_then(|cache| obtain(&request, Arch::OWN, &cache, false));
    kernel.err().map(|error| format!("no kernel is available: {error}"))
}

fn ensure(holds: bool, why: impl FnOnce() -> String) -> Result<(), Failed> {
    if holds { Ok(()) } else { Err(why().into()) }
}

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus")
}

/// Returns the objects of the corpus.
fn objects() -> Result<Vec<PathBuf>, Failed> {
    let mut objects = Vec::new();
    for folder in fs::read_dir(corpus())? {
        let folder = folder?.path();
        if !folder.is_dir() {
            continue;
        }
        for file in fs::read_dir(folder)? {
            let file = file?.path();
            if file.extension().is_some_and(|extension| extension == "o") {
                objects.push(file);
            }
        }
    }
    objects.sort();
    Ok(objects)
}

/// Loads an object here; returns the error. Maps are not pinned, as in the worker.
fn error_of_loading(path: &Path) -> Result<Option<String>, Failed> {
    let loaded = Object::parse(&fs::read(path)?).and_then(|mut object| {
        let maps: Vec<String> = object.maps().iter().map(|map| map.name.clone()).collect();
        for map in maps {
            object.map_mut(&map)?.pinning = Pinning::None;
        }
        object.load()
    });
    Ok(loaded.err().map(|error| error.to_string()))
}

/// Returns the schema of a form of the command's JSON.
fn schema_of(form: &str) -> Result<jsonschema::Validator, Failed> {
    let whole: Value = serde_json::from_str(include_str!("../../../../docs/schema/compat.json"))?;
    let schema = json!({ "$schema": whole["$schema"], "$ref": format!("#/$defs/{form}"), "$defs": whole["$defs"] });
    jsonschema::validator_for(&schema).map_err(|error| error.to_string().into())
}

fn verdicts_are_those_of_loading() -> Ran {
    if !rustix::process::geteuid().is_root() {
        return Ok(Completion::ignored_with("needs root"));
    }
    let folder = tempfile::tempdir()?;
    let to = folder.path().join("verdict.json");
    let (mut load, mut differences) = (0, Vec::new());
    let (objects, schema) = (objects()?, schema_of("object")?);
    for object in &objects {
        let mut worker = Command::new(COMMAND);
        let ended = worker.arg("compat-worker").args([object, &to]).output()?;
        ensure(ended.status.success(), || format!("{}: {ended:?}", object.display()))?;
        let verdict: Value = serde_json::from_slice(&fs::read(&to)?)?;
        ensure(schema.is_valid(&verdict), || format!("docs/schema/compat.json does not describe {verdict}"))?;
        let error = error_of_loading(object)?;
        let same = match &error {
            None => verdict["loads"] == json!(true),
            Some(error) => verdict["loads"] == json!(false) && verdict["why"] == json!(error),
        };
        if !same {
            differences.push(format!("{}: {} here {error:?}", object.display(), verdict));
        }
        load += usize::from(error.is_none());
    }
    ensure(differences.is_empty(), || differences.join("\n"))?;
    ensure(load > 40 && load < objects.len(), || format!("{load} of {} load: both kinds are needed", objects.len()))?;
    Ok(Completion::Completed)
}

fn compat_by(command: &Path, objects: &[&str], options: &[&str]) -> std::io::Result<Output> {
    let objects = objects.iter().map(|name| corpus().join(name));
    let mut command = Command::new(command);
    command.arg("compat").args(objects).args(["--kernel", KERNEL, "--accel", "tcg"]).args(options).output()
}

fn compat(options: &[&str]) -> std::io::Result<Output> {
    compat_by(Path::new(COMMAND), &["events/flexible.o", "kinds/freplace_by.o"], options)
}

fn baseline_finds_what_got_worse() -> Ran {
    let folder = tempfile::tempdir()?;
    let [baseline, xml] = ["old.json", "compat.xml"].map(|name| folder.path().join(name).display().to_string());
    let first = compat(&["--json", "--junit", &xml])?;
    ensure(first.status.code() == Some(1), || format!("one of two objects does not load: {first:?}"))?;
    let mut report: Value = serde_json::from_slice(&first.stdout)?;
    ensure(schema_of("report")?.is_valid(&report), || format!("docs/schema/compat.json does not describe {report}"))?;
    let [good, bad] = [0, 1].map(|index| report["kernels"][0]["objects"][index].clone());
    ensure(good["loads"] == json!(true) && bad["loads"] == json!(false), || report.to_string())?;
    let walked = good["programs"][0]["processed_instructions"].as_u64().ok_or("no count of instructions")?;
    let xml = fs::read_to_string(xml)?;
    ensure(xml.contains("tests=\"2\" disabled=\"0\" errors=\"0\" failures=\"1\""), || xml.clone())?;
    fs::write(&baseline, first.stdout)?;
    let same = compat(&["--baseline", &baseline])?;
    ensure(same.status.success() && same.stdout.starts_with(b"instructions walked"), || format!("{same:?}"))?;
    let table = String::from_utf8_lossy(&same.stdout).into_owned();
    ensure(table.lines().count() > 6 && table.lines().all(|line| line.chars().count() <= 80), || table.clone())?;
    report["kernels"][0]["objects"][0]["programs"][0]["processed_instructions"] = json!(walked / 2);
    report["kernels"][0]["objects"][1]["loads"] = json!(true);
    fs::write(&baseline, report.to_string())?;
    let worse = compat(&["--baseline", &baseline])?;
    let said = String::from_utf8_lossy(&worse.stderr).into_owned();
    ensure(worse.status.code() == Some(1), || format!("{worse:?}"))?;
    let grown = format!("flexible.o: sends: {walked} instructions, {} in the baseline", walked / 2);
    for part in [grown.as_str(), "freplace_by.o: no longer loads: cannot load the program `by_section`"] {
        ensure(said.lines().any(|line| line.starts_with("worse: 6.1: ") && line.contains(part)), || said.clone())?;
    }
    Ok(Completion::Completed)
}

fn crash_is_the_verdict_of_one_program() -> Ran {
    let me = std::env::current_exe()?;
    let ran = compat_by(&me, &["cover/branches.o", "events/flexible.o", "kinds/freplace_by.o"], &["--json"])?;
    ensure(ran.status.code() == Some(1), || format!("{ran:?}"))?;
    let report: Value = serde_json::from_slice(&ran.stdout)?;
    let objects = &report["kernels"][0]["objects"];
    let ends = |index: usize, name: &str| objects[index]["object"].as_str().is_some_and(|path| path.ends_with(name));
    ensure(ends(0, "branches.o") && ends(1, "flexible.o") && ends(2, "freplace_by.o"), || report.to_string())?;
    // The object that crashes its guest is first, so the others have their verdicts from another guest.
    ensure(objects[1]["loads"] == json!(true) && objects[1]["crashed"] == json!(false), || report.to_string())?;
    ensure(objects[2]["loads"] == json!(false) && objects[2]["crashed"] == json!(false), || report.to_string())?;
    let crashed = &objects[0];
    let why = format!("guest crashed while loading {}: Kernel panic", crash::PROGRAM);
    ensure(crashed["why"].as_str().is_some_and(|said| said.starts_with(&why)), || report.to_string())?;
    let programs = crashed["programs"].as_array().ok_or("no programs")?;
    let (last, before) = programs.split_last().ok_or("no programs")?;
    ensure(last["name"] == json!(crash::PROGRAM) && last["crashed"] == json!(true), || report.to_string())?;
    let tried =
        |program: &Value| program["loads"] == json!(true) && program["processed_instructions"].as_u64() > Some(0);
    ensure(!before.is_empty() && before.iter().all(tried), || report.to_string())?;
    Ok(Completion::Completed)
}

fn btf_is_chosen_by_release() -> Ran {
    let folder = tempfile::tempdir()?;
    let directory = folder.path().display().to_string();
    let run = || -> Result<Value, Failed> {
        let ran = compat_by(Path::new(COMMAND), &["events/flexible.o"], &["--json", "--btf", &directory])?;
        Ok(serde_json::from_slice::<Value>(&ran.stdout).map_err(|error| format!("{error}: {ran:?}"))?["kernels"][0]
            .take())
    };
    let missing = run()?;
    let release = missing["release"].as_str().ok_or("no release")?;
    let file = folder.path().join(format!("{release}.btf"));
    let note = format!("there is no {}; objects are loaded with the kernel's own BTF", file.display());
    ensure(missing["notes"][0].as_str().is_some_and(|said| said.starts_with(&note)), || missing.to_string())?;
    ensure(missing["btf"].is_null() && missing["objects"][0]["loads"] == json!(true), || missing.to_string())?;
    fs::write(&file, "no BTF")?;
    let damaged = run()?;
    ensure(damaged["btf"] == json!(file) && damaged["notes"] == json!([]), || damaged.to_string())?;
    ensure(damaged["objects"][0]["loads"] == json!(false), || damaged.to_string())?;
    Ok(Completion::Completed)
}

/// Checks that each architecture has its own results, and that a baseline compares each with itself.
fn both_architectures() -> Ran {
    const KERNEL: &str = "6.12";
    let archs = [Arch::X86_64, Arch::Aarch64];
    let qemu = archs.map(|arch| format!("qemu-system-{arch}"));
    if let Some(name) = qemu.iter().find(|name| Command::new(name).arg("--version").output().is_err()) {
        return Ok(Completion::ignored_with(format!("{name} is not installed")));
    }
    let request: Request = KERNEL.parse()?;
    for arch in archs {
        if let Err(error) = Cache::open().and_then(|cache| obtain(&request, arch, &cache, false)) {
            return Ok(Completion::ignored_with(format!("no kernel is available: {error}")));
        }
    }
    let run = |options: &[&str]| {
        let mut command = Command::new(COMMAND);
        command.arg("compat").arg(corpus().join("events/flexible.o")).args(["--kernel", KERNEL, "--accel", "tcg"]);
        command.args(["--arch", "x86_64,aarch64"]).args(options).output()
    };
    let first = run(&["--json"])?;
    let said = String::from_utf8_lossy(&first.stderr).into_owned();
    if said.contains("rustup target add") {
        return Ok(Completion::ignored_with(said.trim().to_owned()));
    }
    ensure(first.status.success(), || format!("{first:?}"))?;
    let mut report: Value = serde_json::from_slice(&first.stdout)?;
    for (index, arch) in archs.iter().enumerate() {
        let on = &report["kernels"][index];
        ensure(on["arch"] == json!(arch.name()) && on["objects"][0]["loads"] == json!(true), || on.to_string())?;
        let release = on["release"].as_str().unwrap_or_default();
        ensure(release.ends_with(["cloud-amd64", "cloud-arm64"][index]), || release.to_owned())?;
    }
    let folder = tempfile::tempdir()?;
    let baseline = folder.path().join("old.json");
    let walked =
        report["kernels"][1]["objects"][0]["programs"][0]["processed_instructions"].as_u64().ok_or("no count")?;
    report["kernels"][1]["objects"][0]["programs"][0]["processed_instructions"] = json!(walked / 2);
    fs::write(&baseline, report.to_string())?;
    let worse = run(&["--baseline", &baseline.display().to_string()])?;
    let said = String::from_utf8_lossy(&worse.stderr).into_owned();
    ensure(worse.status.code() == Some(1), || format!("{worse:?}"))?;
    let lines: Vec<_> = said.lines().filter(|line| line.starts_with("worse: ")).collect();
    ensure(lines.len() == 1 && lines[0].starts_with("worse: 6.12 (aarch64): "), || said.clone())?;
    let table = String::from_utf8_lossy(&worse.stdout).into_owned();
    let heads: Vec<Vec<&str>> = table.lines().take(2).map(|line| line.split_whitespace().collect()).collect();
    ensure(heads[0].ends_with(&["6.12", "6.12"]) && heads[1] == ["x86_64", "aarch64"], || table.clone())?;
    Ok(Completion::Completed)
}
