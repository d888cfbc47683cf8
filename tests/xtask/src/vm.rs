//! `cargo xtask vm`: builds the VM command and replaces itself with it. Without a binary it runs this project's suite.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use crate::tools::{self, Outcome};

/// The arguments after `vm`: all are the VM command's, `--help` included.
#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Args {
    /// Arguments of the VM command: see `cargo xtask vm --help`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGS")]
    arguments: Vec<OsString>,
}

/// Excludes the tests that do not test a kernel: they run only on the host.
const ON_THE_HOST: &[&str] = &[
    // The VM runner, the routines of the repository, the protocols over a fake kernel, the assembler, arithmetic on
    // BTF.
    "--exclude=cutaway-vm::*",
    "--exclude=xtask::*",
    // Tests with shells and man(1): the guest has neither.
    "--exclude=cutaway-cli::shell",
    "--exclude=cutaway::broken",
    "--exclude=cutaway::core_relo",
    "--exclude=cutaway::readers",
    "--exclude=cutaway-programs::encoding",
    "--exclude=cutaway-programs::labels",
    "--exclude=cutaway-programs::object",
    "--exclude=cutaway-programs::types",
    "--exclude=perf-reader::protocol",
    // The corpora of the fuzz targets are files of the repository.
    "--exclude=perf-reader::fuzz_replay",
    "--exclude=mmap-ring::fuzz_replay",
    // Would take hours in an emulator.
    "--exclude=perf-reader::mutants",
    "--skip=soak_of_",
    "--skip=merged_task_events_are_in_causal_order",
    // Need two CPUs that run at the same time.
    "--skip=busy_record_at_the_head_lets_the_reader_sleep",
    "--skip=trailing_release_refuses_no_large_record",
    "--skip=large_programs_are_loaded_by_helpers",
];

/// The arguments of the whole suite: the files that it needs in a guest, and the tests that it skips there.
const SUITE: &[&str] = &[
    "--skip=every_truncation_is_an_error",
    "--skip=no_flipped_bit_makes_parsing_panic",
    "--skip=truncated_object_gets_one_sentence",
    "--skip=every_corpus_object_is_inspected",
    "--skip=damaged_object_gets_one_message",
    // Compares this loader with itself: the kernel's verdict is the same in both loads.
    "--skip=threads_refuse_what_one_thread_refuses",
    // The same calls by another reader of objects.
    "--skip=thousand_calls_arrive_by_own_reader",
    // Runs only for `cargo xtask instrumented`, which compiles the objects: nothing in a guest can.
    "--skip=objects_of_a_directory",
    // Measures for minutes; `compare_matrix.rs` runs it.
    "--exclude=cutaway-cli::compare",
    // Examples of the help. The commands have tests of their own.
    "--skip=help_example_of_",
    "--skip=examples_of_the_help_work",
    // End before they ask a kernel: wrong arguments, objects that are only read, the form of a table.
    "--skip=wrong_usage_",
    "--skip=option_without_effect_",
    "--skip=relocations_are_shown_at_their_instructions",
    "--skip=line_says_whether_readers_agree",
    "--skip=core_against_own_types_changes_nothing",
    "--skip=foreign_byte_order_is_inspected_alike",
    "--skip=garbage_gets_one_clear_sentence",
    "--skip=table_of_features_has_80_columns",
    // Need a kernel without a feature that all kernels of the matrix have.
    "--skip=missing_trampolines_are_named",
    "--skip=missing_kprobes_are_one_reason",
    // A thousand processes are too many for an emulator.
    "--skip=thousand_processes_are_searched_quickly",
    // Read object files with other tools, which are not in the guest.
    "--skip=bpftool_",
    "--skip=llvm-objdump_",
    "--skip=readelf_",
    // Needs Python, which is not in the guest.
    "--skip=snapshots_of_a_python_ring_consume_nothing",
    // The program whose resolver calls are traced, and the programs that start it.
    "--bring=getent",
    "--bring=sh",
    "--bring=cat",
    "--bring=echo",
    "--bring=true",
    "--bring=false",
    "--bring=date",
    "--bring=sleep",
    concat!("--bring=", env!("CARGO_MANIFEST_DIR"), "/../corpus"),
    // Traffic control, and the file system of containers.
    "--module=sch_ingress",
    "--module=cls_bpf",
    "--module=overlay",
    // The files of all tests and what tests leave in /tmp take more than half of the default.
    "--memory=768",
    "--env=PROPTEST_CASES=16",
    // The calls of tests that count many: a fifth of those on a machine.
    "--env=CUTAWAY_TEST_CALLS=1000",
    // A guest under emulation uses one CPU; every test machine has two.
    "--guests=2",
    // A test may take CPUs of a guest offline, but not those of a developer's machine.
    "--env=PERF_READER_HOTPLUG=1",
];

/// The architecture of this machine, and the other one that guests can have.
const OWN: &str = std::env::consts::ARCH;
const ARM64: &str = "aarch64";

/// Returns the suite's arguments for guests of an architecture.
///
/// Without musl on the machine no guest like it has it either. A test that is ignored in all guests would fail the
/// matrix, so the test of musl is skipped. The files of another architecture's guests are not this machine's.
fn suite(arch: &str) -> Vec<String> {
    // The loader of musl, the other C library, at the path that its programs name.
    let musl = format!("/lib/ld-musl-{arch}.so.1");
    let musl = if arch != OWN || Path::new(&musl).exists() {
        format!("--bring={musl}")
    } else {
        eprintln!("xtask: {musl} is not on this machine (package musl): every_c_library_in_use_is_traced is skipped");
        "--skip=every_c_library_in_use_is_traced".to_owned()
    };
    let bpftool = if arch == OWN && tools::works("bpftool", &["version"]) {
        // It compares all helpers: each test of them tries thousands of programs.
        ["--bring=bpftool", "--skip=helpers_depend_on_the_program_type"].map(str::to_owned).to_vec()
    } else {
        eprintln!("xtask: bpftool for {arch} is not on this machine: what it finds of a kernel is not compared");
        vec!["--skip=features_are_those_of_bpftool".to_owned()]
    };
    ON_THE_HOST.iter().chain(SUITE).map(|&word| word.to_owned()).chain([musl]).chain(bpftool).collect()
}

/// Returns the architecture that the VM command's arguments name: the last one, if there are several.
fn arch_in(words: &[OsString]) -> String {
    let mut arch = OWN.to_owned();
    let mut words = words.iter().filter_map(|word| word.to_str());
    while let Some(word) = words.next() {
        let value = word.strip_prefix("--arch=").or_else(|| (word == "--arch").then(|| words.next()).flatten());
        arch = value.map_or(arch, str::to_owned);
    }
    if arch == "arm64" { ARM64.to_owned() } else { arch }
}

/// Replaces this process with the VM command. Returns only if the command could not be started.
pub(crate) fn run(_accepted: &Args) -> ExitCode {
    let program = match command() {
        Ok(program) => program,
        Err(why) => return refuse(&why),
    };
    // As they were typed: clap removes the first `--`.
    let typed: Vec<OsString> = std::env::args_os().skip_while(|word| word != "vm").skip(1).collect();
    let mut command = Command::new(&program);
    if !typed.iter().any(|word| word == "--") {
        command.args(suite(&arch_in(&typed)));
    }
    let error = command.args(typed).exec();
    refuse(&format!("cannot run {}: {error}", program.display()))
}

/// Runs this project's suite on every available kernel of the matrix.
pub(crate) fn matrix() -> tools::Result {
    if let Some(why) = no_emulator() {
        return Ok(Outcome::Skipped(why));
    }
    on_all_kernels(&suite(OWN).iter().map(String::as_str).collect::<Vec<_>>())
}

/// Excludes the remaining tests that do not test the readers.
const READERS: &[&str] = &[
    "--exclude=cutaway::*",
    "--exclude=cutaway-cli::*",
    "--exclude=cutaway-programs::*",
    "--exclude=mmap-ring::examples",
];

/// Skips the tests that need two CPUs: one to take offline, or two to compare.
const ONE: &[&str] = &[
    "--cpus=1",
    "--skip=cpu_goes_offline",
    "--skip=cpu_comes_online",
    "--skip=offline_cpus_have_slots",
    "--skip=busy_cpu_does_not_keep_a_drain_that_breaks_from_the_others",
    "--skip=refresh_that_fails_on_one_cpu_looks_at_the_others",
];

/// Tests both readers on machines with one CPU, and on machines with more possible CPUs than online ones.
pub(crate) fn few_cpus() -> tools::Result {
    const MORE_POSSIBLE: &[&str] = &["--cpus=2", "--max-cpus=4", "--env=PERF_READER_HOTPLUG=1"];
    if let Some(why) = no_emulator() {
        return Ok(Outcome::Skipped(why));
    }
    // A test binary of an excluded package cannot be excluded once more.
    let is_excluded = |word: &str| READERS.iter().any(|others| word.starts_with(others.trim_end_matches('*')));
    let on_the_host: Vec<_> = ON_THE_HOST.iter().copied().filter(|word| !is_excluded(word)).collect();
    // One guest per kernel, and two CPUs on every test machine.
    let both = ["--parallel=2"];
    let one = on_all_kernels(&[&on_the_host, READERS, ONE, &both].concat());
    let more = on_all_kernels(&[&on_the_host, READERS, MORE_POSSIBLE, &both].concat());
    one.and(more)
}

/// Runs the VM command with these arguments. Skipped if no kernel is available.
pub(crate) fn on_all_kernels(arguments: &[&str]) -> tools::Result {
    const NO_KERNEL: i32 = 3;
    let program = command()?;
    eprintln!("$ {} {}", program.display(), arguments.join(" "));
    match Command::new(&program).args(arguments).status() {
        Ok(status) if status.success() => Ok(Outcome::Done),
        Ok(status) if status.code() == Some(NO_KERNEL) => {
            Ok(Outcome::Skipped("no kernel is available here".to_owned()))
        }
        Ok(status) => Err(format!("cutaway-vm failed: {status}")),
        Err(error) => Err(format!("cannot run {}: {error}", program.display())),
    }
}

/// Tests the VM command's reports of guests that panic, hang, print false reports, and take all CPU time or memory.
pub(crate) fn sick() -> tools::Result {
    match no_emulator() {
        Some(why) => Ok(Outcome::Skipped(why)),
        // `--workspace` selects the features of dependencies that the tests have been built with.
        None => tools::cargo(
            &[
                "test",
                "--workspace",
                "--test",
                "boot",
                "--test",
                "saved",
                "--test",
                "compat",
                "--test",
                "merge",
                "--",
                "--include-ignored",
                // An emulated guest uses one CPU, and every test machine has two.
                "--test-threads=2",
            ],
            &[],
        ),
    }
}

/// The kernel of the guests for arm64: 6.1 has no trampolines for `fentry` there.
const ARM64_KERNEL: &str = "--kernel=6.12";

/// The test binaries for arm64: the loader's and the readers' live tests, and with `boot` the program that becomes the
/// guest's process 1. The suite takes a quarter of an hour to build and run: `cargo xtask vm --arch aarch64`.
const ARM64_TESTS: &[&str] = &["--cargo-arg=--test=live", "--cargo-arg=--test=boot", "--exclude=cutaway-vm::*"];

/// The beginnings of the VM command's reasons why this machine has no guests for arm64.
const NO_ARM64: &[&str] =
    &["no kernel 6.12", "no libraries for aarch64", "Rust's standard library for aarch64-unknown-linux-gnu"];

/// Runs the loader's and the readers' live tests on a kernel for arm64. Skipped where there are no guests for it.
pub(crate) fn arm64() -> tools::Result {
    const EMULATOR: &str = "qemu-system-aarch64";
    if OWN == ARM64 {
        return Ok(Outcome::Skipped("this machine is arm64: its own tests and guests are".to_owned()));
    }
    if !tools::works(EMULATOR, &["--version"]) {
        return Ok(Outcome::Skipped(format!("{EMULATOR} is not on this machine")));
    }
    let program = command()?;
    let arch = ["--arch=aarch64", ARM64_KERNEL];
    // Boots a guest, so that only a missing part is a reason to skip.
    let tried = Command::new(&program).args(arch).args(["--", "true"]).output();
    let tried = tried.map_err(|error| format!("cannot run {}: {error}", program.display()))?;
    let said = String::from_utf8_lossy(&[tried.stdout, tried.stderr].concat()).into_owned();
    if !tried.status.success() {
        let reason = NO_ARM64.iter().find_map(|reason| said.lines().find(|line| line.contains(reason)));
        return match reason {
            Some(line) => Ok(Outcome::Skipped(line.trim().to_owned())),
            None => Err(format!("a guest for arm64 runs nothing: {}", said.trim())),
        };
    }
    let suite = suite(ARM64);
    // A test binary that is not built cannot be excluded.
    let words = suite.iter().map(String::as_str).filter(|word| !word.starts_with("--exclude="));
    on_all_kernels(&arch.into_iter().chain(ARM64_TESTS.iter().copied()).chain(words).collect::<Vec<_>>())
}

pub(crate) fn no_emulator() -> Option<String> {
    const EMULATOR: &str = "qemu-system-x86_64";
    (!tools::works(EMULATOR, &["--version"])).then(|| format!("{EMULATOR} is not on this machine"))
}

/// Builds the VM command and returns its path.
fn command() -> Result<PathBuf, String> {
    tools::programs()?;
    // Cargo puts both programs into one directory. `cargo run` would run the VM command in itself if it is cargo's
    // runner.
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

    /// Returns the sources of all tests: those of the packages, and those in `tests/live`.
    fn sources() -> String {
        fn read(directory: &Path, text: &mut String) {
            for entry in std::fs::read_dir(directory).unwrap().map(Result::unwrap) {
                let path = entry.path();
                if path.is_dir() {
                    read(&path, text);
                } else if path.extension().is_some_and(|extension| extension == "rs") {
                    text.push_str(&std::fs::read_to_string(path).unwrap());
                }
            }
        }
        let mut text = String::new();
        for directory in ["tests/live", "loader/tests", "mmap-ring/tests", "perf-reader/tests", "programs/tests"] {
            read(&tools::root().join(directory), &mut text);
        }
        text
    }

    /// Returns whether the name of a test begins with `name`: of a function, or of tests that are made in a loop.
    fn is_a_test(name: &str, sources: &str) -> bool {
        // `llvm-objdump_`: the name of such a test begins with the tool's name.
        let tool = format!("\"{}\"", name.trim_end_matches('_'));
        let with_tool = sources.contains(&tool) && sources.contains("format!(\"{tool}_");
        with_tool || [format!("fn {name}"), format!("\"{name}")].iter().any(|text| sources.contains(text))
    }

    /// Returns whether a package has a test binary of this name.
    fn is_a_binary(package: &str, binary: &str) -> bool {
        let manifests =
            ["cli", "loader", "mmap-ring", "perf-reader", "programs", "recording", "sys", "tests/vm", "tests/xtask"];
        manifests.iter().any(|directory| {
            let directory = tools::root().join(directory);
            let manifest = std::fs::read_to_string(directory.join("Cargo.toml")).unwrap();
            let declared =
                manifest.split("[[test]]").skip(1).any(|test| test.contains(&format!("name = \"{binary}\"")));
            let tests = directory.join("tests");
            manifest.contains(&format!("\nname = \"{package}\"\n"))
                && (binary.is_empty()
                    || declared
                    || tests.join(format!("{binary}.rs")).exists()
                    || tests.join(binary).join("main.rs").exists())
        })
    }

    #[test]
    fn architecture_is_found_among_the_arguments() {
        let of = |words: &[&str]| arch_in(&words.iter().map(OsString::from).collect::<Vec<_>>());
        assert_eq!(of(&["--kernel", "6.1"]), OWN);
        assert_eq!(of(&["--arch", "aarch64", "--kernel", "6.1"]), "aarch64");
        assert_eq!(of(&["--arch=x86_64", "--arch=arm64"]), "aarch64");
        assert!(suite("aarch64").contains(&"--bring=/lib/ld-musl-aarch64.so.1".to_owned()) || OWN == ARM64);
    }

    /// A name that skips no test is the old name of a renamed test, which now runs where it must not.
    #[test]
    fn every_skipped_test_exists() {
        let sources = sources();
        let words = ON_THE_HOST.iter().chain(SUITE).chain(READERS).chain(ONE).chain(ARM64_TESTS);
        let missing: Vec<_> = words
            .filter(|word| match (word.strip_prefix("--skip="), word.strip_prefix("--exclude=")) {
                (Some(name), _) => !is_a_test(name, &sources),
                (_, Some(name)) => {
                    let (package, binary) = name.split_once("::").unwrap_or((name, ""));
                    !is_a_binary(package, binary.trim_end_matches('*'))
                }
                _ => false,
            })
            .collect();
        assert!(missing.is_empty(), "{missing:?}");
        assert!(!is_a_test("renamed_since", &sources) && !is_a_binary("cutaway", "renamed"));
    }

    /// A test that is ignored on every kernel fails the run, so tests that need two CPUs must be skipped on one.
    #[test]
    fn tests_that_need_two_cpus_are_skipped_on_one() {
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
        let is_skipped = |name: &str| {
            let mut skips = ON_THE_HOST.iter().chain(ONE).filter_map(|word| word.strip_prefix("--skip="));
            skips.any(|skip| name.contains(skip))
        };
        let missing: Vec<_> = needing.iter().filter(|name| !is_skipped(name)).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }
}
