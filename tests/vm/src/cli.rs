//! The command line: `args.rs` has the options, `action.rs` what is no run.

mod action;
mod args;
mod shell;
mod verdict;

use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use crate::arch::{self, Arch};
use crate::base::{self, Source};
use crate::cache::Cache;
use crate::compat;
use crate::coverage;
use crate::error::{Error, Result, chain};
use crate::interrupt;
use crate::kernel::requests;
use crate::libtest::{self, Arguments};
use crate::listing;
use crate::matrix::Job;
use crate::plan::{Binary, Plan};
use crate::progress::{Detail, Screen};
use crate::report::{Matrix, lines};
use crate::run::Limits;
use crate::suite;

pub use args::Args;

/// Runs the command line of this process.
#[must_use]
pub fn main() -> ExitCode {
    if let Some(code) = compat::work_if_named() {
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

/// The work of a command line.
struct Work {
    plan: Plan,
    /// Files that the guests need besides the binaries.
    bring: Vec<PathBuf>,
    /// The executable that becomes process 1, if it was built with the binaries.
    init: Option<PathBuf>,
}

impl Args {
    /// Runs the command.
    ///
    /// # Errors
    /// The problem that prevented the guests from running. The tests' results are printed, and determine the exit code.
    pub fn run(&self) -> Result<ExitCode> {
        if let Some(action) = &self.action {
            return action.run();
        }
        let cache = Cache::open()?;
        let arch = self.architecture()?;
        let source = Source::obtain(arch, self.sysroot.as_deref(), &cache, self.refresh)?;
        let Work { mut plan, mut bring, init } = self.work(&source)?;
        if let Some(list) = Some(&plan).filter(|_| !self.shell).and_then(listing::on_host) {
            let mut out = std::io::stdout().lock();
            out.write_all(&list).map_err(Error::file("write", "the standard output"))?;
            return Ok(ExitCode::SUCCESS);
        }
        // One plain program on one kernel behaves as if it ran directly.
        let requests = requests(&self.kernels, &self.images);
        let verbatim =
            plan.binaries.iter().any(|binary| !binary.harness || Arguments::parse(&binary.arguments).verbatim);
        let transparent = self.shell || (verbatim && plan.binaries.len() == 1 && requests.len() == 1);
        let shell = if self.shell || self.shell_on_failure {
            Some(shell::prepare(&requests, &mut plan, &mut bring, &source, &cache)?)
        } else {
            None
        };
        if let Some(shell) = shell.as_ref().filter(|_| self.shell) {
            shell::announce(shell, &plan);
        }
        if self.shell_on_failure {
            plan.shell_on_failure =
                Some(shell.clone().filter(|shell| shell.window.is_some()).ok_or(Error::NoTerminal)?);
        }
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
        let init = match init {
            Some(init) => init,
            None => source.init(&cache)?,
        };
        let mut job = Job {
            plan,
            source,
            init,
            bring,
            modules: self.modules.clone(),
            modules_directory: self.modules_directory.clone(),
            cpus: self.cpus,
            max_cpus: self.max_cpus.unwrap_or(self.cpus),
            memory_mib: self.memory,
            append: self.append.clone(),
            choice: self.accel,
            limits: Limits {
                boot: limit(self.boot_timeout.unwrap_or(self.hang_timeout.max(90))),
                silence: limit(self.hang_timeout),
                whole: if self.shell { shell::FOREVER } else { limit(self.timeout) },
            },
            keep_debug: self.debug_info,
            folder,
            keep: self.keep,
            parallel: self.parallel,
            guests: self.guests.into(),
            fresh: self.fresh,
            // The binaries of a workspace have usually just been built, so that no earlier run can have saved them.
            saves: !self.no_saved && (self.fresh || !self.is_workspace()),
            saved_limit: self.saved_limit.saturating_mul(1 << 20),
            refresh: self.refresh,
            shell: shell.filter(|_| self.shell),
            coverage: self.coverage.as_ref().map(|path| absolute(path)).transpose()?,
        };
        let named = !self.kernels.is_empty() || !self.images.is_empty();
        let matrix = job.run(&requests, named, &cache, &screen)?;
        if shell::was_escaped(&job, &matrix) {
            return Ok(ExitCode::from(130));
        }
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
        Ok(verdict::exit_code(&matrix, transparent))
    }

    /// Returns the guests' architecture: the requested one, that of the binary, or this machine's.
    fn architecture(&self) -> Result<Arch> {
        let of_binary = || {
            let path = search(Path::new(self.command.first()?), &Source::own()).ok()??;
            if path.is_file() { Arch::of_executable(&arch::start(&path).ok()?) } else { None }
        };
        Ok(self.arch.or_else(of_binary).unwrap_or(Arch::OWN))
    }

    /// Returns the plan of the guests, and the files it needs.
    fn work(&self, source: &Source) -> Result<Work> {
        let mut plan = Plan {
            test_seconds: self.test_timeout,
            output_limit: self.output_limit,
            slice: self.shard,
            ..Plan::default()
        };
        let mut bring = Vec::new();
        for path in &self.bring {
            bring.push(found(path, source)?);
        }
        let mut init = None;
        // Variables that control Rust programs.
        plan.environment.extend(std::env::vars().filter(|(name, _)| name.starts_with("RUST_")));
        match self.command.split_first() {
            Some((program, arguments)) => {
                self.one_binary(source, &mut plan, &mut bring, Path::new(program), arguments)?;
            }
            None if self.is_workspace() => init = self.workspace(source, &mut plan, &mut bring)?,
            None => {}
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
        Ok(Work { plan, bring, init })
    }

    /// Returns true if the run concerns the workspace of the current directory. A shell needs none.
    fn is_workspace(&self) -> bool {
        self.command.is_empty() && (!self.shell || shell::in_workspace())
    }

    fn one_binary(
        &self,
        source: &Source,
        plan: &mut Plan,
        bring: &mut Vec<PathBuf>,
        program: &Path,
        arguments: &[OsString],
    ) -> Result<()> {
        let path = found(program, source)?;
        let host = source.on_host(&path);
        let bytes = std::fs::read(&host).map_err(Error::file("read", &host))?;
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

    /// Builds the workspace. Returns the executable for process 1 if the workspace has this program, and it was built
    /// for another architecture.
    fn workspace(&self, source: &Source, plan: &mut Plan, bring: &mut Vec<PathBuf>) -> Result<Option<PathBuf>> {
        let (tests, packages): (Vec<_>, Vec<_>) = self.exclude.iter().cloned().partition(|name| name.contains("::"));
        let mut extra: Vec<String> =
            packages.into_iter().flat_map(|package| ["--exclude".to_owned(), package]).collect();
        extra.extend(self.cargo_arg.iter().cloned());
        let foreign = source.arch.is_foreign();
        if foreign {
            base::require(source.arch)?;
            extra.extend(["--target".to_owned(), source.arch.target().to_owned()]);
        }
        let mut suite = suite::build(self.unit_tests, &extra, &source.variables())?;
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
        Ok(suite.this_program.filter(|_| foreign))
    }

    fn print_report(&self, matrix: &Matrix, detail: Detail) -> Result<()> {
        if let Some(path) = &self.junit {
            verdict::write_junit(matrix, path)?;
        }
        if detail == Detail::Output {
            // The program's output is already on stdout; print only what it does not contain.
            eprint!("{}", matrix.guests.iter().map(lines::unsaid).collect::<String>());
            if matrix.guests.iter().any(|guest| guest.end != crate::report::End::Clean) || !matrix.absent.is_empty() {
                eprint!("{}", lines::verdict(matrix));
            }
            return Ok(());
        }
        verdict::print(matrix, detail == Detail::Kernels);
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

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(Error::file("find", path))
}

/// Returns a path as it is, or the path in the guest of a program that is found by name in PATH, as a shell does. An
/// executable of another architecture than the guest's is an error.
fn found(path: &Path, source: &Source) -> Result<PathBuf> {
    let Some(found) = search(path, source)? else {
        let source = std::io::Error::from_raw_os_error(libc::ENOENT);
        return Err(Error::File { attempt: "find", path: path.to_path_buf(), source });
    };
    source.arch.check(&source.on_host(&found))?;
    Ok(found)
}

fn search(path: &Path, source: &Source) -> Result<Option<PathBuf>> {
    let whole = absolute(path)?;
    if source.on_host(&whole).exists() {
        return Ok(Some(whole));
    }
    if path.components().count() > 1 {
        return Ok(None);
    }
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let in_path = || std::env::split_paths(&folders).map(|folder| folder.join(path)).find(|path| path.is_file());
    Ok(source.program(path).or_else(in_path))
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
