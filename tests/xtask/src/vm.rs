//! `cargo xtask vm`: builds the VM command and becomes it, on this project's own suite unless a binary is given.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use crate::tools::{self, Outcome};

/// Everything after `vm` belongs to the VM command, `--help` included.
#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Args {
    /// The VM command's own arguments: see `cargo xtask vm --help`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGS")]
    arguments: Vec<OsString>,
}

/// What is no question to a kernel: it stays on the host, in every run of this suite.
const ON_THE_HOST: &[&str] = &[
    // No guests within guests, no routines of the repository, no protocol over a fake kernel, no assembling, no
    // arithmetic on BTF.
    "--exclude=cutaway-vm",
    "--exclude=xtask",
    // What shells and man(1) make of the command, and neither is in the guest.
    "--exclude=cutaway-cli::shell",
    "--exclude=cutaway::broken",
    "--exclude=cutaway::core_relo",
    "--exclude=cutaway-programs::encoding",
    "--exclude=cutaway-programs::labels",
    "--exclude=cutaway-programs::object",
    "--exclude=cutaway-programs::types",
    "--exclude=perf-reader::protocol",
    // The corpora of the fuzz targets are files of the repository.
    "--exclude=perf-reader::fuzz_replay",
    "--exclude=mmap-ring::fuzz_replay",
    // Hours of an emulator's time.
    "--exclude=perf-reader::mutants",
    "--skip=soak_of_",
    "--skip=merged_task_events_are_in_causal_order",
    // Take two CPUs that work at the same time.
    "--skip=busy_record_at_the_head_lets_the_reader_sleep",
    "--skip=trailing_release_refuses_no_large_record",
];

/// What the whole suite needs beside its binaries and leaves out in a guest.
const SUITE: &[&str] = &[
    "--skip=every_truncation_is_an_error",
    "--skip=no_flipped_bit_makes_parsing_panic",
    "--skip=truncated_object_gets_one_sentence",
    "--skip=every_corpus_object_is_inspected",
    // Measures for minutes, and is run by itself: `compare_matrix.rs`.
    "--exclude=cutaway-cli::compare",
    "--skip=help_example_of_peek_works",
    // Questions to kernels that lack what all of these have, or have built in what these have as modules.
    "--skip=missing_trampolines_are_named",
    "--skip=missing_kprobes_are_one_reason",
    "--skip=tc_filter_",
    "--skip=classifier_is_attached_by_tcx_or_netlink",
    "--skip=missing_device_is_refused_by_tc",
    "--skip=one_file_in_two_overlays_is_traced_once",
    // A thousand processes are too many for an emulator.
    "--skip=thousand_processes_are_searched_quickly",
    // What these ask is what other tools think of an object file, and the tools are not in the guest.
    "--skip=bpftool_",
    "--skip=llvm-objdump_",
    "--skip=readelf_",
    // Another language, which is not in the guest.
    "--skip=snapshots_of_a_python_ring_consume_nothing",
    // The program whose resolver calls are traced, and what starts it.
    "--bring=getent",
    "--bring=sh",
    "--bring=cat",
    "--bring=echo",
    "--bring=true",
    "--bring=sleep",
    concat!("--bring=", env!("CARGO_MANIFEST_DIR"), "/../corpus"),
    "--env=PROPTEST_CASES=16",
    // A guest under emulation uses one CPU; every machine that tests has two.
    "--guests=2",
    // A guest's CPUs may come and go; a developer's machine's may not.
    "--env=PERF_READER_HOTPLUG=1",
];

/// The other C library, at the path that its programs name.
const MUSL: &str = "/lib/ld-musl-x86_64.so.1";

/// The suite's arguments on this machine. Without musl no guest has it either, and a test that is ignored in all of
/// them would fail the matrix.
fn suite() -> Vec<String> {
    let musl = if Path::new(MUSL).exists() {
        format!("--bring={MUSL}")
    } else {
        eprintln!("xtask: {MUSL} is not on this machine (package musl): every_c_library_in_use_is_traced is skipped");
        "--skip=every_c_library_in_use_is_traced".to_owned()
    };
    ON_THE_HOST.iter().chain(SUITE).map(|&word| word.to_owned()).chain([musl]).collect()
}

/// Returns only if the command could not be started.
pub(crate) fn run(_accepted: &Args) -> ExitCode {
    let program = match command() {
        Ok(program) => program,
        Err(why) => return refuse(&why),
    };
    // As they were typed: clap takes the first `--` for its own.
    let typed: Vec<OsString> = std::env::args_os().skip_while(|word| word != "vm").skip(1).collect();
    let mut command = Command::new(&program);
    if !typed.iter().any(|word| word == "--") {
        command.args(suite());
    }
    let error = command.args(typed).exec();
    refuse(&format!("cannot run {}: {error}", program.display()))
}

/// This project's suite on every kernel of the matrix that can be had.
pub(crate) fn matrix() -> tools::Result {
    if let Some(why) = no_emulator() {
        return Ok(Outcome::Skipped(why));
    }
    on_all_kernels(&suite().iter().map(String::as_str).collect::<Vec<_>>())
}

/// What of the rest is not about the readers.
const READERS: &[&str] = &[
    "--exclude=cutaway",
    "--exclude=cutaway-cli",
    "--exclude=cutaway-programs",
    "--exclude=cutaway-sys",
    "--exclude=mmap-ring::examples",
];

/// What a machine of one CPU cannot run: the one CPU cannot be taken away, and two cannot be compared.
const ONE: &[&str] = &[
    "--cpus=1",
    "--skip=cpu_goes_offline",
    "--skip=cpu_comes_online",
    "--skip=offline_cpus_have_slots",
    "--skip=busy_cpu_does_not_keep_a_drain_that_breaks_from_the_others",
    "--skip=refresh_that_fails_on_one_cpu_looks_at_the_others",
];

/// Both readers on machines of one CPU, and on machines that may have more CPUs than they have.
pub(crate) fn few_cpus() -> tools::Result {
    const MORE_TO_COME: &[&str] = &["--cpus=2", "--max-cpus=4", "--env=PERF_READER_HOTPLUG=1"];
    if let Some(why) = no_emulator() {
        return Ok(Outcome::Skipped(why));
    }
    // A package that is left out whole has no binary to leave out.
    let of_others = |word: &str| READERS.iter().any(|others| word.starts_with(&format!("{others}::")));
    let left_out: Vec<_> = ON_THE_HOST.iter().copied().filter(|word| !of_others(word)).collect();
    let one = on_all_kernels(&[&left_out, READERS, ONE].concat());
    let more = on_all_kernels(&[&left_out, READERS, MORE_TO_COME].concat());
    one.and(more)
}

/// Runs the VM command with these arguments.
pub(crate) fn on_all_kernels(arguments: &[&str]) -> tools::Result {
    const NO_KERNEL: i32 = 3;
    let program = command()?;
    eprintln!("$ {} {}", program.display(), arguments.join(" "));
    match Command::new(&program).args(arguments).status() {
        Ok(status) if status.success() => Ok(Outcome::Done),
        Ok(status) if status.code() == Some(NO_KERNEL) => Ok(Outcome::Skipped("no kernel can be had here".to_owned())),
        Ok(status) => Err(format!("cutaway-vm failed: {status}")),
        Err(error) => Err(format!("cannot run {}: {error}", program.display())),
    }
}

/// Guests that panic, hang, lie and starve: what the VM command says of them.
pub(crate) fn sick() -> tools::Result {
    match no_emulator() {
        Some(why) => Ok(Outcome::Skipped(why)),
        // Of the whole workspace: its dependencies' features are then those that the tests have been built with.
        None => tools::cargo(&["test", "--workspace", "--test", "boot", "--", "--include-ignored"], &[]),
    }
}

pub(crate) fn no_emulator() -> Option<String> {
    const EMULATOR: &str = "qemu-system-x86_64";
    (!tools::works(EMULATOR, &["--version"])).then(|| format!("{EMULATOR} is not on this machine"))
}

/// Builds the VM command; gives its path.
fn command() -> Result<PathBuf, String> {
    tools::cargo(&["build", "--quiet", "--package", "cutaway-vm"], &[])?;
    // Cargo puts both programs into one folder. Not `cargo run`: where the VM command is cargo's runner, that would run
    // it in itself.
    let me = std::env::current_exe().map_err(|error| format!("cannot find this executable: {error}"))?;
    Ok(me.with_file_name("cutaway-vm"))
}

fn refuse(why: &str) -> ExitCode {
    eprintln!("xtask: {why}");
    ExitCode::FAILURE
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the text of all tests' sources: those beside their packages, and those in `tests/live`.
    fn sources() -> String {
        fn read(folder: &Path, text: &mut String) {
            for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
                let path = entry.path();
                if path.is_dir() {
                    read(&path, text);
                } else if path.extension().is_some_and(|extension| extension == "rs") {
                    text.push_str(&std::fs::read_to_string(path).unwrap());
                }
            }
        }
        let mut text = String::new();
        for folder in ["tests/live", "loader/tests", "mmap-ring/tests", "perf-reader/tests", "programs/tests"] {
            read(&tools::root().join(folder), &mut text);
        }
        text
    }

    /// Returns whether a test's name begins so: a function's, or the label of tests that are made in a loop.
    fn is_a_test(name: &str, sources: &str) -> bool {
        // `llvm-objdump_`: the label is made of the tool's name.
        let tool = format!("\"{}\"", name.trim_end_matches('_'));
        let of_a_tool = sources.contains(&tool) && sources.contains("format!(\"{tool}_");
        of_a_tool || [format!("fn {name}"), format!("\"{name}")].iter().any(|text| sources.contains(text))
    }

    /// Returns whether a package has such a test binary.
    fn is_a_binary(package: &str, binary: &str) -> bool {
        let manifests = ["cli", "loader", "mmap-ring", "perf-reader", "programs", "sys", "tests/vm", "tests/xtask"];
        manifests.iter().any(|folder| {
            let folder = tools::root().join(folder);
            let manifest = std::fs::read_to_string(folder.join("Cargo.toml")).unwrap();
            let declared =
                manifest.split("[[test]]").skip(1).any(|test| test.contains(&format!("name = \"{binary}\"")));
            let tests = folder.join("tests");
            manifest.contains(&format!("\nname = \"{package}\"\n"))
                && (binary.is_empty()
                    || declared
                    || tests.join(format!("{binary}.rs")).exists()
                    || tests.join(binary).join("main.rs").exists())
        })
    }

    /// A name that leaves nothing out belongs to a test that was renamed, and now runs where it must not.
    #[test]
    fn every_left_out_test_exists() {
        let sources = sources();
        let words = ON_THE_HOST.iter().chain(SUITE).chain(READERS).chain(ONE);
        let missing: Vec<_> = words
            .filter(|word| match (word.strip_prefix("--skip="), word.strip_prefix("--exclude=")) {
                (Some(name), _) => !is_a_test(name, &sources),
                (_, Some(name)) => {
                    let (package, binary) = name.split_once("::").unwrap_or((name, ""));
                    !is_a_binary(package, binary)
                }
                _ => false,
            })
            .collect();
        assert!(missing.is_empty(), "{missing:?}");
        assert!(!is_a_test("renamed_since", &sources) && !is_a_binary("cutaway", "renamed"));
    }

    /// A test that is skipped on every kernel fails the run, so what skips itself on one CPU must be left out there.
    #[test]
    fn every_test_that_needs_two_cpus_is_left_out_on_one() {
        let mut sources = String::new();
        for entry in std::fs::read_dir(tools::root().join("perf-reader/tests/live")).unwrap().map(Result::unwrap) {
            sources += &std::fs::read_to_string(entry.path()).unwrap();
        }
        let needing: Vec<_> = sources
            .split("\nfn ")
            .filter(|function| function.contains("\"needs two CPUs\""))
            .filter_map(|function| function.split('(').next())
            .collect();
        assert!(needing.len() >= 2, "{needing:?}");
        let is_left_out = |name: &str| {
            let mut skips = ON_THE_HOST.iter().chain(ONE).filter_map(|word| word.strip_prefix("--skip="));
            skips.any(|skip| name.contains(skip))
        };
        let missing: Vec<_> = needing.iter().filter(|name| !is_left_out(name)).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }
}
