//! Finds files as another process sees them.
//!
//! A process in a container has another root directory (see `root.rs`). `/proc/PID/maps` lists the mapped files by
//! paths from the reader's root (`d_path`), which may differ from the process's root. So a path from there is used only
//! if it leads to the mapped file; otherwise the link in `/proc/PID/map_files` is used. That link works even if the
//! file was deleted or replaced.

use std::{
    ffi::OsStr,
    fs, io,
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::{Path, PathBuf},
};

use log::{info, warn};

use super::{
    maps::{Mapping, mappings},
    root::{magic, resolve, root},
    view::{View, is_path, mapped},
};
use crate::{Errno, Error};

/// Returns the file that `library` names for the process `pid`: a path in its file system, or the name of a file that
/// it has mapped.
pub(super) fn find(pid: u32, library: &OsStr) -> Result<PathBuf, Error> {
    let failed = |why: String| Error::Library { library: library.to_string_lossy().into_owned(), why };
    if library.is_empty() {
        return Err(failed("its name is empty".to_owned()));
    }
    if is_path(library) {
        return by_path(pid, Path::new(library)).map_err(failed);
    }
    let (task, maps) = maps(pid).map_err(failed)?;
    let mut of_that_name = mapped(&maps, library);
    if let Some(first) = of_that_name.next() {
        let mut others = of_that_name.filter(|other| other.executable && other.inode != first.inode);
        if let Some(other) = others.next() {
            let [taken, other] = [first.path, other.path].map(String::from_utf8_lossy);
            warn!("the process {pid} has mapped {taken} and {other}: taking the first; give a path for another one");
        }
        return reach(task, &first).map_err(failed);
    }
    let view = View::of(pid);
    let found = view.search(library).ok_or_else(|| {
        failed(format!("the process {pid} has mapped no such file, and has none {}", view.locations()))
    })?;
    info!("the process {pid} has not mapped {} so far", found.display());
    Ok(found)
}

fn by_path(pid: u32, library: &Path) -> Result<PathBuf, String> {
    let root = root(pid);
    // Only the root itself can be out of reach. If a file below it is missing, the path's own error says so.
    if let Err(error) = fs::metadata(&root) {
        return Err(unreadable(pid, &root, &error));
    }
    let path = resolve(&root, library).ok_or("its path has a loop of symbolic links")?;
    match fs::metadata(&path) {
        Ok(file) if file.is_file() => {
            warn_if_not_mapped(pid, &path, &file);
            Ok(path)
        }
        Ok(_) => Err(format!("for the process {pid} that is not a regular file")),
        // A root directory without procfs: only the caller's path can be meant.
        Err(_) if magic(library.strip_prefix("/").unwrap_or(library)) => match fs::metadata(library) {
            Ok(file) if file.is_file() => {
                warn_if_not_mapped(pid, library, &file);
                Ok(library.to_owned())
            }
            _ => Err(format!("neither the process {pid} nor this one has such a file")),
        },
        Err(error) => {
            // The file was deleted or replaced, or is outside of the process's root.
            let has_mapped = |name: &&OsStr| maps(pid).is_ok_and(|(_, maps)| mapped(&maps, name).next().is_some());
            let advice = library.file_name().filter(has_mapped).map_or_else(String::new, |name| {
                format!("; it has mapped a file of that name: give the name alone, `{}`", name.display())
            });
            Err(format!("the process {pid} has no such file: {}: {}{advice}", path.display(), Errno::of(&error)))
        }
    }
}

/// Warns if the process has mapped files, but not the caller's file at this path. In another root directory the path
/// leads to another file. The process may still map the file later.
pub(super) fn warn_if_unmapped(pid: u32, path: &Path) {
    if let Ok(file) = fs::metadata(path) {
        warn_if_not_mapped(pid, path, &file);
    }
}

fn warn_if_not_mapped(pid: u32, path: &Path, file: &fs::Metadata) {
    let Ok((task, maps)) = maps(pid) else { return };
    let is_it = |mapping: &Mapping<'_>| {
        // Some file systems show another inode in `maps` than to stat(2). And the links may be unreadable: then the
        // inode counts, but not alone, because files of other file systems can have the same.
        mapping.inode == file.ino() && Path::new(OsStr::from_bytes(mapping.path)).file_name() == path.file_name()
            || fs::metadata(mapping.link(task)).is_ok_and(|it| (it.dev(), it.ino()) == (file.dev(), file.ino()))
    };
    let mut all = mappings(&maps).peekable();
    if all.peek().is_none() || all.any(|mapping| is_it(&mapping)) {
        return;
    }
    let name = path.file_name().unwrap_or_default();
    let advice = match mapped(&maps, name).next() {
        Some(other) => {
            let other = String::from_utf8_lossy(other.path);
            format!("it has mapped {other}: to attach there, give the name alone, `{}`", name.display())
        }
        None => format!("the name alone, `{}`, is looked up among what it has mapped", name.display()),
    };
    warn!("process {pid} has not mapped {} so far, so no probe there is hit; {advice}", path.display());
}

/// Returns the contents of the process's `maps`, and the thread whose `maps` was read: another thread if the first one
/// has ended.
fn maps(pid: u32) -> Result<(u32, Vec<u8>), String> {
    let file = |task: u32| PathBuf::from(format!("/proc/{task}/maps"));
    let text = fs::read(file(pid)).map_err(|error| unreadable(pid, &file(pid), &error))?;
    if !text.is_empty() {
        return Ok((pid, text));
    }
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let mut threads = threads.filter_map(|thread| thread.file_name().to_str()?.parse().ok());
    let living = threads.find_map(|task| Some((task, fs::read(file(task)).ok().filter(|text| !text.is_empty())?)));
    living.ok_or_else(|| {
        // The format is `pid (comm) state …`; `comm` may contain any byte.
        let stat = fs::read(format!("/proc/{pid}/stat")).unwrap_or_default();
        let state = stat.rsplit(|&byte| byte == b')').next().and_then(|rest| rest.get(1));
        match state {
            Some(b'Z' | b'X') => {
                format!("the process {pid} has ended (it is a zombie), and no longer has any mapping")
            }
            _ => format!("the process {pid} has mapped nothing: it is a kernel thread, or is about to end"),
        }
    })
}

fn unreadable(pid: u32, path: &Path, error: &io::Error) -> String {
    let errno = Errno::of(error);
    let advice = match errno.raw() {
        libc::ENOENT | libc::ESRCH => format!(": there is no process {pid}, or it has ended"),
        libc::EACCES | libc::EPERM => ": reading another user's process requires CAP_SYS_PTRACE".to_owned(),
        _ => String::new(),
    };
    format!("{} cannot be read: {errno}{advice}", path.display())
}

/// Returns a path that leads to a mapped file: below the process's root, below the caller's root (if the caller is in a
/// chroot), or the mapping's link.
fn reach(pid: u32, mapping: &Mapping<'_>) -> Result<PathBuf, String> {
    let link = mapping.link(pid);
    let mapped = fs::metadata(&link);
    let is_it = |path: &PathBuf| match (fs::metadata(path), &mapped) {
        (Ok(file), Ok(mapped)) => (file.dev(), file.ino()) == (mapped.dev(), mapped.ino()),
        (Ok(file), Err(_)) => file.is_file() && file.ino() == mapping.inode,
        (Err(_), _) => false,
    };
    let paths = mapping.paths();
    let paths = paths.iter().map(|path| Path::new(OsStr::from_bytes(path)));
    let below = paths.clone().map(|path| root(pid).join(path.strip_prefix("/").unwrap_or(path)));
    match below.chain(paths.map(Path::to_owned)).find(is_it) {
        Some(path) => Ok(path),
        None => match mapped {
            Ok(_) => Ok(link),
            Err(error) => Err(format!(
                "the process {pid} has mapped {}, whose path no longer leads to it, and {} cannot be read: {}",
                String::from_utf8_lossy(mapping.path),
                link.display(),
                Errno::of(&error)
            )),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_path_error_names_a_mapped_file() {
        let why = |path: &str| by_path(std::process::id(), Path::new(path)).unwrap_err();
        let here = std::env::current_exe().unwrap();
        let name = here.file_name().unwrap().to_str().unwrap();
        let line = why(&format!("/absent/{name}"));
        assert!(line.contains("ENOENT") && line.ends_with(&format!("give the name alone, `{name}`")), "{line}");
        for path in ["/absent/libabsent.so", "/absent/.."] {
            assert!(!why(path).contains("alone"), "{path}");
        }
    }

    #[test]
    fn file_behind_a_magic_link_is_found() {
        let pid = std::process::id();
        let own = std::env::current_exe().unwrap();
        for path in [format!("/proc/{pid}/exe"), format!("/proc/{pid}/root{}", own.display())] {
            let found = find(pid, OsStr::new(&path)).unwrap();
            assert_eq!(fs::metadata(found).unwrap().ino(), fs::metadata(&own).unwrap().ino(), "{path}");
        }
    }

    #[test]
    fn our_own_libc_is_found_by_name_and_by_path() {
        let pid = std::process::id();
        let by_name = find(pid, OsStr::new("libc.so.6")).unwrap();
        let own = super::super::library::find(OsStr::new("libc.so.6")).unwrap();
        assert_eq!(by_name, Path::new(&format!("/proc/{pid}/root{}", own.display())));
        assert_eq!(find(pid, own.as_os_str()).unwrap(), by_name);
        // The same without the mapped files.
        let searched = View::of(pid).search(OsStr::new("libc.so.6")).unwrap();
        assert_eq!(fs::metadata(searched).unwrap().ino(), fs::metadata(by_name).unwrap().ino());
        let error = find(pid, OsStr::new("libnothing.so")).unwrap_err().to_string();
        assert!(error.contains("has mapped no such file") && error.contains("/etc/ld.so.cache"), "{error}");
    }

    #[test]
    fn mapped_file_is_reached_by_its_path_or_link() {
        let pid = std::process::id();
        let maps = fs::read(format!("/proc/{pid}/maps")).unwrap();
        let own = std::env::current_exe().unwrap();
        let mapping = mapped(&maps, own.file_name().unwrap()).next().unwrap();
        let below = |path: &Path| root(pid).join(path.strip_prefix("/").unwrap());
        assert_eq!(reach(pid, &mapping).unwrap(), below(&own));
        // A path that leads nowhere, or to another file, as after an upgrade or in a chroot.
        for path in ["/no/such/file", "/etc/passwd", "/x (deleted)"] {
            let elsewhere = Mapping { path: path.as_bytes(), ..mapping };
            let link = reach(pid, &elsewhere).unwrap();
            assert_eq!(link, mapping.link(pid));
            assert_eq!(fs::metadata(&link).unwrap().ino(), fs::metadata(&own).unwrap().ino());
        }
    }

    #[test]
    fn ended_process_and_zombie_are_reported() {
        let error = |pid, name: &str| find(pid, OsStr::new(name)).unwrap_err().to_string();
        let gone = 0x7fff_fff0;
        assert!(error(gone, "libc.so.6").contains("ENOENT"), "{}", error(gone, "libc.so.6"));
        assert!(error(gone, "/bin/sh").contains("there is no process"), "{}", error(gone, "/bin/sh"));
        let mut command = std::process::Command::new("/proc/self/exe");
        let mut child = command.arg("--list").stdout(std::process::Stdio::null()).spawn().unwrap();
        let stat = || fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
        while !stat().contains(") Z") {
            std::thread::yield_now();
        }
        let line = error(child.id(), "libc.so.6");
        child.wait().unwrap();
        assert!(line.contains("zombie"), "{line}");
    }
}
