//! Loads one object on the running kernel and writes the verdict; in a guest, a process for each object.
//!
//! First the whole object is loaded. If that fails, each of its programs is loaded alone, so that one program does not
//! hide the others; the object still counts as not loading. If that ends the guest, another worker goes by steps.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use cutaway::{LoadOptions, LogLevel, Object, Pinning};

use super::steps::Step;
use super::verdict::{Program, Verdict};

/// The hidden subcommand.
pub(super) const NAME: &str = "compat-worker";
/// The variable with the path of the kernel's types.
pub(super) const BTF: &str = "CUTAWAY_VM_COMPAT_BTF";

/// The argument after the others that makes the worker go by steps.
pub(super) const BY_STEPS: &str = "by-steps";

/// Loads the object `argv[2]` and writes the verdict to the file `argv[3]`.
pub(super) fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(2).collect();
    let btf = std::env::var_os(BTF);
    let btf = btf.as_deref().map(Path::new);
    let (verdict, to) = match arguments.as_slice() {
        [object, to] => (judge(Path::new(object), btf), to),
        [object, to, steps] if steps == BY_STEPS => (by_steps(Path::new(object), btf), to),
        _ => {
            eprintln!("usage: cutaway-vm {NAME} OBJECT FILE [{BY_STEPS}]");
            return ExitCode::from(2);
        }
    };
    let written = serde_json::to_vec(&verdict).map_err(std::io::Error::from).and_then(|json| std::fs::write(to, json));
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cannot write the verdict to {}: {error}", Path::new(to).display());
            ExitCode::FAILURE
        }
    }
}

/// Loads an object and returns the verdict.
pub(super) fn judge(path: &Path, btf: Option<&Path>) -> Verdict {
    let mut verdict = Verdict { object: path.display().to_string(), ..Verdict::default() };
    let object = match read(path, btf) {
        Ok(object) => object,
        Err(why) => return Verdict { why: Some(why), ..verdict },
    };
    let names: Vec<(String, bool)> =
        object.programs().iter().map(|program| (program.name.clone(), program.section.autoload)).collect();
    match load(object, &names) {
        Ok(programs) => {
            // A function of a struct_ops type that no map uses is not loaded, and the object loads.
            (verdict.programs, verdict.loads) = (programs, true);
        }
        Err(why) => {
            let only = names.iter().filter(|(_, wanted)| *wanted).count() == 1;
            verdict.programs = names
                .iter()
                .map(|(name, wanted)| match (wanted, only) {
                    (false, _) => optional(name),
                    (true, true) => refused(name, why.clone()),
                    (true, false) => alone(path, btf, name),
                })
                .collect();
            verdict.why = Some(why);
        }
    }
    verdict
}

/// Creates the maps of an object, then loads each of its programs alone, and prints each step.
fn by_steps(path: &Path, btf: Option<&Path>) -> Verdict {
    let mut verdict = Verdict { object: path.display().to_string(), ..Verdict::default() };
    let object = match read(path, btf) {
        Ok(object) => object,
        Err(why) => return Verdict { why: Some(why), ..verdict },
    };
    let names: Vec<(String, bool)> =
        object.programs().iter().map(|program| (program.name.clone(), program.section.autoload)).collect();
    say(&Step::Maps);
    // The reason, if there is one, is that of each program too.
    let _ = with_only(object, None).load();
    for (name, wanted) in names {
        let program = if wanted {
            say(&Step::Load(name.clone()));
            alone(path, btf, &name)
        } else {
            optional(&name)
        };
        say(&Step::Tried(program.clone()));
        verdict.programs.push(program);
    }
    verdict
}

/// Prints a step, and gives process 1 the time to send it to the host: a line that a panic overtakes would blame the
/// step before.
fn say(step: &Step) {
    const SENT_WITHIN: Duration = Duration::from_millis(300);
    if let Ok(line) = serde_json::to_string(step) {
        println!("{line}");
        std::thread::sleep(SENT_WITHIN);
    }
}

/// Returns the object with at most one program to load.
fn with_only(mut object: Object, name: Option<&str>) -> Object {
    for program in object.programs_mut() {
        program.section.autoload = Some(program.name.as_str()) == name;
    }
    object
}

fn read(path: &Path, btf: Option<&Path>) -> Result<Object, String> {
    let cannot = |path: &Path, error: std::io::Error| format!("cannot read {}: {error}", path.display());
    let bytes = std::fs::read(path).map_err(|error| cannot(path, error))?;
    let mut object = Object::parse(&bytes).map_err(|error| error.to_string())?;
    if let Some(btf) = btf {
        let types = std::fs::read(btf).map_err(|error| cannot(btf, error))?;
        object.set_kernel_btf(&types).map_err(|error| error.to_string())?;
    }
    // A pinned map would be that of an object which was loaded before.
    let maps: Vec<String> = object.maps().iter().map(|map| map.name.clone()).collect();
    for map in maps {
        object.map_mut(&map).map_err(|error| error.to_string())?.pinning = Pinning::None;
    }
    Ok(object)
}

/// Loads an object and returns the verdict on each of its programs.
fn load(object: Object, names: &[(String, bool)]) -> Result<Vec<Program>, String> {
    // Without the option, a kernel before 5.16 says nothing about a program that it accepts.
    let loaded =
        object.load_with(LoadOptions::new().verifier_log(LogLevel::Stats)).map_err(|error| error.to_string())?;
    Ok(names
        .iter()
        .map(|(name, wanted)| match loaded.program(name) {
            Ok(program) => accepted(name, program),
            Err(_) if !wanted => optional(name),
            // The object loaded, so the kernel has not refused this program: it never got it.
            Err(error) => not_tried(name, error.to_string()),
        })
        .collect())
}

fn accepted(name: &str, program: &cutaway::Program) -> Program {
    let stats = program.verifier_stats().unwrap_or_default();
    let counted = || program.info().ok().and_then(|info| info.verified_insns).map(u64::from);
    Program {
        name: name.to_owned(),
        loads: true,
        why: None,
        not_tried: false,
        crashed: false,
        processed_instructions: stats.processed_insns.or_else(counted),
        total_states: stats.total_states,
        peak_states: stats.peak_states,
        stack_depths: stats.stack_depths,
    }
}

fn refused(name: &str, why: String) -> Program {
    Program { name: name.to_owned(), why: Some(why), ..Program::default() }
}

fn not_tried(name: &str, why: String) -> Program {
    Program { not_tried: true, ..refused(name, why) }
}

fn optional(name: &str) -> Program {
    not_tried(name, "not tried: the object says that it is not loaded by default".to_owned())
}

/// Loads one program of an object without the others.
fn alone(path: &Path, btf: Option<&Path>, name: &str) -> Program {
    let tried = read(path, btf).and_then(|object| load(with_only(object, Some(name)), &[(name.to_owned(), true)]));
    match tried {
        Ok(programs) => programs.into_iter().next().unwrap_or_else(|| refused(name, "not loaded".to_owned())),
        Err(why) => refused(name, why),
    }
}
