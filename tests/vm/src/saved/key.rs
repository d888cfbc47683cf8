//! The hash of all that makes one saved guest differ from another.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use crate::initramfs::Tree;
use crate::kernel::Kernel;
use crate::qemu::{Accelerator, Machine};

/// Changes when the files in the cache or the protocol between host and guest change without a change of process 1.
const FORMAT: &str = "cutaway-vm saved guest 1";

/// A saved guest's name in the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key(String);

impl Key {
    /// Returns the key of the guest with these files, on this kernel and machine.
    ///
    /// The files, process 1 among them, count by content. The kernel's image and QEMU's executable count by path, size,
    /// times and inode: a change of content changes the inode's change time, which no program can set.
    pub(crate) fn of(tree: &Tree, kernel: &Kernel, machine: &Machine, accelerator: Accelerator) -> Result<Self> {
        let mut hash = Sha256::new();
        hash.update(FORMAT);
        hash.update(tree.digest()?);
        hash.update(stamp(&kernel.image)?);
        hash.update(emulator(machine.arch.emulator()));
        hash.update(format!("{machine:?} {accelerator}"));
        let name: String = hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        Ok(Self(name))
    }

    pub(crate) fn name(&self) -> &str {
        &self.0
    }
}

fn stamp(path: &Path) -> Result<String> {
    let about = std::fs::metadata(path).map_err(Error::file("read", path))?;
    let times = (about.mtime(), about.mtime_nsec(), about.ctime(), about.ctime_nsec());
    Ok(format!("{path:?} {} {} {} {times:?}\n", about.len(), about.dev(), about.ino()))
}

/// Returns the stamp of QEMU's executable; its name alone if it is not installed, in which case no guest starts.
fn emulator(name: &str) -> String {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let mut paths = std::env::split_paths(&folders).map(|folder| folder.join(name));
    paths.find_map(|path| stamp(&path).ok()).unwrap_or_else(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::Arch;

    #[test]
    fn every_part_changes_the_key() {
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("vmlinuz");
        std::fs::write(&image, "kernel").unwrap();
        let kernel = Kernel { image: image.clone(), config: None, release: None, version: None, packages: Vec::new() };
        let machine = Machine { arch: Arch::X86_64, cpus: 2, max_cpus: 2, memory_mib: 512, append: Vec::new() };
        let mut tree = Tree::new(false);
        tree.write("/a", "1");
        let of = |tree: &Tree, machine: &Machine, accelerator| Key::of(tree, &kernel, machine, accelerator).unwrap();
        let first = of(&tree, &machine, Accelerator::Tcg);
        assert_eq!(of(&tree, &machine, Accelerator::Tcg), first);
        assert_ne!(of(&tree, &machine, Accelerator::Kvm), first);
        let other = Machine { arch: Arch::Aarch64, ..machine.clone() };
        assert_ne!(of(&tree, &other, Accelerator::Tcg), first);
        let more = Machine { append: vec!["quiet".into()], ..machine.clone() };
        assert_ne!(of(&tree, &more, Accelerator::Tcg), first);
        let mut other = tree.clone();
        other.write("/a", "2");
        assert_ne!(of(&other, &machine, Accelerator::Tcg), first);
        std::fs::write(&image, "kernal").unwrap();
        assert_ne!(of(&tree, &machine, Accelerator::Tcg), first, "the kernel changed, its size did not");
    }
}
