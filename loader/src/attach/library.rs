//! Finds a library by name, as the dynamic loader would.
//!
//! A name with a slash is a path, and is kept unchanged. A name without one is searched for in this order:
//! 1. among the files mapped into this process, because the dynamic loader has chosen those;
//! 2. in the directories in `LD_LIBRARY_PATH`;
//! 3. in `/etc/ld.so.cache`, which `ldconfig` keeps (`ld.so(8)`);
//! 4. in the loader's default directories, those of the architecture (`/lib/x86_64-linux-gnu`) first;
//! 5. if it has no `.so`, in the directories in `PATH`, as the shell would: executables can be probed as well.
//!
//! A name without `.so`, such as `libc`, means the first version found. The file system, the environment variables and
//! the architecture are those of a [`View`]: this process's or another's.

use std::{
    ffi::{OsStr, OsString},
    fs,
    os::unix::ffi::OsStrExt,
    path::PathBuf,
};

use super::{
    process,
    view::{View, is_path, mapped},
};
use crate::{Errno, Error};

/// A file, and the process whose view of the file system finds it.
#[derive(Debug, Clone)]
pub(crate) struct Library {
    pub(crate) name: OsString,
    /// The process whose file system and mapped files are used; `None` is the caller's process.
    pub(crate) resolve_in_process: Option<u32>,
}

impl Library {
    pub(crate) fn new(name: impl AsRef<OsStr>) -> Self {
        Self { name: name.as_ref().to_owned(), resolve_in_process: None }
    }

    pub(crate) fn find(&self) -> Result<PathBuf, Error> {
        match self.resolve_in_process {
            None => find(&self.name),
            Some(pid) => process::find(pid, &self.name),
        }
    }
}

/// Returns the path of the file that `library` names.
pub(crate) fn find(library: &OsStr) -> Result<PathBuf, Error> {
    let failed = |why: String| Error::Library { library: library.to_string_lossy().into_owned(), why };
    if library.is_empty() {
        return Err(failed("its name is empty".to_owned()));
    }
    if is_path(library) {
        // Never canonicalized: text cannot say where a magic link (`/proc/PID/root`, `/proc/self/fd/N`) leads, and the
        // kernel follows the path as it is.
        return match fs::metadata(library) {
            Ok(_) => Ok(PathBuf::from(library)),
            Err(error) => Err(failed(format!("{}; give the path of an existing file", plain(&error)))),
        };
    }
    let maps = match fs::read(MAPS) {
        // Without procfs, search the other locations.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        answer => answer.map_err(|error| failed(format!("{MAPS} cannot be read: {}", Errno::of(&error))))?,
    };
    let view = View::own();
    mapped(&maps, library)
        .flat_map(|mapping| mapping.paths())
        .map(|path| PathBuf::from(OsStr::from_bytes(&path)))
        // A deleted file is of no use to other processes.
        .find(|path| path.is_file())
        .or_else(|| view.search(library))
        .ok_or_else(|| {
            failed(format!("it is not among this process's libraries, nor {}; give its path instead", view.locations()))
        })
}

const MAPS: &str = "/proc/self/maps";

/// Formats an I/O error without its number.
fn plain(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_lowercase()
}

#[cfg(test)]
mod tests {
    use std::{env, path::Path};

    use super::*;

    #[test]
    fn libc_of_this_process_is_found_by_name() {
        let path = find(OsStr::new("libc.so.6")).unwrap();
        assert!(path.is_absolute() && path.is_file());
        assert_eq!(find(OsStr::new("libc")).unwrap(), path);
        // The same without the mapped files.
        let searched = View::own().search(OsStr::new("libc.so.6")).unwrap();
        assert_eq!(fs::canonicalize(searched).unwrap(), fs::canonicalize(path).unwrap());
    }

    #[test]
    fn paths_are_kept_as_they_are() {
        let own = env::current_exe().unwrap();
        for path in [format!("/proc/self/root{}", own.display()), "/proc/self/exe".to_owned()] {
            assert_eq!(find(OsStr::new(&path)).unwrap(), Path::new(&path));
        }
    }

    #[test]
    fn missing_library_error_names_the_searched_locations() {
        let error = find(OsStr::new("libnothing.so.9")).unwrap_err().to_string();
        assert!(error.contains("`libnothing.so.9`") && error.contains("/etc/ld.so.cache"), "{error}");
        let error = find(OsStr::new("/no/such/file.so")).unwrap_err().to_string();
        assert!(error.contains("no such file"), "{error}");
    }
}
