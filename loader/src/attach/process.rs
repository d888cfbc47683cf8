//! Files as another process sees them.
//!
//! A process in a container has another root folder; `/proc/PID/root` leads there. But a symbolic link with an absolute path,
//! followed by us, would lead to *our* root, so links are followed here by hand. What a process has mapped is listed in
//! `/proc/PID/maps` by the path it had, and a file that was deleted or replaced since is still there in `/proc/PID/map_files`.

use std::{
    fs,
    path::{Component, Path, PathBuf},
};

use super::library::answers;
use crate::{Errno, Error};

/// The file that `library` names for the process `pid`: a path in its file system, or the name of something it has mapped.
pub(super) fn find(pid: u32, library: &str) -> Result<PathBuf, Error> {
    let failed = |why: String| Error::Library { library: library.to_owned(), why };
    let root = PathBuf::from(format!("/proc/{pid}/root"));
    if library.contains('/') {
        let path = resolve(&root, Path::new(library)).ok_or_else(|| failed("its path leads in circles".to_owned()))?;
        return match path.is_file() {
            true => Ok(path),
            false => Err(failed(format!("the process {pid} has no such file, or is not there"))),
        };
    }
    let maps = format!("/proc/{pid}/maps");
    let text =
        fs::read_to_string(&maps).map_err(|error| failed(format!("{maps} cannot be read: {}", Errno::of(&error))))?;
    mapped(&text, library)
        .map(|(range, path)| match path.strip_suffix(" (deleted)") {
            Some(_) => PathBuf::from(format!("/proc/{pid}/map_files/{range}")),
            None => root.join(path.trim_start_matches('/')),
        })
        .ok_or_else(|| failed(format!("the process {pid} has mapped no such file")))
}

/// The first mapping of a file of this name: its addresses, and the file's path.
fn mapped<'a>(maps: &'a str, library: &str) -> Option<(&'a str, &'a str)> {
    maps.lines().find_map(|line| {
        let path = line.get(line.find('/')?..)?;
        let file = path.strip_suffix(" (deleted)").unwrap_or(path);
        let name = Path::new(file).file_name()?.to_str()?;
        answers(name, library).then_some((line.split_whitespace().next()?, path))
    })
}

/// `path` below `root`, symbolic links followed as if `root` were `/`; `None` if they lead in circles.
fn resolve(root: &Path, path: &Path) -> Option<PathBuf> {
    /// As many as the kernel follows.
    const MOST: u32 = 40;
    let mut followed = 0;
    // Components still to be walked, the next one last.
    let parts = |path: &Path| -> Vec<PathBuf> {
        path.components()
            .rev()
            .filter(|part| matches!(part, Component::Normal(_) | Component::ParentDir))
            .map(|part| PathBuf::from(part.as_os_str()))
            .collect()
    };
    let mut rest = parts(path);
    let mut walked = PathBuf::new();
    while let Some(part) = rest.pop() {
        if part == Path::new("..") {
            walked.pop();
            continue;
        }
        let next = walked.join(&part);
        match fs::read_link(root.join(&next)) {
            Ok(target) => {
                followed += 1;
                if followed > MOST {
                    return None;
                }
                if target.is_absolute() {
                    walked = PathBuf::new();
                }
                rest.extend(parts(&target));
            }
            Err(_) => walked = next,
        }
    }
    Some(root.join(walked))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_followed_below_the_root() {
        let folder = std::env::temp_dir().join(format!("cutaway-root-{}", std::process::id()));
        fs::create_dir_all(folder.join("usr/lib")).unwrap();
        for (target, link) in [("/usr/lib", "lib"), ("../../../../lib/x", "usr/lib/y"), ("circle", "circle")] {
            std::os::unix::fs::symlink(target, folder.join(link)).unwrap();
        }
        let answers = ["/lib/x", "lib/y", "../../usr/lib/./x", "/circle"].map(|path| resolve(&folder, Path::new(path)));
        fs::remove_dir_all(&folder).unwrap();
        let x = folder.join("usr/lib/x");
        assert_eq!(answers, [Some(x.clone()), Some(x.clone()), Some(x), None]);
    }

    #[test]
    fn our_own_libc_is_found_by_name_and_by_path() {
        let pid = std::process::id();
        let by_name = find(pid, "libc.so.6").unwrap();
        let own = super::super::library::find("libc.so.6").unwrap();
        assert_eq!(by_name, Path::new(&format!("/proc/{pid}/root{}", own.display())));
        assert_eq!(find(pid, own.to_str().unwrap()).unwrap(), by_name);
        assert!(find(pid, "libnothing.so").unwrap_err().to_string().contains("has mapped no such file"));
    }

    #[test]
    fn what_was_deleted_is_found_among_the_mapped_files() {
        let maps = "7f00-7f10 r-xp 00000000 00:1 5 /lib/a.so.1 (deleted)\n7f20-7f30 r-xp 0 00:1 6 /lib/b c.so\n";
        assert_eq!(mapped(maps, "a"), Some(("7f00-7f10", "/lib/a.so.1 (deleted)")));
        assert_eq!(mapped(maps, "b c.so"), Some(("7f20-7f30", "/lib/b c.so")));
        assert_eq!(mapped(maps, "c.so"), None);
    }
}
