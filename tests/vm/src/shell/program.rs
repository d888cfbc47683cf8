//! The program of a shell: busybox, which has a shell with line editing and the usual commands in one file; without it,
//! `/bin/sh` of this machine, or of the sysroot for another architecture.

use std::path::{Path, PathBuf};

use crate::base::Source;
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

/// Finds the shell: busybox of this machine, if guests are like it, or of the archive, or `/bin/sh`. `say` is called
/// with the reason for the last of them.
pub(crate) fn find(source: &Source, cache: &Cache, say: &dyn Fn(&str)) -> Result<Program, Error> {
    const SH: &str = "/bin/sh";
    let busybox = match installed(source) {
        Some(path) => Ok(path),
        None => kernel::busybox(source.arch, cache),
    };
    match busybox {
        Ok(path) => Ok(Program { path, arguments: vec!["sh".to_owned()] }),
        Err(Error::Interrupted) => Err(Error::Interrupted),
        Err(error) => {
            let why = crate::error::chain(&error);
            source.arch.check(&source.on_host(Path::new(SH)))?;
            say(&format!("the shell is {SH}, and the guest has no other commands; there is no busybox: {why}"));
            Ok(Program { path: SH.into(), arguments: Vec::new() })
        }
    }
}

/// Returns this machine's busybox, if it runs in the guest.
fn installed(source: &Source) -> Option<PathBuf> {
    let folders = std::env::var_os("PATH").filter(|_| !source.arch.is_foreign())?;
    std::env::split_paths(&folders).map(|folder| folder.join("busybox")).find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::Arch;

    #[test]
    fn busybox_of_this_machine_is_for_guests_like_it() {
        for arch in Arch::ALL.into_iter().filter(|arch| arch.is_foreign()) {
            assert_eq!(installed(&Source { arch, sysroot: None }), None);
        }
    }
}
