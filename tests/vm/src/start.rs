//! Starts guests of one kernel: restores the saved guest, or boots where no guest is saved or where it fails.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::cache::Cache;
use crate::error::{Error, Result};
use crate::initramfs::Tree;
use crate::prepare;
use crate::progress::{Line, Screen};
use crate::qemu::Accelerator;
use crate::report::{End, Guest, lines};
use crate::run::{self, Run, Start};
use crate::saved::{Saved, slots};

/// The console of the first start, if a guest had to be started twice.
pub(crate) const FIRST_CONSOLE: &str = "console-of-first-boot.log";

/// A guest's files, packed when the first guest boots: a restored one has them in its memory.
pub(crate) struct Packing<'a> {
    tree: Tree,
    folder: &'a Path,
    packed: Mutex<Option<PathBuf>>,
}

impl<'a> Packing<'a> {
    pub(crate) fn new(tree: Tree, folder: &'a Path) -> Self {
        Self { tree, folder, packed: Mutex::new(None) }
    }

    pub(crate) fn tree(&self) -> &Tree {
        &self.tree
    }

    /// Returns the archive's path.
    pub(crate) fn path(&self) -> Result<PathBuf> {
        let mut packed = self.packed.lock().unwrap_or_else(PoisonError::into_inner);
        match &*packed {
            Some(path) => Ok(path.clone()),
            None => Ok(packed.insert(prepare::pack(&self.tree, self.folder)?).clone()),
        }
    }

    /// Removes the archive, if there is one.
    pub(crate) fn remove(&self) -> Result<()> {
        match self.packed.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(path) => fs::remove_file(&path).map_err(Error::file("remove", &path)),
            None => Ok(()),
        }
    }
}

/// The source of the guests of one kernel: a saved guest, or its files.
pub(crate) struct Starter<'a> {
    pub(crate) saved: Option<Saved>,
    pub(crate) packing: &'a Packing<'a>,
    pub(crate) cache: &'a Cache,
    pub(crate) screen: &'a Screen,
}

impl Starter<'_> {
    /// Runs a guest on the thread that calls: QEMU dies with that thread. `run.start` is replaced.
    pub(crate) fn guest(&self, run: &Run<'_>, line: &Line<'_>) -> Result<Guest> {
        let _slot = slots::take(self.cache, run.machine.memory_mib)?;
        let mut notes = Vec::new();
        if let Some(saved) = &self.saved {
            let guest = Run { start: Start::Restore(saved), ..*run }.guest(&mut |heard| line.hear(&heard))?;
            if !died_before_first_message(&guest) {
                return Ok(guest);
            }
            let why = lines::end(&guest.end);
            notes.push(self.note(run, format!("the saved guest failed ({why}); these are the results of a boot"))?);
            // The next run saves it anew. Open files of other runs stay valid.
            let _ = fs::remove_dir_all(saved.folder());
        }
        let initramfs = self.packing.path()?;
        let boot = Run { start: Start::Boot(&initramfs), ..*run };
        let mut guest = boot.guest(&mut |heard| line.hear(&heard))?;
        if run.accelerator == Accelerator::Tcg && died_before_first_message(&guest) {
            let why = lines::end(&guest.end);
            notes.push(self.note(run, format!("the first boot failed ({why}); these are the results of the second"))?);
            guest = boot.guest(&mut |heard| line.hear(&heard))?;
        }
        guest.notes.splice(0..0, notes);
        Ok(guest)
    }

    /// Reports a failed start, and keeps its console.
    fn note(&self, run: &Run<'_>, text: String) -> Result<String> {
        self.screen.say(&format!("{:<8} {text}", run.name));
        let console = run.folder.join(run::CONSOLE);
        // QEMU may have ended before it created the file.
        match fs::rename(&console, run.folder.join(FIRST_CONSOLE)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::file("rename", &console)(error)),
            _ => Ok(text),
        }
    }
}

/// Returns true if the guest died before its first message. On a busy host an emulator may starve one of a guest's CPUs
/// until another gives up. That says nothing about the tests, none of which has begun.
fn died_before_first_message(guest: &Guest) -> bool {
    guest.release.is_none() && matches!(guest.end, End::Crashed(_) | End::Hung(_) | End::Broken(_))
}
