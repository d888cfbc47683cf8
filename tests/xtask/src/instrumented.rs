//! Compiles the sources of `tests/instrument` in many forms, and compares each object with and without inserted
//! instructions: does it load, does it do the same?

#[path = "../../live/support/instrumented.rs"]
mod comparison;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use self::comparison::{Comparison, compare};
use crate::tools::{self, Outcome, Result};

/// The arguments of `cargo xtask instrumented`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Compile only sources whose name contains this
    filter: Option<String>,
    /// Write the objects to this directory and keep them
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// Compile nothing; compare the objects of this directory
    #[arg(long, value_name = "DIR", conflicts_with_all = ["filter", "keep"])]
    objects: Option<PathBuf>,
    /// Print each object
    #[arg(long)]
    verbose: bool,
}

/// The sources, each with its variants: definitions for the preprocessor.
const SOURCES: [(&str, &[&str]); 14] = [
    ("control", &["-DN=2", "-DN=8", "-DN=24"]),
    ("calls", &["-DSTACK=64", "-DSTACK=400", "-DSTACK=496"]),
    ("callbacks", &[""]),
    ("buffers", &[""]),
    ("dynptrs", &[""]),
    ("tails", &[""]),
    ("atomics", &[""]),
    ("core", &[""]),
    ("iterators", &[""]),
    ("may_goto", &[""]),
    ("arena", &[""]),
    ("packets", &[""]),
    ("state", &[""]),
    ("long", &["-DTIMES=2000", "-DTIMES=4600"]),
];

const LEVELS: [&str; 4] = ["-O0", "-O1", "-O2", "-O3"];
const PROCESSORS: [&str; 4] = ["v1", "v2", "v3", "v4"];

/// The minimal share of loadable objects that must load with marks on all their functions.
const MARKED: f64 = 0.95;

/// One object to compile.
struct Form {
    source: &'static str,
    variant: &'static str,
    level: &'static str,
    processor: &'static str,
}

impl Form {
    fn name(&self) -> String {
        let Self { source, variant, level, processor } = self;
        format!("{source}{}{level}-{processor}.o", variant.replace("-D", "-").replace('=', ""))
    }

    /// Compiles the object. Returns the compiler's first error if it cannot.
    fn compile(&self, clang: &str, sources: &Path, directory: &Path) -> std::result::Result<PathBuf, String> {
        let object = directory.join(self.name());
        let mut command = Command::new(clang);
        command.args(["--target=bpf", "-g", "-Wno-address-of-packed-member", self.level]);
        command.arg(format!("-mcpu={}", self.processor));
        command.args(Some(self.variant).filter(|variant| !variant.is_empty()));
        command.args(["-c", "-o"]).arg(&object).arg(format!("{}.c", self.source)).current_dir(sources);
        let output = command.output().map_err(|error| format!("cannot run {clang}: {error}"))?;
        if output.status.success() {
            return Ok(object);
        }
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        let line = text.lines().find(|line| line.contains("error")).unwrap_or_default();
        Err(format!("{}: {line}", self.name()))
    }
}

/// Returns all forms of the sources whose names contain `filter`. The assembly of `long` depends on no optimization.
fn forms(filter: &str) -> Vec<Form> {
    let mut forms = Vec::new();
    for (source, variants) in SOURCES.into_iter().filter(|(source, _)| source.contains(filter)) {
        for &variant in variants {
            for level in LEVELS.into_iter().filter(|&level| source != "long" || level == "-O2") {
                for processor in PROCESSORS {
                    forms.push(Form { source, variant, level, processor });
                }
            }
        }
    }
    forms
}

/// The sums of a row of the table.
#[derive(Default)]
struct Row {
    objects: usize,
    loaded: usize,
    programs: usize,
    sites: usize,
    with_losses: usize,
    with_coverage: usize,
    equal: usize,
    runs: usize,
}

impl Row {
    fn add(&mut self, found: &Comparison) {
        self.objects += 1;
        if found.refused.is_some() {
            return;
        }
        self.loaded += 1;
        self.programs += found.programs;
        self.sites += found.counted;
        self.with_losses += usize::from(found.uncounted.is_empty());
        self.with_coverage += usize::from(found.unmarked.is_empty());
        self.equal += usize::from(found.faults.is_empty());
        self.runs += found.runs;
    }

    fn print(&self, name: &str) {
        let Self { objects, loaded, programs, sites, with_losses, with_coverage, equal, runs } = self;
        println!(
            "{name:12} {objects:7} {loaded:6} {programs:8} {sites:6} {with_losses:6} {with_coverage:8} {equal:5} {runs:6}"
        );
    }
}

/// Compiles and compares the objects, and prints a table.
pub(crate) fn run(arguments: &Arguments) -> Result {
    if let Some(why) = unprivileged() {
        return Ok(Outcome::Skipped(why));
    }
    let temporary = tempfile::tempdir().map_err(|error| format!("cannot create a directory: {error}"))?;
    let directory = arguments.keep.as_deref().unwrap_or(temporary.path());
    let objects = match &arguments.objects {
        Some(directory) => objects_in(directory)?,
        None => {
            let Some(clang) = clang() else { return Ok(Outcome::Skipped("clang is not installed".to_owned())) };
            fs::create_dir_all(directory)
                .map_err(|error| format!("cannot create the directory {}: {error}", directory.display()))?;
            compile_all(&clang, &forms(arguments.filter.as_deref().unwrap_or_default()), directory)?
        }
    };
    let mut rows: Vec<(String, Row)> = Vec::new();
    let mut total = Row::default();
    let (mut faults, mut lacks) = (Vec::new(), Vec::new());
    for object in &objects {
        let bytes = fs::read(object).map_err(|error| format!("cannot read {}: {error}", object.display()))?;
        let name = object.file_stem().map(|name| name.display().to_string()).unwrap_or_default();
        let found = compare(&bytes);
        if arguments.verbose {
            println!("{name}: {found:?}");
        }
        let source = name.split('-').next().unwrap_or_default();
        if rows.last().is_none_or(|(last, _)| last != source) {
            rows.push((source.to_owned(), Row::default()));
        }
        if let Some((_, row)) = rows.last_mut() {
            row.add(&found);
        }
        total.add(&found);
        faults.extend(found.faults.iter().chain(&found.uncounted).map(|why| format!("{name}: {why}")));
        lacks.extend(found.unmarked.iter().map(|why| format!("{name}: {why}")));
        if let Some(why) = found.refused {
            lacks.push(format!("{name}: refused as it is: {why}"));
        }
    }
    println!("source       objects  plain programs  sites losses coverage equal   runs");
    rows.iter().for_each(|(name, row)| row.print(name));
    total.print("total");
    lacks.iter().for_each(|lack| println!("{lack}"));
    judge(&total, &faults)
}

/// Returns an error if the rows are not reached.
fn judge(total: &Row, faults: &[String]) -> Result {
    if total.loaded == 0 || total.runs == 0 {
        return Err("no object loads and runs here".to_owned());
    }
    if !faults.is_empty() {
        return Err(format!("with inserted instructions, not the same:\n{}", faults.join("\n")));
    }
    let marked = total.with_coverage as f64 / total.loaded as f64;
    if marked < MARKED {
        return Err(format!(
            "{:.1} % of the objects load with all marks; target: {:.0} %",
            100.0 * marked,
            100.0 * MARKED
        ));
    }
    Ok(Outcome::Done)
}

/// Compiles the forms on all CPUs. Prints those that this compiler does not compile.
fn compile_all(clang: &str, forms: &[Form], directory: &Path) -> std::result::Result<Vec<PathBuf>, String> {
    let sources = tools::root().join("tests/instrument");
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut compiled = Vec::new();
        // ATOMICS: each index is taken once.
        while let Some(form) = forms.get(next.fetch_add(1, Ordering::Relaxed)) {
            compiled.push(form.compile(clang, &sources, directory));
        }
        compiled
    };
    let workers = thread::available_parallelism().map_or(1, usize::from);
    let compiled: Vec<_> = thread::scope(|scope| {
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().filter_map(|worker| worker.join().ok()).flatten().collect()
    });
    let mut objects = Vec::new();
    for result in compiled {
        match result {
            Ok(object) => objects.push(object),
            Err(why) => println!("not compiled: {why}"),
        }
    }
    objects.sort();
    if objects.is_empty() { Err(format!("{clang} compiles none of the sources")) } else { Ok(objects) }
}

/// Returns the objects in a directory, sorted.
fn objects_in(directory: &Path) -> std::result::Result<Vec<PathBuf>, String> {
    let failed = |error: std::io::Error| format!("cannot read the directory {}: {error}", directory.display());
    let mut objects = Vec::new();
    for entry in fs::read_dir(directory).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|extension| extension == "o") {
            objects.push(path);
        }
    }
    objects.sort();
    Ok(objects)
}

/// Returns the command of clang: that in `CLANG`, or the newest one that is installed and compiles for BPF.
fn clang() -> Option<String> {
    let chosen = std::env::var("CLANG").ok();
    let versions = (14..=30).rev().map(|version| format!("clang-{version}"));
    let mut candidates = chosen.into_iter().chain(versions).chain(["clang".to_owned()]);
    candidates.find(|clang| tools::works(clang, &["--target=bpf", "-x", "c", "-fsyntax-only", "/dev/null"]))
}

/// Returns the reason if this process may not load programs.
pub(crate) fn unprivileged() -> Option<String> {
    /// It includes the capabilities that were later split off from it.
    const CAP_SYS_ADMIN: u32 = 21;
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let effective = effective.and_then(|text| u64::from_str_radix(text.trim(), 16).ok()).unwrap_or_default();
    (effective & (1 << CAP_SYS_ADMIN) == 0).then(|| "needs root: it loads BPF programs".to_owned())
}
