//! The report: one HTML file that needs nothing else to be read, no network and no script.
//!
//! ```text
//!     report.rs   where it goes: room is made before anything is measured, and a whole file takes the place of the old one
//!       page.rs   the page: summary, experiments, figures as tables
//!       plot.rs   a plot as SVG: paper, legend, markers and colours
//!       lines.rs  lines over two axes
//!       bars.rs   bars beside their names
//!       scale.rs  from figures to places on paper
//! ```

mod bars;
mod lines;
mod page;
mod plot;
mod scale;

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Seek, SeekFrom, Write},
    os::unix::{ffi::OsStrExt, fs::OpenOptionsExt},
    path::{Path, PathBuf},
};

use tempfile::NamedTempFile;

use super::{machine::Machine, outcome::Outcome, summary::Answer};
use crate::failure::Failure;

/// More than any report has. So much room is taken before anything is measured, so that a full disk shows then.
const ROOM: usize = 512 * 1024;

/// A file beside the place where the report will be. Unless it gets there, it vanishes.
pub(super) struct Draft {
    path: PathBuf,
    file: NamedTempFile<File>,
}

impl Draft {
    /// Makes the file, and room in it.
    pub(super) fn create(path: &Path) -> Result<Self, Failure> {
        let failed = |error: io::Error| failure(path, &error);
        // Where a link leads is what is replaced, not the link.
        let path = &match fs::canonicalize(path) {
            Ok(there) if there.is_file() => there,
            Ok(_) => {
                return Err(Failure::new(format!("cannot write the report to {}: it is no file", path.display()))
                    .advise("name a file that may be replaced, or one that is not there yet"));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => new_file(path)?,
            Err(error) => return Err(failed(error)),
        };
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        // With the permissions that any new file gets, and errors as they come from the kernel.
        let mut new = OpenOptions::new();
        new.write(true).create_new(true).mode(0o666);
        let mut file =
            tempfile::Builder::new().prefix(".cutaway-").make_in(folder, |path| new.open(path)).map_err(failed)?;
        let room = file.as_file_mut();
        room.write_all(&vec![0; ROOM]).and_then(|()| room.sync_data()).map_err(failed)?;
        Ok(Self { path: path.clone(), file })
    }

    /// Writes the report, whole, and puts it in its place.
    pub(super) fn finish(mut self, machine: &Machine, outcomes: &[Outcome], answers: &[Answer]) -> Result<(), Failure> {
        let page = page::page(machine, outcomes, answers);
        let file = self.file.as_file_mut();
        let written = file.seek(SeekFrom::Start(0)).and_then(|_| file.write_all(page.as_bytes()));
        let written = written.and_then(|()| file.set_len(page.len() as u64)).and_then(|()| file.sync_all());
        written.map_err(|error| failure(&self.path, &error))?;
        let path = self.path;
        self.file.persist(&path).map(drop).map_err(|error| failure(&path, &error.error))
    }
}

/// The path, if a file can be made there: that shows now, and not when everything has been measured.
fn new_file(path: &Path) -> Result<PathBuf, Failure> {
    let refuse = |why: &str| {
        Err(Failure::new(format!("cannot write the report to {:?}: {why}", path.display().to_string()))
            .advise("name a file, as in --report report.html"))
    };
    if path.file_name().is_none() || path.as_os_str().as_bytes().ends_with(b"/") {
        return refuse("it names no file");
    }
    if fs::symlink_metadata(path).is_ok() {
        return refuse("it is a link that leads nowhere");
    }
    Ok(path.to_owned())
}

fn failure(path: &Path, error: &io::Error) -> Failure {
    let failure = Failure::system(&format!("write the report to {}", path.display()), error);
    match error.kind() {
        io::ErrorKind::NotFound => failure.advise("is there such a folder?"),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            failure.advise("name a file in a folder that can be written to")
        }
        io::ErrorKind::StorageFull => failure.advise("make room, or name a file on another disk"),
        _ => failure,
    }
}
