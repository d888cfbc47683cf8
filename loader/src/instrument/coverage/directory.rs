//! Leaves reports in a directory, for test binaries that use this crate: the environment variable `CUTAWAY_COVERAGE`.
//!
//! If the variable names a directory, every object is loaded with marks, and its lcov report is written there when its
//! [`Coverage`](crate::Coverage) is dropped, which is when its [`Loaded`](crate::Loaded) is. A process that ends
//! without dropping it leaves no report.
//!
//! Processes share the directory across PID namespaces and machines, and PIDs are used again. So a name has the time
//! too, and a report never replaces a file.

use std::{
    env, fs,
    io::{self, ErrorKind, Write},
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    time::{SystemTime, UNIX_EPOCH},
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

/// The number of names to try.
const NAMES: usize = 1_000;

/// Writes a report to a new file in `directory`. A failure is logged: it is no reason to fail the caller.
pub(super) fn leave(report: &CoverageReport, directory: &Path) {
    let paths = (0..NAMES).map(|_| directory.join(name()));
    match write(report.to_lcov().as_bytes(), paths) {
        Ok(path) => debug!("coverage: {}", path.display()),
        Err(error) => warn!("cannot write the coverage to {}: {error}", directory.display()),
    }
}

/// Returns a name that no other report has, as far as this process knows.
fn name() -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    // ATOMICS: a number of its own for each report; it orders nothing.
    let number = NUMBER.fetch_add(1, Relaxed);
    let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("cutaway-{}-{}-{number}.info", process::id(), time.as_nanos())
}

/// Writes a new file with the first of these paths that is free. Returns the path.
fn write(content: &[u8], paths: impl Iterator<Item = PathBuf>) -> io::Result<PathBuf> {
    for path in paths {
        match write_new(content, &path) {
            Ok(()) => return Ok(path),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(ErrorKind::AlreadyExists.into())
}

/// Writes a new file. Readers of the directory never see half of it: it gets its name when it is complete.
fn write_new(content: &[u8], path: &Path) -> io::Result<()> {
    let unfinished = path.with_extension("unfinished");
    let mut file = fs::File::create_new(&unfinished)?;
    // Unlike a rename, a link does not replace a file.
    let written = file.write_all(content).and_then(|()| match fs::hard_link(&unfinished, path) {
        // The file system has no links (link(2)).
        Err(error) if is_unsupported(&error) && !path.try_exists()? => fs::rename(&unfinished, path),
        linked => linked,
    });
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != ErrorKind::NotFound => written.and(Err(error)),
        _ => written,
    }
}

/// Returns whether an error of link(2) says that the file system has no hard links.
fn is_unsupported(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EPERM | libc::EOPNOTSUPP | libc::ENOSYS | libc::EMLINK))
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

    #[test]
    fn report_replaces_no_file() {
        let directory = env::temp_dir().join(format!("cutaway-coverage-names-{}", process::id()));
        fs::create_dir(&directory).unwrap();
        let path = |name: &str| directory.join(name);
        fs::write(path("a.info"), "of another process").unwrap();
        fs::write(path("b.unfinished"), "left over").unwrap();
        let paths = ["a.info", "b.info", "c.info"].map(path);
        assert_eq!(write(b"new", paths.clone().into_iter()).unwrap(), path("c.info"));
        let all_taken = write(b"new", [path("a.info"), path("b.info")].into_iter()).unwrap_err();
        let mut files: Vec<_> = fs::read_dir(&directory)
            .unwrap()
            .map(|file| file.unwrap())
            .map(|file| (file.file_name().into_string().unwrap(), fs::read_to_string(file.path()).unwrap()))
            .collect();
        fs::remove_dir_all(&directory).unwrap();
        files.sort();
        let files: Vec<_> = files.iter().map(|(name, content)| (name.as_str(), content.as_str())).collect();
        assert_eq!(files, [("a.info", "of another process"), ("b.unfinished", "left over"), ("c.info", "new")]);
        assert_eq!(all_taken.kind(), ErrorKind::AlreadyExists);
        assert_eq!(write(b"new", paths.into_iter()).unwrap_err().kind(), ErrorKind::NotFound);
    }

    #[test]
    fn each_name_is_new() {
        assert_ne!(name(), name());
        assert!(name().starts_with(&format!("cutaway-{}-", process::id())));
    }
}
