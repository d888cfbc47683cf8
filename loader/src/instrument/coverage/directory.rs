//! Leaves reports in a directory, for test binaries that use this crate: the environment variable `CUTAWAY_COVERAGE`.
//!
//! If the variable names a directory, every object is loaded with marks, and its lcov report is written there when its
//! [`Coverage`](crate::Coverage) is dropped, which is when its [`Loaded`](crate::Loaded) is. A process that ends
//! without dropping it leaves no report.

use std::{
    env, fs,
    io::Write,
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
};

use log::{debug, warn};

use super::report::CoverageReport;

/// The environment variable.
const VARIABLE: &str = "CUTAWAY_COVERAGE";

/// Returns the directory for reports, if the caller's environment names one.
///
/// A process with more privileges than its caller ignores the variable: it must not write files where the caller says.
pub(in crate::instrument) fn directory() -> Option<PathBuf> {
    let directory = env::var_os(VARIABLE).filter(|directory| !directory.is_empty())?;
    if is_privileged(&fs::read("/proc/self/auxv").unwrap_or_default()) {
        warn!("{VARIABLE} is ignored: this process has more privileges than its caller (AT_SECURE), or hides that");
        return None;
    }
    Some(directory.into())
}

/// Returns whether the auxiliary vector says that the program is set-user-ID, set-group-ID or has file capabilities
/// (getauxval(3)). A vector without an answer counts as one that says so.
fn is_privileged(auxv: &[u8]) -> bool {
    let words = auxv.as_chunks().0.iter().map(|word| usize::from_ne_bytes(*word));
    let (types, values) = (words.clone().step_by(2), words.skip(1).step_by(2));
    let found = types.zip(values).find(|(kind, _)| *kind as u64 == libc::AT_SECURE);
    found.is_none_or(|(_, value)| value != 0)
}

/// Writes a report to a new file in `directory`. A failure is logged: it is no reason to fail the caller.
pub(super) fn leave(report: &CoverageReport, directory: &Path) {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    // ATOMICS: a number of its own for each report; it orders nothing.
    let number = NUMBER.fetch_add(1, Relaxed);
    let path = directory.join(format!("cutaway-{}-{number}.info", process::id()));
    // Readers of the directory never see half a report: it gets its name when it is complete.
    let unfinished = path.with_extension("unfinished");
    let written = fs::File::create_new(&unfinished)
        .and_then(|mut file| file.write_all(report.to_lcov().as_bytes()))
        .and_then(|()| fs::rename(&unfinished, &path));
    match written {
        Ok(()) => debug!("coverage: {}", path.display()),
        Err(error) => warn!("cannot write the coverage to {}: {error}", path.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn privileged_processes_are_recognized() {
        let auxv = |pairs: &[(usize, usize)]| {
            pairs
                .iter()
                .flat_map(|(kind, value)| [kind.to_ne_bytes(), value.to_ne_bytes()].concat())
                .collect::<Vec<_>>()
        };
        assert!(!is_privileged(&auxv(&[(6, 4096), (23, 0), (0, 0)])));
        assert!(is_privileged(&auxv(&[(6, 4096), (23, 1), (0, 0)])));
        assert!(is_privileged(&auxv(&[(6, 23), (0, 0)])));
        assert!(is_privileged(&[]));
        assert!(!is_privileged(&fs::read("/proc/self/auxv").unwrap()));
    }

    #[test]
    fn report_gets_a_file_of_its_own() {
        let directory = env::temp_dir().join(format!("cutaway-coverage-{}", process::id()));
        fs::create_dir(&directory).unwrap();
        leave(&CoverageReport::default(), &directory);
        leave(&CoverageReport::default(), &directory);
        let mut files: Vec<_> = fs::read_dir(&directory).unwrap().map(|file| file.unwrap().file_name()).collect();
        fs::remove_dir_all(&directory).unwrap();
        files.sort();
        assert_eq!(files.len(), 2, "{files:?}");
        assert!(files.iter().all(|file| file.to_str().unwrap().ends_with(".info")), "{files:?}");
        // Only logged.
        leave(&CoverageReport::default(), &directory);
    }
}
