//! Resolves paths below the root directory of another process.
//!
//! `/proc/PID/root` leads to that directory. The kernel would follow an absolute symbolic link from *the caller's*
//! root, so this module follows links itself. The text of a magic link (`/proc/PID/root`, `fd/N`) does not say where it
//! leads: the kernel follows those.

use std::{
    fs,
    os::unix::ffi::OsStrExt,
    path::{Component, Path, PathBuf},
};

/// Returns the root directory of a process.
pub(super) fn root(pid: u32) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/root"))
}

/// Returns true for a path below the root directory that ends in a magic link, or leads through one: `proc/PID/root`,
/// `cwd`, `exe`, `fd/N` or `map_files/…`. The link's text does not say where it leads; only the kernel can follow it.
pub(super) fn magic(path: &Path) -> bool {
    ends_magically(path) || path.ancestors().skip(1).any(ends_magically)
}

fn ends_magically(path: &Path) -> bool {
    let parts: Vec<&[u8]> = path.components().map(|part| part.as_os_str().as_bytes()).collect();
    let parts = parts.strip_prefix(&[&b"/"[..]]).unwrap_or(&parts);
    let [b"proc", process, rest @ ..] = parts else { return false };
    let is_number = |text: &[u8]| !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    let rest = match rest {
        [b"task", thread, rest @ ..] if is_number(thread) => rest,
        rest => rest,
    };
    (is_number(process) || [&b"self"[..], b"thread-self"].contains(process))
        && matches!(rest, [b"root" | b"cwd" | b"exe"] | [b"fd" | b"map_files", _])
}

/// Returns true for the links that name the reading process or thread.
fn is_own(path: &Path) -> bool {
    ["proc/self", "proc/thread-self"].iter().any(|link| path == Path::new(link))
}

/// Resolves `path` below `root`: follows symbolic links as if `root` were `/`. Returns `None` if they form a loop.
pub(super) fn resolve(root: &Path, path: &Path) -> Option<PathBuf> {
    /// The kernel's limit (`MAXSYMLINKS`).
    const MOST: u32 = 40;
    let mut followed = 0;
    // The components that remain, the next one last.
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
            // Only the kernel knows the parent of a magic link's target.
            if ends_magically(&walked) || walked.ends_with("..") {
                walked.push("..");
            } else {
                walked.pop();
            }
            continue;
        }
        let next = walked.join(&part);
        if ends_magically(&next) {
            walked = next;
            continue;
        }
        match fs::read_link(root.join(&next)) {
            // The link names the process that reads it, not the process of this root.
            Ok(_) if is_own(&next) && root.parent().is_some_and(|of| of.starts_with("/proc")) => {
                walked = root.parent().unwrap_or(root).to_owned();
            }
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
        let directory = std::env::temp_dir().join(format!("cutaway-root-{}", std::process::id()));
        fs::create_dir_all(directory.join("usr/lib")).unwrap();
        for (target, link) in [("/usr/lib", "lib"), ("../../../../lib/x", "usr/lib/y"), ("circle", "circle")] {
            std::os::unix::fs::symlink(target, directory.join(link)).unwrap();
        }
        let answers =
            ["/lib/x", "lib/y", "../../usr/lib/./x", "/circle"].map(|path| resolve(&directory, Path::new(path)));
        fs::remove_dir_all(&directory).unwrap();
        let x = directory.join("usr/lib/x");
        assert_eq!(answers, [Some(x.clone()), Some(x.clone()), Some(x), None]);
    }

    #[test]
    fn kernel_follows_magic_links() {
        for path in ["proc/1/root", "/proc/1/root/lib/x", "proc/1/fd/7", "proc/1/task/2/exe", "proc/1/map_files/1-2"] {
            assert!(magic(Path::new(path)), "{path}");
        }
        for path in ["proc/1", "proc/x/root", "a/proc/1/root", "proc/1/fd", "proc/1/maps", "proc/1/task/root"] {
            assert!(!magic(Path::new(path)), "{path}");
        }
        let root = root(std::process::id());
        let below = |path: &str| resolve(&root, Path::new(path)).unwrap();
        assert_eq!(below("/proc/1/root/lib/../x"), root.join("proc/1/root/x"));
        assert_eq!(below("/proc/1/root/../x"), root.join("proc/1/root/../x"));
        // As the process sees it, not as the reader does.
        for path in ["/proc/self/exe", "/proc/thread-self/exe"] {
            assert_eq!(below(path), Path::new(&format!("/proc/{}/exe", std::process::id())));
        }
    }
}
