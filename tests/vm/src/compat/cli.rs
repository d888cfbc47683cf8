//! The command line of `compat`.

use std::fs;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;

use super::btf::Given;
use super::guests::Lab;
use super::verdict::{OnKernel, Report};
use super::{baseline, btf, objects, show, table};
use crate::accel::Choice;
use crate::arch::Arch;
use crate::base::Source;
use crate::cache::Cache;
use crate::error::{Error, Result, chain};
use crate::kernel::{NO_KERNEL, Request, requests};

/// Load BPF objects on chosen kernels, and show the verifier's work
///
/// Each object is loaded whole, in a process of its own. If that fails, each
/// of its programs is loaded alone, and the object counts as not loading.
///
/// Exit status: 0 if every object loads on every kernel or, with --baseline,
/// if nothing is worse than there; 1 if not, or if something could not be
/// done; 2 for wrong usage; 3 if no kernel was named and none of the default
/// kernels is available; 130 if interrupted.
#[derive(Debug, Parser)]
#[command(version, verbatim_doc_comment)]
pub(crate) struct Args {
    /// Object file, or directory with object files
    #[arg(required = true, value_name = "OBJECT")]
    objects: Vec<PathBuf>,
    /// Kernel version or `newest` (repeatable)
    ///
    /// Default without --image: 5.10, 6.1, 6.12 and newest.
    #[arg(long = "kernel", value_name = "VERSION")]
    kernels: Vec<Request>,
    /// File of a kernel image (repeatable)
    ///
    /// A bzImage for x86_64, an Image for aarch64.
    #[arg(long = "image", value_name = "FILE")]
    images: Vec<PathBuf>,
    /// Architectures: x86_64, aarch64 (comma-separated)
    ///
    /// Default: this machine's. Guests of another architecture are emulated.
    #[arg(long, value_name = "ARCH", value_enum, value_delimiter = ',', hide_possible_values = true)]
    arch: Vec<Arch>,
    /// Directory with another architecture's libraries
    ///
    /// Default: packages of the distribution, through apt.
    #[arg(long, value_name = "DIR")]
    sysroot: Option<PathBuf>,
    /// BTF for kernels that have none (repeatable)
    ///
    /// KERNEL is written as in --kernel, or is the file name of an --image.
    /// With several architectures it is KERNEL/ARCH. DIR has a file
    /// RELEASE.btf for each kernel, by the output of `uname -r`. A kernel
    /// whose file is missing is noted, and its own BTF is used.
    #[arg(long, value_name = "KERNEL=FILE|DIR", verbatim_doc_comment)]
    btf: Vec<Given>,
    /// JSON of an earlier run: fail if now worse
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,
    /// Allowed rise above the baseline
    #[arg(long, value_name = "PERCENT", default_value = "5%", value_parser = percent, requires = "baseline")]
    allow: f64,
    /// Print JSON instead of the table
    #[arg(long, conflicts_with = "markdown")]
    json: bool,
    /// Print Markdown instead of the table
    #[arg(long)]
    markdown: bool,
    /// Write a JUnit XML report
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Limit of each object in seconds
    #[arg(long, value_name = "SECS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
    object_timeout: u64,
    /// Limit of each guest in seconds
    #[arg(long, value_name = "SECS", default_value_t = 900, value_parser = clap::value_parser!(u64).range(1..))]
    timeout: u64,
    /// Accelerator: auto (default), kvm, tcg (emulation)
    #[arg(long, value_enum, default_value_t, hide_default_value = true, hide_possible_values = true)]
    accel: Choice,
}

fn percent(text: &str) -> Result<f64, String> {
    match text.strip_suffix('%').unwrap_or(text).parse::<f64>() {
        Ok(number) if number.is_finite() && number >= 0.0 => Ok(number),
        _ => Err("expected a percentage such as 5%".to_owned()),
    }
}

impl Args {
    /// Runs the subcommand.
    pub(crate) fn main(&self) -> ExitCode {
        match self.run() {
            Ok(code) => code,
            Err(Error::Interrupted) => ExitCode::from(130),
            Err(error) => {
                eprintln!("cutaway-vm compat: {}", chain(&error));
                ExitCode::FAILURE
            }
        }
    }

    fn run(&self) -> Result<ExitCode> {
        // Read first: a baseline that cannot be read must not cost a run.
        let before = self.baseline.as_deref().map(read).transpose()?;
        let requests = requests(&self.kernels, &self.images);
        let archs = self.architectures();
        if archs.len() > 1 && !self.images.is_empty() {
            let path = self.images.first().cloned().unwrap_or_default();
            let why = "an image is for one architecture: name one --arch".to_owned();
            return Err(Error::Unusable { path, why });
        }
        btf::check(&self.btf, &requests, &archs)?;
        let (objects, skipped) = objects::find(&self.objects)?;
        if objects.is_empty() {
            let path = self.objects.first().cloned().unwrap_or_default();
            return Err(Error::Unusable { path, why: "there is no BPF object: name one".to_owned() });
        }
        let report = Report { kernels: self.on_kernels(&requests, &archs, &objects)?, skipped };
        let found = before.map(|before| baseline::compare(&before, &report, self.allow));
        let worse = found.as_ref().map_or(&[][..], |found| &found.worse);
        if let Some(path) = &self.junit {
            fs::write(path, show::junit(&report, worse)?).map_err(Error::file("write", path))?;
        }
        println!("{}", self.text(&report)?.trim_end());
        if report.kernels.iter().all(|on| on.skipped) {
            return Ok(ExitCode::from(NO_KERNEL));
        }
        let absent = report.kernels.iter().any(|on| on.absent.is_some() && !on.skipped);
        Ok(match found {
            Some(found) => {
                for line in &found.noted {
                    eprintln!("note: {line}");
                }
                for line in &found.worse {
                    eprintln!("worse: {line}");
                }
                ExitCode::from(u8::from(absent || !found.worse.is_empty()))
            }
            None => ExitCode::from(u8::from(!report.all_load())),
        })
    }

    /// Returns the requested architectures, each once; this machine's if there is none.
    fn architectures(&self) -> Vec<Arch> {
        let mut unique = Vec::new();
        for arch in self.arch.iter().copied() {
            if !unique.contains(&arch) {
                unique.push(arch);
            }
        }
        if unique.is_empty() { vec![Arch::OWN] } else { unique }
    }

    fn on_kernels(&self, requests: &[Request], archs: &[Arch], objects: &[PathBuf]) -> Result<Vec<OnKernel>> {
        let cache = Cache::open()?;
        let temporary = tempfile::Builder::new()
            .prefix("cutaway-vm-")
            .tempdir()
            .map_err(Error::file("create", std::env::temp_dir()))?;
        let mut sources = Vec::new();
        for &arch in archs {
            let given = self.sysroot.as_deref().filter(|_| arch.is_foreign());
            let source = Source::obtain(arch, given, &cache, false)?;
            let init = source.init(&cache)?;
            let folder = temporary.path().join(arch.name());
            fs::create_dir(&folder).map_err(Error::file("create", &folder))?;
            sources.push((source, init, folder));
        }
        // An emulated guest uses one CPU.
        let results: Result<Vec<_>> = std::thread::scope(|scope| {
            let work = |(source, init, folder): &(Source, PathBuf, PathBuf)| -> Result<Vec<OnKernel>> {
                let lab = Lab {
                    source,
                    init,
                    cache: &cache,
                    folder,
                    choice: self.accel,
                    btf: &self.btf,
                    several: archs.len() > 1,
                    seconds: self.object_timeout,
                    whole: self.timeout,
                };
                let named = !self.kernels.is_empty() || !self.images.is_empty();
                requests.iter().map(|request| lab.run(request, named, objects)).collect()
            };
            let running: Vec<_> = sources.iter().map(|source| scope.spawn(move || work(source))).collect();
            running.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
        });
        Ok(results?.into_iter().flatten().collect())
    }

    fn text(&self, report: &Report) -> Result<String> {
        if self.json {
            let unfit = |error: serde_json::Error| Error::Unusable { path: "JSON".into(), why: error.to_string() };
            serde_json::to_string_pretty(report).map_err(unfit)
        } else if self.markdown {
            Ok(show::markdown(report))
        } else {
            Ok(table::table(report))
        }
    }
}

fn read(path: &Path) -> Result<Report> {
    let text = fs::read(path).map_err(Error::file("read", path))?;
    serde_json::from_slice(&text).map_err(|error| Error::Unusable {
        path: path.to_path_buf(),
        why: format!("it is not the JSON of an earlier run: {error}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_are_checked() {
        assert_eq!(percent("5%"), Ok(5.0));
        assert_eq!(percent("0.5"), Ok(0.5));
        assert!(percent("-1%").is_err() && percent("NaN").is_err() && percent("x").is_err());
    }
}
