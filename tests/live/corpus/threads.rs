//! Objects that several threads load: the programs, failures and reports are those of one thread.

use cutaway::{Error, Instruction, LoadOptions, Loaded, LogLevel, Object, Pinning};

use crate::{
    harness::{Test, test},
    instrumented_objects::{OBJECTS, REFUSED},
};

pub(crate) fn tests() -> Vec<Test> {
    let mut tests: Vec<_> = test!(threads_load_what_one_thread_loads, OBJECTS).collect();
    tests.extend(test!(threads_refuse_what_one_thread_refuses, REFUSED));
    tests
}

/// How an object is loaded.
#[derive(Debug, Clone, Copy)]
enum Variant {
    Plain,
    Logged,
    Instrumented,
}

fn threads_load_what_one_thread_loads(bytes: &[u8]) {
    for variant in [Variant::Plain, Variant::Logged, Variant::Instrumented] {
        let alone = described(bytes, variant, 1);
        assert_eq!(described(bytes, variant, 8), alone, "{variant:?}");
    }
}

fn threads_refuse_what_one_thread_refuses(bytes: &[u8]) {
    threads_load_what_one_thread_loads(bytes);
}

/// Loads an object whole, then in part, and describes the results line by line.
///
/// An object that loads whole leaves a partial load nothing to skip: one variant shows that both are the same.
fn described(bytes: &[u8], variant: Variant, threads: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let Ok(whole) = object(bytes, variant) else { return lines };
    let mut options = LoadOptions::new();
    options.threads(threads).start_threads_at_once();
    if matches!(variant, Variant::Logged) {
        options.verifier_log(LogLevel::Stats);
    }
    match whole.load_with(&options) {
        Ok(loaded) => {
            describe(&loaded, &mut lines);
            if !matches!(variant, Variant::Plain) {
                return lines;
            }
        }
        Err(error) => lines.push(failure(&error)),
    }
    match object(bytes, variant).unwrap().load_partial_with(&options) {
        Ok((loaded, failed)) => {
            describe(&loaded, &mut lines);
            lines.extend(
                failed.iter().map(|one| format!("{} {} failed: {}", one.section_name, one.name, failure(&one.why))),
            );
        }
        Err(error) => lines.push(failure(&error)),
    }
    lines
}

fn object(bytes: &[u8], variant: Variant) -> Result<Object, Error> {
    let mut object = Object::parse(bytes)?;
    object.programs_mut().for_each(|program| program.section.autoload = true);
    let maps: Vec<_> = object.maps().iter().map(|map| map.name.clone()).collect();
    for map in maps {
        // The loads must not share a map.
        object.map_mut(&map)?.pinning = Pinning::None;
    }
    if matches!(variant, Variant::Instrumented) {
        object.count_losses();
        object.cover();
    }
    Ok(object)
}

fn describe(loaded: &Loaded, lines: &mut Vec<String>) {
    for program in loaded.programs() {
        let (info, code) = (program.info().unwrap(), program.code().unwrap());
        let codes = |code: &[Instruction]| code.iter().map(|insn| insn.code).collect::<Vec<_>>();
        lines.push(format!(
            "{} {}: tag {:x?}, {:?} verified, {:?}\n{}",
            program.spec().section_name,
            program.name(),
            info.tag,
            info.verified_insns,
            code.instructions().map(codes),
            program.verifier_log().map(lasting).unwrap_or_default(),
        ));
    }
    lines.extend(loaded.skipped().iter().map(ToString::to_string));
    if let Some(losses) = loaded.losses() {
        lines.push(format!("{:?}", losses.sites()));
    }
    if let Some(coverage) = loaded.coverage() {
        lines.push(format!("{:?} {:?}", coverage.not_measured(), coverage.report()));
    }
}

/// Returns an error with the verifier's log.
fn failure(error: &Error) -> String {
    format!("{error}\n{}", error.verifier_log().map(lasting).unwrap_or_default())
}

/// Returns a log without the duration of the verification, and without addresses of the kernel.
fn lasting(log: &str) -> String {
    let lines = log.lines().filter(|line| !line.starts_with("verification time "));
    let words = |line: &str| {
        // With five levels of page tables a kernel's address need not begin with 0xffff.
        let is_address = |word: &str| word.len() == "0x".len() + 16 && word.starts_with("0xff");
        let shown = |word| if is_address(word) { "ADDRESS" } else { word };
        line.split_ascii_whitespace().map(shown).collect::<Vec<_>>().join(" ")
    };
    lines.map(words).collect::<Vec<_>>().join("\n")
}
