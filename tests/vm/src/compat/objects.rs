//! The files to load: those named, and those in directories that are named.

use std::fs;
use std::path::{Path, PathBuf};

use super::verdict::Skipped;
use crate::error::{Error, Result};

/// Returns the BPF objects among `paths` and in the directories among them, sorted, and the files that are not.
pub(super) fn find(paths: &[PathBuf]) -> Result<(Vec<PathBuf>, Vec<Skipped>)> {
    let (mut objects, mut skipped) = (Vec::new(), Vec::new());
    for path in paths {
        walk(path, &mut objects, &mut skipped)?;
    }
    objects.sort();
    objects.dedup();
    Ok((objects, skipped))
}

fn walk(path: &Path, objects: &mut Vec<PathBuf>, skipped: &mut Vec<Skipped>) -> Result<()> {
    let about = fs::metadata(path).map_err(Error::file("read", path))?;
    if about.is_dir() {
        let entries: std::io::Result<Vec<_>> = fs::read_dir(path).and_then(Iterator::collect);
        let mut entries = entries.map_err(Error::file("list", path))?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for path in entries.iter().map(fs::DirEntry::path) {
            // A link to a directory may lead back to one of its parents.
            if path.is_symlink() && !path.is_file() {
                skip(&path, "a symbolic link that leads to no file", skipped);
            } else {
                walk(&path, objects, skipped)?;
            }
        }
    } else if !about.is_file() {
        skip(path, "not a regular file", skipped);
    } else if path.to_str().is_none() {
        skip(path, "its path is not UTF-8", skipped);
    } else if is_bpf(&fs::read(path).map_err(Error::file("read", path))?) {
        objects.push(path.to_path_buf());
    } else {
        skip(path, "not a BPF object", skipped);
    }
    Ok(())
}

fn skip(path: &Path, why: &str, skipped: &mut Vec<Skipped>) {
    skipped.push(Skipped { file: path.to_path_buf(), why: why.to_owned() });
}

/// Returns true for an ELF file whose machine (`e_machine`) is BPF, of either byte order.
fn is_bpf(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\x7fELF") && matches!(bytes.get(18..20), Some([247, 0] | [0, 247]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_are_walked_and_other_files_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let mut elf = b"\x7fELF".to_vec();
        elf.resize(18, 0);
        elf.extend([247, 0]);
        fs::create_dir(folder.path().join("in")).unwrap();
        fs::write(folder.path().join("in/a.o"), elf).unwrap();
        fs::write(folder.path().join("b.c"), "int main;").unwrap();
        let (objects, skipped) = find(&[folder.path().to_path_buf()]).unwrap();
        assert_eq!(objects.len(), 1);
        assert!(objects[0].ends_with("in/a.o"));
        assert_eq!(skipped.len(), 1);
        assert!(skipped[0].file.ends_with("b.c"));
        assert!(find(&[folder.path().join("absent")]).is_err());
    }
}
