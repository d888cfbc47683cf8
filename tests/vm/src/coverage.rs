//! `--coverage DIR`: the coverage reports that the tests' processes leave in the guests, collected and merged.
//!
//! ```text
//!   guest    CUTAWAY_COVERAGE=/results/coverage     a process writes NAME.info there
//!   channel  the same way as the tests' other files, after each test
//!   host     DIR/KERNEL/NAME.info                   one file for each report
//!            DIR/all.info                           all reports of all kernels, merged
//! ```
//!
//! The reports have the format of lcov, with comments that the crate `cutaway` adds
//! (`loader/src/instrument/coverage/report/lcov.rs`). This package does not depend on the crates under test, so it has
//! a merge of its own (`coverage/tracefile.rs`), for the records that `cutaway` writes.

mod tracefile;

use std::fs;
use std::path::{Path, PathBuf};

use tracefile::Tracefile;

use crate::error::{Error, Result};
use crate::plan::{Plan, RESULTS};
use crate::run;

/// The environment variable that names the directory for reports.
pub(crate) const VARIABLE: &str = "CUTAWAY_COVERAGE";
/// The directory for reports, in the directory for the tests' files.
const DIRECTORY: &str = "coverage";
/// The merged report.
const ALL: &str = "all.info";
/// The extension of reports.
const EXTENSION: &str = "info";

/// Makes the processes in the guest leave reports.
pub(crate) fn request(plan: &mut Plan) {
    plan.environment.insert(VARIABLE.to_owned(), format!("{RESULTS}/{DIRECTORY}"));
}

/// Moves the reports from a guest's directory to `to`, and returns their number. With a prefix, the names begin with
/// it: several guests of one kernel have the same process ids.
pub(crate) fn collect(guest: &Path, prefix: Option<&str>, to: &Path) -> Result<usize> {
    let from = guest.join(run::FILES).join(DIRECTORY);
    let reports = reports(&from)?;
    if !reports.is_empty() {
        fs::create_dir_all(to).map_err(Error::file("create", to))?;
    }
    for report in &reports {
        let name = report.file_name().unwrap_or_default().to_string_lossy();
        let name = prefix.map_or_else(|| name.clone().into_owned(), |prefix| format!("{prefix}-{name}"));
        let target = to.join(name);
        // Not a rename: the directories may be on different file systems.
        fs::copy(report, &target).map_err(Error::file("write", &target))?;
    }
    match fs::remove_dir_all(&from) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::file("remove", &from)(error)),
        _ => Ok(reports.len()),
    }
}

/// Removes the reports of an earlier run, and no other files.
pub(crate) fn clear(directory: &Path) -> Result<()> {
    for report in reports(directory)? {
        fs::remove_file(&report).map_err(Error::file("remove", &report))?;
    }
    Ok(())
}

/// Merges the reports of these kernels into one file, and returns its path. `None` if there is no report.
pub(crate) fn merge<'n>(directory: &Path, kernels: impl Iterator<Item = &'n str>) -> Result<Option<PathBuf>> {
    let mut merged = Tracefile::default();
    let mut any = false;
    for kernel in kernels {
        for report in reports(&directory.join(kernel))? {
            let text = fs::read_to_string(&report).map_err(Error::file("read", &report))?;
            merged.add(&text).map_err(|why| Error::Unusable { path: report, why })?;
            any = true;
        }
    }
    if !any {
        return Ok(None);
    }
    let all = directory.join(ALL);
    fs::write(&all, merged.to_string()).map_err(Error::file("write", &all))?;
    Ok(Some(all))
}

/// Returns the line that reports the result of [`merge`].
pub(crate) fn outcome(merged: Option<&Path>) -> String {
    match merged {
        Some(path) => format!("coverage: {}", path.display()),
        None => "coverage: none; no process of the tests has loaded a BPF object with the crate cutaway and closed it \
                 before its end"
            .to_owned(),
    }
}

/// Returns the reports in a directory, sorted by name; none if it does not exist.
fn reports(directory: &Path) -> Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(Error::file("read", directory))?,
    };
    let mut reports = Vec::new();
    for entry in entries {
        let path = entry.map_err(Error::file("read", directory))?.path();
        if path.is_file() && path.extension().is_some_and(|extension| extension == EXTENSION) {
            reports.push(path);
        }
    }
    reports.sort();
    Ok(reports)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_of_all_guests_and_kernels_are_merged() -> std::result::Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let (results, coverage) = (folder.path().join("results"), folder.path().join("coverage"));
        for (kernel, guest, count) in [("6.1", "1", 1), ("6.1", "2", 0), ("6.12", ".", 1)] {
            let files = results.join(kernel).join(guest).join("files/coverage");
            fs::create_dir_all(&files)?;
            fs::write(files.join("cutaway-7-0.info"), format!("TN:\nSF:a.c\nDA:1,{count}\nend_of_record\n"))?;
            fs::write(files.join("cutaway-8-0.unfinished"), "TN:")?;
            let prefix = (guest != ".").then_some(guest);
            let count = collect(&results.join(kernel).join(guest), prefix, &coverage.join(kernel))?;
            assert_eq!((count, files.exists()), (1, false));
        }
        assert_eq!(merge(&coverage, ["6.1", "6.12", "5.10"].into_iter())?, Some(coverage.join("all.info")));
        let all = fs::read_to_string(coverage.join("all.info"))?;
        assert!(all.contains("DA:1,2\n"), "{all}");
        assert!(coverage.join("6.1/1-cutaway-7-0.info").exists() && coverage.join("6.1/2-cutaway-7-0.info").exists());
        clear(&coverage.join("6.1"))?;
        assert_eq!(merge(&coverage, ["6.1"].into_iter())?, None);
        Ok(())
    }

    #[test]
    fn report_that_cannot_be_read_is_named() -> std::result::Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        fs::create_dir(folder.path().join("6.1"))?;
        fs::write(folder.path().join("6.1/cutaway-7-0.info"), "TN:\nDA:1,1\n")?;
        let error = merge(folder.path(), ["6.1"].into_iter()).err().ok_or("merged")?.to_string();
        assert!(error.contains("6.1/cutaway-7-0.info: line 2: "), "{error}");
        Ok(())
    }
}
