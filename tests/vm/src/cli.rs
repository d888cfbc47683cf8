//! The command line.

use std::ffi::OsString;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use crate::accel::Choice;
use crate::cache::Cache;
use crate::compat;
use crate::coverage;
use crate::error::{Error, Result, chain};
use crate::interrupt;
use crate::kernel::{MATRIX, Request};
use crate::libtest::{self, Arguments};
use crate::listing;
use crate::matrix::Job;
use crate::plan::{Binary, Plan};
use crate::progress::{Detail, Screen};
use crate::report::{Matrix, junit, lines, table};
use crate::run::Limits;
use crate::saved::command as saved;
use crate::slice::Slice;
use crate::suite;

/// Run test binaries as root on chosen kernels, in throw-away virtual machines
///
/// Without BINARY, builds the workspace of the current directory and runs its
/// integration tests. With BINARY, runs BINARY once. Exception: a Rust test
/// harness, the program that `cargo test` builds, runs once for each test, each
/// time in a new process.
///
/// If the following variable is set, Cargo starts test binaries with cutaway-vm.
/// Plain `cargo test` then runs the tests in a guest (a virtual machine).
/// CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER="cutaway-vm --kernel 6.1 --"
///
/// `cutaway-vm compat --help` describes the check of BPF objects.
///
/// Exit status: 0 if everything passed; 1 if anything failed or could not be
/// done; 2 for wrong usage; 3 if no kernel was named and none of the default
/// kernels is available; 130 if interrupted. If BINARY runs once, exactly one
/// kernel was named, and the guest ends cleanly, the exit status is BINARY's.
#[derive(Debug, Parser)]
#[command(name = "cutaway-vm", version, args_override_self = true, verbatim_doc_comment)]
pub struct Args {
    /// Kernel version or `newest` (repeatable)
    ///
    /// A version is 5.10 or 6.12.107, for example. The tests run on every
    /// kernel that is named.
    ///
    /// Default without --image: 5.10, 6.1, 6.12 and newest.
    #[arg(long = "kernel", value_name = "VERSION", verbatim_doc_comment)]
    kernels: Vec<Request>,
    /// File of a kernel image, a bzImage (repeatable)
    ///
    /// The kernel may be of any distribution.
    #[arg(long = "image", value_name = "FILE")]
    images: Vec<PathBuf>,
    /// Number of CPUs of each guest
    ///
    /// From 1 to 255.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=255))]
    cpus: u32,
    /// Maximum number of CPUs of each guest
    ///
    /// From 1 to 255. Default: the value of --cpus. A guest boots with the
    /// number of CPUs in --cpus. The others are absent at boot, but the
    /// guest's kernel lists them in /sys/devices/system/cpu/possible.
    #[arg(verbatim_doc_comment)]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=255))]
    max_cpus: Option<u32>,
    /// Memory of each guest in MiB, at least 64
    ///
    /// Default: 512, or more if the files in the guest need it.
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u64).range(64..))]
    memory: Option<u64>,
    /// Time limit of each guest in seconds
    #[arg(long, value_name = "SECS", default_value_t = 900, value_parser = clap::value_parser!(u64).range(1..))]
    timeout: u64,
    /// Time limit of each test in seconds
    #[arg(long, value_name = "SECS", default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..))]
    test_timeout: u64,
    /// Seconds of silence that mean a hang
    ///
    /// A guest sends a message every second. If no message comes for SECS
    /// seconds, the guest counts as hung and is ended. SECS is at least 5.
    /// While a guest boots, --boot-timeout applies.
    #[arg(verbatim_doc_comment)]
    #[arg(long, value_name = "SECS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(5..))]
    hang_timeout: u64,
    /// Seconds without progress that end a boot
    ///
    /// Until its first message, a guest makes progress if its console grows.
    /// Default: 90, or --hang-timeout if that is larger.
    #[arg(long, value_name = "SECS", value_parser = clap::value_parser!(u64).range(5..), verbatim_doc_comment)]
    boot_timeout: Option<u64>,
    /// Accelerator: auto (default), kvm, tcg (emulation)
    ///
    /// auto: KVM where it works, software emulation elsewhere
    /// kvm:  KVM, or an error if it does not work
    /// tcg:  software emulation
    #[arg(
        long,
        value_enum,
        default_value_t,
        hide_default_value = true,
        hide_possible_values = true,
        verbatim_doc_comment
    )]
    accel: Choice,
    /// Kernels to run at the same time
    #[arg(long, value_name = "N", default_value_t = 1)]
    parallel: usize,
    /// Number of guests per kernel
    ///
    /// The tests of a kernel are divided among its guests, which run at the
    /// same time. Under software emulation each guest uses one CPU of this
    /// machine.
    #[arg(verbatim_doc_comment)]
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..))]
    guests: u8,
    /// Give each test a guest of its own
    ///
    /// A test that breaks its kernel then fails alone. Under software
    /// emulation the guests are restored from a saved one. With --guests N,
    /// N tests run at the same time.
    #[arg(long, verbatim_doc_comment)]
    fresh: bool,
    /// Boot each guest instead of restoring a saved one
    ///
    /// Default: under software emulation, and with BINARY or --fresh, a
    /// booted guest is saved in the cache, and later runs with the same files
    /// restore it. `cutaway-vm saved` lists the saved guests.
    #[arg(long, verbatim_doc_comment)]
    no_saved: bool,
    /// Limit of all saved guests in MiB
    ///
    /// A run that saves a guest then removes the least recently used ones,
    /// and those that no run has used for a week.
    #[arg(long, value_name = "MIB", default_value_t = 4096, verbatim_doc_comment)]
    saved_limit: u64,
    /// Run only the tests of shard K of N
    ///
    /// For N machines that divide the tests among them. A hash of the test's
    /// name decides: each test is in one shard, the same on every kernel, and
    /// a new test moves no other. BINARY must be a test harness.
    #[arg(long, value_name = "K/N", verbatim_doc_comment)]
    shard: Option<Slice>,
    /// Keep each guest's files
    ///
    /// The files are the console log, QEMU's messages, the initramfs, and the
    /// files that the tests write to $CUTAWAY_VM_RESULTS. Without --results,
    /// prints the path of the files.
    #[arg(long, verbatim_doc_comment)]
    keep: bool,
    /// Directory for console logs and the tests' files
    ///
    /// DIR gets a directory for each kernel. The tests' files are the files
    /// that the tests write to $CUTAWAY_VM_RESULTS.
    #[arg(long, value_name = "DIR", verbatim_doc_comment)]
    results: Option<PathBuf>,
    /// Collect BPF coverage of the tests' processes
    ///
    /// Sets CUTAWAY_COVERAGE in the guests. A process that loads BPF objects
    /// with the crate cutaway then leaves reports of the source lines that
    /// ran. DIR/KERNEL gets these reports, in the format of lcov, and
    /// DIR/all.info gets all of them, merged.
    #[arg(long, value_name = "DIR", verbatim_doc_comment)]
    coverage: Option<PathBuf>,
    /// Write a JUnit XML report
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Copy a file, directory or program into the guest
    ///
    /// If PATH is a name without a slash, cutaway-vm also searches for a
    /// program of that name, as a shell does. The copy has the same path in
    /// the guest. Repeatable.
    #[arg(long, value_name = "PATH", verbatim_doc_comment)]
    bring: Vec<PathBuf>,
    /// Set an environment variable (repeatable)
    ///
    /// Without VALUE, the guest gets this machine's value.
    #[arg(long, value_name = "NAME[=VALUE]")]
    env: Vec<String>,
    /// Append to the kernel command line (repeatable)
    #[arg(long, value_name = "WORD")]
    append: Vec<String>,
    /// Exclude a package or a test binary (repeatable)
    ///
    /// PACKAGE is not built. PACKAGE::TEST and PACKAGE::* (all test binaries
    /// of PACKAGE) are built, but do not run. So nothing is built again if
    /// `cargo test --workspace` has run before: without a package, Cargo may
    /// build its dependencies with other features.
    #[arg(long, value_name = "PACKAGE", help_heading = WITHOUT_BINARY, verbatim_doc_comment)]
    exclude: Vec<String>,
    /// Argument for `cargo test --no-run` (repeatable)
    #[arg(long, value_name = "ARG", allow_hyphen_values = true, help_heading = WITHOUT_BINARY)]
    cargo_arg: Vec<String>,
    /// Run only tests with TEXT in the name (repeatable)
    #[arg(long, value_name = "TEXT", help_heading = WITHOUT_BINARY)]
    filter: Vec<String>,
    /// Skip tests with TEXT in the name (repeatable)
    #[arg(long, value_name = "TEXT", help_heading = WITHOUT_BINARY)]
    skip: Vec<String>,
    /// Run the unit tests too
    #[arg(long, help_heading = WITHOUT_BINARY)]
    unit_tests: bool,
    /// Bytes of output kept per test
    ///
    /// Keeps the first BYTES bytes of the output, and the last 16 KiB of the
    /// rest. Drops the bytes between them.
    #[arg(long, value_name = "BYTES", default_value_t = 4 << 20, verbatim_doc_comment)]
    output_limit: u64,
    /// Keep debug sections of the guest's executables
    ///
    /// They are large. Backtraces need them to show source lines.
    #[arg(long)]
    debug_info: bool,
    /// Run BINARY once even if it is a test harness
    #[arg(long)]
    plain: bool,
    /// Query the archives of kernel packages now
    ///
    /// Default: query them if the last query was a week ago or more.
    #[arg(long)]
    refresh: bool,
    /// Another action than a run
    #[command(subcommand)]
    action: Option<Action>,
    /// Binary to run, and its arguments
    #[arg(last = true, value_name = "BINARY ARGS")]
    command: Vec<OsString>,
}

/// Another action than a run.
#[derive(Debug, clap::Subcommand)]
enum Action {
    /// List the saved guests, or remove them
    Saved {
        /// Remove the saved guests that no run uses
        #[arg(long)]
        clear: bool,
    },
}

/// The heading of the options that have no meaning for a BINARY.
const WITHOUT_BINARY: &str = "Options without BINARY";

/// The exit status if none of the default kernels is available, so that the tests' results are unknown.
const NO_KERNEL: u8 = 3;

/// Runs the command line of this process.
#[must_use]
pub fn main() -> ExitCode {
    if let Some(code) = compat::run_if_named() {
        return code;
    }
    interrupt::watch();
    match Args::parse().run() {
        Ok(code) => code,
        Err(Error::Interrupted) => ExitCode::from(130),
        Err(error) => {
            eprintln!("cutaway-vm: {}", chain(&error));
            ExitCode::FAILURE
        }
    }
}

impl Args {
    /// Runs the command.
    ///
    /// # Errors
    /// The problem that prevented the guests from running. The tests' results are printed, and determine the exit code.
    pub fn run(&self) -> Result<ExitCode> {
        let cache = Cache::open()?;
        if let Some(Action::Saved { clear }) = self.action {
            print!("{}", if clear { saved::clear(&cache)? } else { saved::list(&cache)? });
            return Ok(ExitCode::SUCCESS);
        }
        let (plan, bring) = self.work()?;
        if let Some(list) = listing::on_host(&plan) {
            let mut out = std::io::stdout().lock();
            out.write_all(&list).map_err(Error::file("write", "the standard output"))?;
            return Ok(ExitCode::SUCCESS);
        }
        // One plain program on one kernel behaves as if it ran directly.
        let requests = self.requests();
        let verbatim =
            plan.binaries.iter().any(|binary| !binary.harness || Arguments::parse(&binary.arguments).verbatim);
        let transparent = verbatim && plan.binaries.len() == 1 && requests.len() == 1;
        let uncaptured = plan
            .binaries
            .iter()
            .any(|binary| binary.arguments.iter().any(|word| word == "--nocapture" || word == "--no-capture"));
        let detail = match (transparent, requests.len()) {
            (true, _) => Detail::Output,
            (_, 1) if uncaptured => Detail::Output,
            (_, 1) => Detail::Tests,
            _ => Detail::Kernels,
        };
        let screen = Screen::new(detail);
        let temporary = tempfile::Builder::new()
            .prefix("cutaway-vm-")
            .tempdir()
            .map_err(Error::file("create", std::env::temp_dir()))?;
        let folder = match &self.results {
            Some(folder) => absolute(folder)?,
            None => temporary.path().to_path_buf(),
        };
        let limit = Duration::from_secs;
        let mut job = Job {
            plan,
            bring,
            cpus: self.cpus,
            max_cpus: self.max_cpus.unwrap_or(self.cpus),
            memory_mib: self.memory,
            append: self.append.clone(),
            choice: self.accel,
            limits: Limits {
                boot: limit(self.boot_timeout.unwrap_or(self.hang_timeout.max(90))),
                silence: limit(self.hang_timeout),
                whole: limit(self.timeout),
            },
            keep_debug: self.debug_info,
            folder,
            keep: self.keep,
            parallel: self.parallel,
            guests: self.guests.into(),
            fresh: self.fresh,
            // The binaries of a workspace have usually just been built, so that no earlier run can have saved them.
            saves: !self.no_saved && (self.fresh || !self.command.is_empty()),
            saved_limit: self.saved_limit.saturating_mul(1 << 20),
            refresh: self.refresh,
            coverage: self.coverage.as_ref().map(|path| absolute(path)).transpose()?,
        };
        let named = !self.kernels.is_empty() || !self.images.is_empty();
        let matrix = job.run(&requests, named, &cache, &screen)?;
        self.print_report(&matrix, detail)?;
        if let Some(directory) = &job.coverage {
            let merged = coverage::merge(directory, matrix.guests.iter().map(|guest| guest.name.as_str()))?;
            eprintln!("{}", coverage::outcome(merged.as_deref()));
        }
        let own_failure = transparent && matrix.guests.iter().all(|guest| guest.end == crate::report::End::Clean);
        let worth_keeping = !matrix.guests.is_empty() && !matrix.succeeded() && !own_failure;
        if self.results.is_none() && (self.keep || worth_keeping) {
            eprintln!("kept: {}", temporary.keep().display());
        }
        Ok(exit_code(&matrix, transparent))
    }

    fn requests(&self) -> Vec<Request> {
        if self.kernels.is_empty() && self.images.is_empty() {
            return MATRIX.iter().filter_map(|name| name.parse().ok()).collect();
        }
        let mut requests = self.kernels.clone();
        requests.extend(self.images.iter().cloned().map(Request::Image));
        let mut unique = Vec::new();
        for request in requests {
            if !unique.contains(&request) {
                unique.push(request);
            }
        }
        unique
    }

    /// Returns the plan of the guests, and the files it needs.
    fn work(&self) -> Result<(Plan, Vec<PathBuf>)> {
        let mut plan = Plan {
            test_seconds: self.test_timeout,
            output_limit: self.output_limit,
            slice: self.shard,
            ..Plan::default()
        };
        let mut bring = Vec::new();
        for path in &self.bring {
            bring.push(found(path)?);
        }
        // Variables that control Rust programs.
        plan.environment.extend(std::env::vars().filter(|(name, _)| name.starts_with("RUST_")));
        match self.command.split_first() {
            Some((program, arguments)) => self.one_binary(&mut plan, &mut bring, Path::new(program), arguments)?,
            None => self.workspace(&mut plan, &mut bring)?,
        }
        // The search path of the host's dynamic loader: its libraries have the same paths in the guest.
        const LIBRARIES: &str = "LD_LIBRARY_PATH";
        let passed_on = std::iter::once(LIBRARIES).chain(self.env.iter().map(String::as_str));
        for word in passed_on {
            match word.split_once('=') {
                Some((name, value)) => plan.environment.insert(name.to_owned(), value.to_owned()),
                None => std::env::var(word).ok().and_then(|value| plan.environment.insert(word.to_owned(), value)),
            };
        }
        if self.coverage.is_some() {
            coverage::request(&mut plan);
        }
        Ok((plan, bring))
    }

    fn one_binary(
        &self,
        plan: &mut Plan,
        bring: &mut Vec<PathBuf>,
        program: &Path,
        arguments: &[OsString],
    ) -> Result<()> {
        let path = found(program)?;
        let bytes = std::fs::read(&path).map_err(Error::file("read", &path))?;
        let harness = !self.plain && libtest::is_harness(&bytes);
        if self.shard.is_some() && !harness {
            return Err(Error::NoTests { path });
        }
        let directory = std::env::current_dir().map_err(Error::file("find", "the current directory"))?;
        for (name, value) in std::env::vars() {
            // Pass on the variables that cargo sets for a test; drop the rest of the host's environment.
            if name.starts_with("CARGO_PKG_") || name == "CARGO_MANIFEST_DIR" {
                plan.environment.insert(name, value);
            } else if name.starts_with("CARGO_BIN_EXE_") {
                bring.push(PathBuf::from(&value));
                plan.environment.insert(name, value);
            }
        }
        if let Some(package) = plan.environment.get("CARGO_MANIFEST_DIR") {
            let tests = Path::new(package).join("tests");
            if tests.is_dir() && !tests.join("Cargo.toml").exists() {
                bring.push(tests);
            }
        }
        plan.binaries.push(Binary {
            label: suite::label_of(&path),
            path: path.display().to_string(),
            directory: directory.display().to_string(),
            arguments: arguments.iter().map(|word| word.to_string_lossy().into_owned()).collect(),
            harness,
            ..Binary::default()
        });
        Ok(())
    }

    fn workspace(&self, plan: &mut Plan, bring: &mut Vec<PathBuf>) -> Result<()> {
        let (tests, packages): (Vec<_>, Vec<_>) = self.exclude.iter().cloned().partition(|name| name.contains("::"));
        let mut extra: Vec<String> =
            packages.into_iter().flat_map(|package| ["--exclude".to_owned(), package]).collect();
        extra.extend(self.cargo_arg.iter().cloned());
        let mut suite = suite::build(self.unit_tests, &extra)?;
        for test in tests {
            let before = suite.binaries.len();
            suite.binaries.retain(|binary| !is_named(&binary.label, &test));
            if suite.binaries.len() == before {
                return Err(Error::NoSuchTest { test });
            }
        }
        for (name, path) in &suite.programs {
            let value = path.display().to_string();
            plan.environment.insert(format!("CARGO_BIN_EXE_{name}"), value.clone());
            plan.environment.insert(format!("{}_BIN", name.to_uppercase().replace('-', "_")), value);
            bring.push(path.clone());
        }
        bring.extend(suite.folders);
        let mut arguments = self.filter.clone();
        arguments.extend(self.skip.iter().flat_map(|text| ["--skip".to_owned(), text.clone()]));
        plan.binaries = suite.binaries;
        for binary in &mut plan.binaries {
            if binary.harness {
                binary.arguments.clone_from(&arguments);
            }
        }
        Ok(())
    }

    fn print_report(&self, matrix: &Matrix, detail: Detail) -> Result<()> {
        if let Some(path) = &self.junit {
            std::fs::write(path, junit::xml(matrix)?).map_err(Error::file("write", path))?;
        }
        let failures: String = matrix.guests.iter().map(lines::failures).collect();
        if detail == Detail::Output {
            // The program's output is already on stdout; print only what it does not contain.
            eprint!("{}", matrix.guests.iter().map(lines::unsaid).collect::<String>());
            if matrix.guests.iter().any(|guest| guest.end != crate::report::End::Clean) || !matrix.absent.is_empty() {
                eprint!("{}", lines::verdict(matrix));
            }
            return Ok(());
        }
        if !failures.is_empty() {
            println!("\n{failures}");
        }
        if detail == Detail::Kernels {
            println!("{}", table::draw(matrix, std::io::stdout().is_terminal()));
        }
        print!("{}", lines::verdict(matrix));
        Ok(())
    }
}

/// Returns true if `PACKAGE::TEST` or `PACKAGE::*` names the binary with this label.
fn is_named(label: &str, name: &str) -> bool {
    match name.strip_suffix("::*") {
        Some(package) => label.strip_prefix(package).is_some_and(|rest| rest.is_empty() || rest.starts_with("::")),
        None => label == name,
    }
}

fn exit_code(matrix: &Matrix, transparent: bool) -> ExitCode {
    if interrupt::seen() {
        return ExitCode::from(130);
    }
    if transparent
        && let [guest] = matrix.guests.as_slice()
        && let Some(code) = guest.exit_code
        && guest.end == crate::report::End::Clean
    {
        return ExitCode::from(u8::try_from(code & 0xff).unwrap_or(1));
    }
    if matrix.guests.is_empty() && matrix.absent.iter().all(|(_, _, named)| !named) {
        return ExitCode::from(NO_KERNEL);
    }
    if matrix.succeeded() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(Error::file("find", path))
}

/// Returns a path as it is, or the path of a program that is found by name in PATH, as a shell does.
fn found(path: &Path) -> Result<PathBuf> {
    let whole = absolute(path)?;
    if whole.exists() {
        return Ok(whole);
    }
    if path.components().count() == 1 {
        let folders = std::env::var_os("PATH").unwrap_or_default();
        if let Some(program) =
            std::env::split_paths(&folders).map(|folder| folder.join(path)).find(|path| path.is_file())
        {
            return Ok(program);
        }
    }
    Err(Error::File { attempt: "find", path: path.to_path_buf(), source: std::io::ErrorKind::NotFound.into() })
}

#[cfg(test)]
mod tests {
    use super::is_named;

    #[test]
    fn excluded_binaries_are_named_alone_or_by_package() {
        assert!(is_named("cutaway::live", "cutaway::live") && !is_named("cutaway::lives", "cutaway::live"));
        for label in ["cutaway", "cutaway::live", "cutaway::bin/tool"] {
            assert!(is_named(label, "cutaway::*"), "{label}");
        }
        assert!(!is_named("cutaway-vm::boot", "cutaway::*"));
    }
}
