//! A directory of modules, such as `/lib/modules/RELEASE`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::name::normal;
use crate::error::{Error, Result};

/// The largest number of similar names in a message.
const SIMILAR: usize = 5;

/// The modules in a directory, and the ones built into its kernel.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    files: BTreeMap<String, PathBuf>,
    built_in: BTreeSet<String>,
}

impl Directory {
    /// Lists a directory and those below it.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let mut files: BTreeMap<String, PathBuf> = BTreeMap::new();
        // If two modules have one name, depmod(8) takes the one in `updates`. Elsewhere the first path is taken: the
        // order of a directory's entries must not decide.
        let rank = |file: &Path| {
            let inside = file.strip_prefix(path).unwrap_or(file).to_path_buf();
            (!inside.starts_with("updates"), inside)
        };
        let mut waiting = vec![path.to_path_buf()];
        while let Some(folder) = waiting.pop() {
            for entry in fs::read_dir(&folder).map_err(Error::file("list", &folder))? {
                let entry = entry.map_err(Error::file("list", &folder))?;
                // A link, such as `build`, leads out of the directory.
                let kind = entry.file_type().map_err(Error::file("read", entry.path()))?;
                if kind.is_dir() {
                    waiting.push(entry.path());
                } else if let Some(name) = name(&entry.path()) {
                    let file = entry.path();
                    if files.get(&name).is_none_or(|other| rank(&file) < rank(other)) {
                        files.insert(name, file);
                    }
                }
            }
        }
        if files.is_empty() {
            let why = "there is no kernel module (.ko) in this directory".to_owned();
            return Err(Error::Unusable { path: path.to_path_buf(), why });
        }
        // Without this file each module must be in the directory.
        let list = fs::read_to_string(path.join("modules.builtin")).unwrap_or_default();
        let built_in = list.lines().filter_map(|line| name(Path::new(line.trim()))).collect();
        Ok(Self { path: path.to_path_buf(), files, built_in })
    }

    pub(super) fn file(&self, name: &str) -> Option<&Path> {
        self.files.get(name).map(PathBuf::as_path)
    }

    pub(super) fn is_built_in(&self, name: &str) -> bool {
        self.built_in.contains(name)
    }

    /// Returns the path of a file, relative to the directory.
    pub(super) fn inside<'p>(&self, path: &'p Path) -> &'p Path {
        path.strip_prefix(&self.path).unwrap_or(path)
    }

    /// Returns the error for a module that is not there.
    pub(super) fn lacks(&self, name: &str, user: Option<&str>) -> Error {
        let mut similar: Vec<(usize, &str)> = self
            .files
            .keys()
            .chain(&self.built_in)
            .map(|other| (distance(name, other), other.as_str()))
            .filter(|(distance, _)| *distance <= name.len() / 3)
            .collect();
        similar.sort_unstable();
        let similar: Vec<&str> = similar.iter().take(SIMILAR).map(|(_, name)| *name).collect();
        let advice = if similar.is_empty() {
            "no similar name is there".to_owned()
        } else {
            format!("similar names: {}", similar.join(", "))
        };
        let user = user.map(|user| format!(", which {user} needs,")).unwrap_or_default();
        Error::NoModule { name: format!("{name}{user}"), path: self.path.clone(), advice }
    }
}

/// Returns the number of edits between two names; few if one contains the other.
fn distance(name: &str, other: &str) -> usize {
    let edits = strsim::damerau_levenshtein(name, other);
    if name.len() >= 3 && other.contains(name) { edits.min(1) } else { edits }
}

/// Returns the name of the module in a file; `None` if the file is not a module.
fn name(path: &Path) -> Option<String> {
    let (name, suffix) = path.file_name()?.to_str()?.split_once(".ko")?;
    (suffix.is_empty() || suffix.starts_with('.')).then(|| normal(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_have_names_of_modules() {
        let name = |path: &str| name(Path::new(path));
        assert_eq!(name("kernel/net/nf-tables.ko.xz").as_deref(), Some("nf_tables"));
        assert_eq!(name("veth.ko").as_deref(), Some("veth"));
        assert_eq!(name("modules.builtin"), None);
        assert_eq!(name("veth.kolibri"), None);
    }

    #[test]
    fn directory_without_modules_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let line = Directory::open(folder.path()).unwrap_err().to_string();
        assert!(line.ends_with("there is no kernel module (.ko) in this directory"), "{line}");
        assert!(Directory::open(&folder.path().join("absent")).is_err());
    }
}
