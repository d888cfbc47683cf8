//! The command line.

use std::ffi::OsString;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use crate::accel::Choice;
use crate::cache::Cache;
use crate::error::{Error, Result, chain};
use crate::interrupt;
use crate::kernel::{MATRIX, Request};
use crate::libtest::{self, Arguments};
use crate::matrix::Job;
use crate::plan::{Binary, Plan};
use crate::progress::{Detail, Screen};
use crate::report::{Matrix, junit, lines, table};
use crate::run::Limits;
use crate::suite;

/// Runs test binaries as root on chosen kernels, in throw-away virtual machines.
///
/// Without BINARY: builds the workspace of the current folder and runs its integration tests. With BINARY: runs it,
/// each test in a process of its own if it holds a test harness, once otherwise. As cargo's runner
/// (CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER="cutaway-vm --kernel 6.1 --") it makes plain `cargo test` run in a
/// guest.
///
/// Exit status: 0 if everything passed, 1 if anything failed or could not be done, 2 for wrong usage, 3 if no kernel
/// was named and none can be had; that of BINARY if it is no test harness and one kernel was chosen.
#[derive(Debug, Parser)]
#[command(name = "cutaway-vm", version, args_override_self = true)]
pub struct Args {
    /// Kernel version (5.10, 6.1, 6.12.107) or `newest`; several make a matrix [default: 5.10 6.1 6.12 newest]
    #[arg(long = "kernel", value_name = "VERSION")]
    kernels: Vec<Request>,
    /// Kernel image (bzImage) by path, of any distribution; may be given several times
    #[arg(long = "image", value_name = "PATH")]
    images: Vec<PathBuf>,
    /// CPUs of a guest
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=255))]
    cpus: u32,
    /// CPUs possible in a guest, more than are there at boot
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=255))]
    max_cpus: Option<u32>,
    /// Memory of a guest in MiB [default: 512, or more if the tests' files need it]
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u64).range(64..))]
    memory: Option<u64>,
    /// Limit for one guest in all, seconds
    #[arg(long, value_name = "SECS", default_value_t = 900, value_parser = clap::value_parser!(u64).range(1..))]
    timeout: u64,
    /// Limit for one test, seconds
    #[arg(long, value_name = "SECS", default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..))]
    test_timeout: u64,
    /// A guest that is not heard for this long hangs (it beats every second), seconds
    #[arg(long, value_name = "SECS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(5..))]
    hang_timeout: u64,
    /// Who runs the guest's instructions
    #[arg(long, value_enum, default_value_t)]
    accel: Choice,
    /// Kernels that run at the same time
    #[arg(long, value_name = "N", default_value_t = 1)]
    parallel: usize,
    /// Guests that share one kernel's tests and run at the same time: under software emulation each uses one CPU
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..))]
    guests: u8,
    /// Keep consoles, files and initramfs of every guest, and say where
    #[arg(long)]
    keep: bool,
    /// Folder for consoles and for the files that tests left in $CUTAWAY_VM_RESULTS, one folder a kernel
    #[arg(long, value_name = "DIR")]
    results: Option<PathBuf>,
    /// Write a JUnit XML report
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Bring a file, folder or program (by path, or by name through PATH) into the guest, at its own path
    #[arg(long, value_name = "PATH")]
    bring: Vec<PathBuf>,
    /// Set a variable in the guest, or pass this machine's value on
    #[arg(long, value_name = "NAME[=VALUE]")]
    env: Vec<String>,
    /// Add a word to the kernel's command line
    #[arg(long, value_name = "WORD")]
    append: Vec<String>,
    /// Without BINARY: leave out a package of the workspace, or one of its test binaries
    #[arg(long, value_name = "PACKAGE[::TEST]")]
    exclude: Vec<String>,
    /// Without BINARY: one more argument for `cargo test --no-run`
    #[arg(long, value_name = "ARG", allow_hyphen_values = true)]
    cargo_arg: Vec<String>,
    /// Without BINARY: run only the tests whose names contain this
    #[arg(long, value_name = "TEXT")]
    filter: Vec<String>,
    /// Without BINARY: leave out the tests whose names contain this
    #[arg(long, value_name = "TEXT")]
    skip: Vec<String>,
    /// Without BINARY: run the unit tests too, not only the integration tests
    #[arg(long)]
    unit_tests: bool,
    /// Bytes of output kept of one test
    #[arg(long, value_name = "BYTES", default_value_t = 4 << 20)]
    output_limit: u64,
    /// Leave debug sections in the guest's executables (large; for source lines in backtraces)
    #[arg(long)]
    debug_info: bool,
    /// Run BINARY once even if it holds a test harness
    #[arg(long)]
    plain: bool,
    /// Ask the package archives again, instead of once a week
    #[arg(long)]
    refresh: bool,
    /// The binary to run and its arguments
    #[arg(last = true, value_name = "BINARY ARGS")]
    command: Vec<OsString>,
}

/// The exit status where none of the usual kernels can be had, so that nothing is known of the tests.
const NO_KERNEL: u8 = 3;

/// Runs the command line of this process.
#[must_use]
pub fn main() -> ExitCode {
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
    /// Does what the arguments say.
    ///
    /// # Errors
    /// What kept the guests from being run; what came of them is printed, and in the exit code.
    pub fn run(&self) -> Result<ExitCode> {
        let cache = Cache::open()?;
        let (plan, bring) = self.work()?;
        // One plain program on one kernel behaves like the program itself.
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
            .map_err(Error::file("make", std::env::temp_dir()))?;
        let folder = match &self.results {
            Some(folder) => std::path::absolute(folder).map_err(Error::file("find", folder))?,
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
                boot: limit(self.hang_timeout.max(90)),
                silence: limit(self.hang_timeout),
                whole: limit(self.timeout),
            },
            keep_debug: self.debug_info,
            folder,
            keep: self.keep,
            parallel: self.parallel,
            guests: self.guests.into(),
            refresh: self.refresh,
        };
        let named = !self.kernels.is_empty() || !self.images.is_empty();
        let matrix = job.run(&requests, named, &cache, &screen)?;
        self.tell(&matrix, detail)?;
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

    /// What the guests are to do, and the files for it.
    fn work(&self) -> Result<(Plan, Vec<PathBuf>)> {
        let mut plan = Plan { test_seconds: self.test_timeout, output_limit: self.output_limit, ..Plan::default() };
        let mut bring = Vec::new();
        for path in &self.bring {
            bring.push(found(path)?);
        }
        // What steers Rust programs.
        plan.environment.extend(std::env::vars().filter(|(name, _)| name.starts_with("RUST_")));
        match self.command.split_first() {
            Some((program, arguments)) => self.one_binary(&mut plan, &mut bring, Path::new(program), arguments)?,
            None => self.workspace(&mut plan, &mut bring)?,
        }
        // Where this machine's dynamic loader looks; its libraries lie at the same places in the guest.
        const LIBRARIES: &str = "LD_LIBRARY_PATH";
        let passed_on = std::iter::once(LIBRARIES).chain(self.env.iter().map(String::as_str));
        for word in passed_on {
            match word.split_once('=') {
                Some((name, value)) => plan.environment.insert(name.to_owned(), value.to_owned()),
                None => std::env::var(word).ok().and_then(|value| plan.environment.insert(word.to_owned(), value)),
            };
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
        let directory = std::env::current_dir().map_err(Error::file("find", "the current folder"))?;
        for (name, value) in std::env::vars() {
            // What cargo tells a test; the rest of this machine's environment stays here.
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
            harness: !self.plain && libtest::is_harness(&bytes),
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
            suite.binaries.retain(|binary| binary.label != test);
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

    fn tell(&self, matrix: &Matrix, detail: Detail) -> Result<()> {
        if let Some(path) = &self.junit {
            std::fs::write(path, junit::xml(matrix)?).map_err(Error::file("write", path))?;
        }
        let failures: String = matrix.guests.iter().map(lines::failures).collect();
        if detail == Detail::Output {
            // The program has said what it had to say; only what it cannot know is added.
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

/// A path as it is, or a program's name looked up as a shell would.
fn found(path: &Path) -> Result<PathBuf> {
    let absolute = std::path::absolute(path).map_err(Error::file("find", path))?;
    if absolute.exists() {
        return Ok(absolute);
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
