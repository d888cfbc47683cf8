//! The program of a shell: busybox, which has a shell with line editing and the usual commands in one file; without it,
//! this machine's `/bin/sh`.

use std::path::{Path, PathBuf};

use crate::cache::Cache;
use crate::error::Error;
use crate::kernel;

/// The shell that a guest gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Program {
    /// The file that the guest needs.
    pub(crate) path: PathBuf,
    pub(crate) arguments: Vec<String>,
}

impl Program {
    pub(crate) fn is_busybox(&self) -> bool {
        is_busybox(&self.path)
    }
}

/// Returns true for busybox, whose commands process 1 links.
pub(crate) fn is_busybox(program: &Path) -> bool {
    program.file_name().is_some_and(|name| name == "busybox")
}

/// Finds the shell: busybox of this machine, or of the archive, or `/bin/sh`. `say` is called with the reason for the
/// last of them.
pub(crate) fn find(cache: &Cache, say: &dyn Fn(&str)) -> Result<Program, Error> {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let installed = std::env::split_paths(&folders).map(|folder| folder.join("busybox")).find(|path| path.is_file());
    let busybox = match installed {
        Some(path) => Ok(path),
        None => kernel::busybox(cache),
    };
    match busybox {
        Ok(path) => Ok(Program { path, arguments: vec!["sh".to_owned()] }),
        Err(Error::Interrupted) => Err(Error::Interrupted),
        Err(error) => {
            let why = crate::error::chain(&error);
            say(&format!("the shell is /bin/sh, and the guest has no other commands; there is no busybox: {why}"));
            Ok(Program { path: "/bin/sh".into(), arguments: Vec::new() })
        }
    }
}
