//! Keeps the saved guests few and young.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::entry::{ABOUT, About, MEMORY};
use crate::cache::Cache;
use crate::error::{Error, Result};

/// A saved guest that no run has used for so long is removed.
const AGE: Duration = Duration::from_secs(7 * 24 * 60 * 60);
const LOCK: &str = ".lock";
const UNFINISHED: &str = ".new";

/// A saved guest in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) folder: PathBuf,
    /// The kernel; `None` if its description cannot be read.
    pub(super) kernel: Option<String>,
    /// The disk space of its files in bytes.
    pub(super) bytes: u64,
    /// The time since its last use.
    pub(super) age: Duration,
}

/// Returns the directory of saved guests.
pub(super) fn home(cache: &Cache) -> Result<PathBuf> {
    let home = cache.path("saved");
    fs::create_dir_all(&home).map_err(Error::file("create", &home))?;
    Ok(home)
}

/// Returns the directory in which a guest is being saved.
pub(super) fn unfinished(home: &Path, key: &str) -> PathBuf {
    home.join(format!("{key}{UNFINISHED}"))
}

/// Waits for the right to save the guest `key`.
pub(super) fn lock(home: &Path, key: &str) -> Result<File> {
    let path = home.join(format!("{key}{LOCK}"));
    loop {
        let file = File::create(&path).map_err(Error::file("create", &path))?;
        file.lock().map_err(Error::file("lock", &path))?;
        if still_there(&file, &path) {
            return Ok(file);
        }
    }
}

/// Returns false if a lock file was removed, and perhaps created anew, before it was locked.
fn still_there(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::metadata(path)) {
        (Ok(ours), Ok(theirs)) => ours.ino() == theirs.ino() && ours.dev() == theirs.dev(),
        _ => false,
    }
}

/// Removes a directory and its files; it need not exist.
pub(super) fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::file("remove", folder)(error)),
        _ => Ok(()),
    }
}

/// Lists the saved guests, the last used first.
pub(super) fn list(home: &Path) -> Result<Vec<Listed>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(home).map_err(Error::file("list", home))? {
        let folder = entry.map_err(Error::file("list", home))?.path();
        if !folder.is_dir() || folder.extension().is_some() {
            continue;
        }
        let about = fs::read(folder.join(ABOUT)).ok().and_then(|text| serde_json::from_slice::<About>(&text).ok());
        let used =
            fs::metadata(folder.join(ABOUT)).and_then(|about| about.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
        let files = fs::read_dir(&folder).into_iter().flatten().flatten();
        all.push(Listed {
            kernel: about.map(|about| about.kernel),
            bytes: files.filter_map(|file| file.metadata().ok()).map(|about| about.blocks() * 512).sum(),
            // A clock that was set back makes it new.
            age: SystemTime::now().duration_since(used).unwrap_or_default(),
            folder,
        });
    }
    all.sort_by_key(|one| one.age);
    Ok(all)
}

/// Removes saved guests that are old or damaged, and the least recently used until the rest fits `limit` bytes. Also
/// removes the files of killed runs. A saved guest in use stays. Returns the number of those removed.
pub(super) fn prune(cache: &Cache, limit: u64) -> Result<usize> {
    let home = home(cache)?;
    remove_unfinished(&home)?;
    let mut kept = 0;
    let mut removed = 0;
    for one in list(&home)? {
        let too_much = kept + one.bytes > limit;
        if (one.age > AGE || one.kernel.is_none() || too_much) && remove_unused(&one.folder)? {
            removed += 1;
        } else {
            kept += one.bytes;
        }
    }
    Ok(removed)
}

/// Removes a saved guest; returns false if a run uses it.
fn remove_unused(folder: &Path) -> Result<bool> {
    if let Ok(memory) = File::open(folder.join(MEMORY)) {
        if memory.try_lock().is_err() {
            return Ok(false);
        }
        // A run that opens it now finds after its lock that the file is gone.
        return remove(folder).map(|()| true);
    }
    remove(folder).map(|()| true)
}

/// Removes the files of runs that were killed while they saved, and lock files without a holder.
fn remove_unfinished(home: &Path) -> Result<()> {
    for entry in fs::read_dir(home).map_err(Error::file("list", home))? {
        let path = entry.map_err(Error::file("list", home))?.path();
        let Some(key) = path.file_name().and_then(|name| name.to_str()?.strip_suffix(LOCK)) else { continue };
        let Ok(file) = File::open(&path) else { continue };
        // A run that saves has the lock.
        if file.try_lock().is_ok() && still_there(&file, &path) {
            remove(&unfinished(home, key))?;
            fs::remove_file(&path).map_err(Error::file("remove", &path))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::entry::{Saved, write};
    use super::*;

    fn add(home: &Path, name: &str, age: u64) -> PathBuf {
        let folder = home.join(name);
        fs::create_dir(&folder).unwrap();
        write(&folder, "6.1", &mut vec![1; 1 << 20].as_slice()).unwrap();
        let about = File::options().append(true).open(folder.join(ABOUT)).unwrap();
        about.set_modified(SystemTime::now() - Duration::from_secs(age)).unwrap();
        folder
    }

    #[test]
    fn old_and_least_recently_used_guests_are_removed_but_none_in_use() {
        let root = tempfile::tempdir().unwrap();
        let cache = Cache::at(root.path()).unwrap();
        let home = home(&cache).unwrap();
        let (new, older) = (add(&home, "new", 1), add(&home, "older", 100));
        let used = add(&home, "used", 9 * 24 * 3600);
        let old = add(&home, "old", 8 * 24 * 3600);
        let held = Saved::open(&used).unwrap().unwrap();
        let set_back = File::options().append(true).open(used.join(ABOUT)).unwrap();
        set_back.set_modified(SystemTime::now() - Duration::from_secs(9 * 24 * 3600)).unwrap();
        assert_eq!(prune(&cache, 1 << 30).unwrap(), 1);
        assert!(!old.exists() && used.exists() && older.exists());
        assert_eq!(prune(&cache, 3 << 19).unwrap(), 1, "two do not fit, and the older one goes");
        assert!(new.exists() && used.exists() && !older.exists());
        drop(held);
        assert_eq!(prune(&cache, 0).unwrap(), 2);
        assert_eq!(list(&home).unwrap(), []);
    }

    #[test]
    fn rest_of_a_killed_save_is_removed_and_a_running_one_stays() {
        let root = tempfile::tempdir().unwrap();
        let cache = Cache::at(root.path()).unwrap();
        let home = home(&cache).unwrap();
        fs::create_dir(unfinished(&home, "a")).unwrap();
        let held = lock(&home, "a").unwrap();
        prune(&cache, 1 << 30).unwrap();
        assert!(unfinished(&home, "a").exists());
        drop(held);
        prune(&cache, 1 << 30).unwrap();
        assert_eq!(fs::read_dir(&home).unwrap().count(), 0);
    }
}
