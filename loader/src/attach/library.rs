//! Finding a library by its bare name, as the dynamic loader would.
//!
//! A name with a slash is a path. One without is looked for, in this order:
//! 1. among the files mapped into this very process: whatever the dynamic loader chose is right by definition;
//! 2. in the folders of `LD_LIBRARY_PATH`;
//! 3. in `/etc/ld.so.cache`, which `ldconfig` keeps (`ld.so(8)`);
//! 4. in the loader's default folders;
//! 5. if it has no `.so`, in the folders of `PATH`, as the shell would: an executable can be probed as well.
//!
//! A name without `.so`, such as `libc`, means its first version found.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
};

use crate::{Errno, Error};

/// The file that `library` names.
pub(crate) fn find(library: &str) -> Result<PathBuf, Error> {
    let failed = |why: String| Error::Library { library: library.to_owned(), why };
    if library.is_empty() {
        return Err(failed("its name is empty".to_owned()));
    }
    if library.contains('/') {
        // Never canonicalized: text cannot say where a magic link (`/proc/PID/root`, `/proc/self/fd/N`) leads, and the
        // kernel follows the path as it is.
        return match fs::metadata(library) {
            Ok(_) => Ok(PathBuf::from(library)),
            Err(error) => Err(failed(format!("{}; give the path of an existing file", plain(&error)))),
        };
    }
    let folders = env::var_os("LD_LIBRARY_PATH");
    let folders: Vec<PathBuf> = folders.iter().flat_map(|folders| env::split_paths(folders)).collect();
    mapped(library)
        .map_err(|error| failed(format!("{MAPS} cannot be read: {}", Errno::of(&error))))?
        .or_else(|| in_folders(&folders, library))
        .or_else(|| in_cache(library))
        .or_else(|| in_folders(&DEFAULT.map(PathBuf::from), library))
        .or_else(|| executable(library))
        .ok_or_else(|| {
            failed(format!(
                "it is not among this process's libraries, in LD_LIBRARY_PATH, in {CACHE}, in {}, or in PATH; give its path instead",
                DEFAULT.join(", ")
            ))
        })
}

const MAPS: &str = "/proc/self/maps";
const CACHE: &str = "/etc/ld.so.cache";
const DEFAULT: [&str; 4] = ["/lib64", "/usr/lib64", "/lib", "/usr/lib"];

/// Whether a file's name is what `library` asks for.
pub(super) fn answers(file: &str, library: &str) -> bool {
    file == library
        || !library.contains(".so")
            && file.strip_prefix(library).is_some_and(|rest| rest == ".so" || rest.starts_with(".so."))
}

fn mapped(library: &str) -> io::Result<Option<PathBuf>> {
    let maps = match fs::read_to_string(MAPS) {
        // Without procfs there are the other places.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        answer => answer?,
    };
    let path = maps
        .lines()
        .filter_map(|line| line.find('/').and_then(|start| line.get(start..)))
        .map(Path::new)
        .find(|path| path.file_name().and_then(|name| name.to_str()).is_some_and(|name| answers(name, library)));
    Ok(path.map(Path::to_owned))
}

fn in_folders(folders: &[PathBuf], library: &str) -> Option<PathBuf> {
    folders.iter().map(|folder| folder.join(library)).find(|path| is_ours(path)).or_else(|| {
        // Only a name without a version needs the folder's list.
        let files = folders.iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten();
        files
            .filter(|file| file.file_name().to_str().is_some_and(|name| answers(name, library)))
            .map(|file| file.path())
            .filter(|path| is_ours(path))
            .min()
    })
}

fn executable(name: &str) -> Option<PathBuf> {
    let folders = env::var_os("PATH").filter(|_| !name.contains(".so"))?;
    env::split_paths(&folders).map(|folder| folder.join(name)).find(|path| is_ours(path))
}

fn in_cache(library: &str) -> Option<PathBuf> {
    let cache = fs::read(CACHE).ok()?;
    entries(&cache)
        .filter(|(name, _)| answers(name, library))
        .map(|(_, path)| PathBuf::from(path))
        .find(|path| is_ours(path))
}

/// An ELF file of this process's class and machine: a cache lists those of other ones, too.
fn is_ours(path: &Path) -> bool {
    use std::io::Read;
    let mut header = [0; 20];
    let mut own = [0; 20];
    let read = |path: &Path, to: &mut [u8; 20]| {
        path.is_file() && fs::File::open(path).and_then(|mut file| file.read_exact(to)).is_ok()
    };
    // e_ident up to the byte order, and e_machine.
    read(path, &mut header)
        && read(Path::new("/proc/self/exe"), &mut own)
        && header.get(..6) == own.get(..6)
        && header.get(18..20) == own.get(18..20)
}

/// The entries of a loader cache, names with paths. Format of `glibc-ld.so.cache1.1` (glibc 2.2, alone in the file since
/// 2.32): 48 bytes of header with the count at 20, then 24 bytes an entry: flags, name, path (both offsets into the
/// file), OS version, hardware capabilities. An entry that needs special hardware is passed over.
fn entries(cache: &[u8]) -> impl Iterator<Item = (&str, &str)> {
    const MAGIC: &[u8] = b"glibc-ld.so.cache1.1";
    const HEADER: usize = 48;
    const ENTRY: usize = 24;
    // Older systems put the file's own ancestor in front of it.
    let start = cache.windows(MAGIC.len()).position(|window| window == MAGIC).unwrap_or(cache.len());
    let cache = cache.get(start..).unwrap_or_default();
    let count = word(cache, 20).unwrap_or(0) as usize;
    let table = cache.get(HEADER..).unwrap_or_default();
    table.chunks_exact(ENTRY).take(count).filter_map(move |entry| {
        let special = word(entry, 16)? != 0 || word(entry, 20)? != 0;
        (!special).then_some(())?;
        Some((text(cache, word(entry, 4)?)?, text(cache, word(entry, 8)?)?))
    })
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes)
}

fn text(bytes: &[u8], at: u32) -> Option<&str> {
    let text = bytes.get(at as usize..)?;
    let end = text.iter().position(|&byte| byte == 0)?;
    std::str::from_utf8(text.get(..end)?).ok()
}

/// An I/O error without its number.
fn plain(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A cache as `ldconfig` writes it, with these names, paths and hardware capabilities.
    fn cache(libraries: &[(&str, &str, u64)]) -> Vec<u8> {
        let mut strings = Vec::new();
        let mut table = Vec::new();
        let base = 48 + 24 * libraries.len();
        let mut add = |text: &str| {
            let at = (base + strings.len()) as u32;
            strings.extend_from_slice(text.as_bytes());
            strings.push(0);
            at
        };
        for (name, path, capabilities) in libraries {
            table.extend_from_slice(&3_u32.to_ne_bytes());
            table.extend_from_slice(&add(name).to_ne_bytes());
            table.extend_from_slice(&add(path).to_ne_bytes());
            table.extend_from_slice(&0_u32.to_ne_bytes());
            table.extend_from_slice(&capabilities.to_ne_bytes());
        }
        let mut cache = b"glibc-ld.so.cache1.1".to_vec();
        cache.extend_from_slice(&(libraries.len() as u32).to_ne_bytes());
        cache.resize(48, 0);
        cache.extend_from_slice(&table);
        cache.extend_from_slice(&strings);
        cache
    }

    #[test]
    fn a_cache_is_read_without_special_entries() {
        let bytes = cache(&[("libz.so.1", "/special/libz.so.1", 1 << 62), ("libz.so.1", "/lib/libz.so.1", 0)]);
        assert_eq!(entries(&bytes).collect::<Vec<_>>(), [("libz.so.1", "/lib/libz.so.1")]);
    }

    #[test]
    fn an_older_cache_in_front_is_passed_over() {
        let mut bytes = b"ld.so-1.7.0\0\0\0\0\0".to_vec();
        bytes.extend(cache(&[("a.so", "/a.so", 0)]));
        assert_eq!(entries(&bytes).collect::<Vec<_>>(), [("a.so", "/a.so")]);
    }

    #[test]
    fn a_broken_cache_ends_early_and_quietly() {
        let whole = cache(&[("a.so", "/a.so", 0), ("b.so", "/b.so", 0)]);
        for length in 0..whole.len() {
            assert!(entries(&whole[..length]).count() <= 2);
        }
    }

    #[test]
    fn a_name_without_version_means_any() {
        assert!(answers("libc.so.6", "libc"));
        assert!(answers("libc.so.6", "libc.so.6"));
        assert!(!answers("libcap.so.2", "libc"));
        assert!(!answers("libc.so.6", "libc.so"));
    }

    #[test]
    fn this_process_s_own_libc_is_found_by_its_name() {
        let path = find("libc.so.6").unwrap();
        assert!(path.is_absolute() && path.is_file());
        assert_eq!(find("libc").unwrap(), path);
    }

    #[test]
    fn paths_are_kept_as_they_are() {
        let own = env::current_exe().unwrap();
        for path in [format!("/proc/self/root{}", own.display()), "/proc/self/exe".to_owned()] {
            assert_eq!(find(&path).unwrap(), Path::new(&path));
        }
    }

    #[test]
    fn what_is_not_there_is_an_error_that_says_where_it_was_looked_for() {
        let error = find("libnothing.so.9").unwrap_err().to_string();
        assert!(error.contains("`libnothing.so.9`") && error.contains("/etc/ld.so.cache"), "{error}");
        let error = find("/no/such/file.so").unwrap_err().to_string();
        assert!(error.contains("no such file"), "{error}");
    }
}
