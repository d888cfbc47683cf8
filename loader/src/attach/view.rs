//! The file system as a process sees it: the search paths of its dynamic loader and its shell.

use std::{
    env,
    ffi::OsStr,
    fs,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use super::{
    ld_cache,
    maps::{self, Mapping},
    root,
};

const CACHE: &str = "/etc/ld.so.cache";
const DEFAULT: [&str; 5] = ["/lib64", "/usr/lib64", "/lib", "/usr/lib", "/usr/local/lib"];

/// Returns true if the text is a path rather than a name to search for.
pub(crate) fn is_path(library: &OsStr) -> bool {
    library.as_bytes().contains(&b'/')
}

/// Returns true if a file name matches `library`. The dynamic loader of musl is also its C library.
pub(super) fn name_matches(file: &[u8], library: &OsStr) -> bool {
    let library = library.as_bytes();
    let versioned = library.windows(3).any(|part| part == b".so");
    file == library
        || !versioned && file.strip_prefix(library).is_some_and(|rest| rest == b".so" || rest.starts_with(b".so."))
        || library == b"libc" && file.starts_with(b"ld-musl-") && file.ends_with(b".so.1")
}

/// Returns the mappings of files with this name, executable ones first.
pub(super) fn mapped<'m>(maps: &'m [u8], library: &OsStr) -> impl Iterator<Item = Mapping<'m>> {
    let library = maps::escaped(library);
    let fits = |mapping: &Mapping<'_>| {
        let paths = [Some(mapping.path), mapping.path.strip_suffix(DELETED)];
        let mut names = paths.into_iter().flatten().filter_map(|path| path.rsplit(|&byte| byte == b'/').next());
        names.any(|name| name_matches(name, &library))
    };
    let mut found: Vec<_> = maps::mappings(maps).filter(fits).collect();
    found.sort_by_key(|mapping| !mapping.executable);
    found.into_iter()
}

/// The kernel's suffix of the path of a file that was deleted or replaced.
const DELETED: &[u8] = b" (deleted)";

/// A file system to search, as a process sees it, and the settings of its dynamic loader.
#[derive(Debug)]
pub(super) struct View {
    /// The process's root directory; `None` is the caller's.
    root: Option<PathBuf>,
    /// `LD_LIBRARY_PATH`
    libraries: Vec<PathBuf>,
    /// `PATH`
    programs: Vec<PathBuf>,
    /// The start of the process's executable; `None` if it cannot be read.
    header: Option<Header>,
}

/// The first 20 bytes of an ELF file: `e_ident`, `e_type` and `e_machine`.
type Header = [u8; 20];

impl View {
    pub(super) fn own() -> Self {
        let directories = |name| env::var_os(name).iter().flat_map(env::split_paths).collect();
        Self {
            root: None,
            libraries: directories("LD_LIBRARY_PATH"),
            programs: directories("PATH"),
            header: header(Path::new("/proc/self/exe")),
        }
    }

    /// Returns the view of another process, with the environment that it was started with.
    pub(super) fn of(pid: u32) -> Self {
        let variables = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        let directories = |name: &[u8]| {
            let mut variables = variables.split(|&byte| byte == 0);
            let value = variables.find_map(|variable| variable.strip_prefix(name)?.strip_prefix(b"="));
            // Relative directories are skipped: the process's working directory at startup is unknown.
            let directories = env::split_paths(OsStr::from_bytes(value.unwrap_or_default()));
            directories.filter(|directory| directory.is_absolute()).collect()
        };
        Self {
            root: Some(PathBuf::from(format!("/proc/{pid}/root"))),
            libraries: directories(b"LD_LIBRARY_PATH"),
            programs: directories(b"PATH"),
            header: header(Path::new(&format!("/proc/{pid}/exe"))),
        }
    }

    /// Searches all locations except the mapped files.
    pub(super) fn search(&self, library: &OsStr) -> Option<PathBuf> {
        self.in_directories(&self.libraries, library)
            .or_else(|| self.in_cache(library))
            .or_else(|| self.in_directories(&self.defaults(), library))
            .or_else(|| {
                let is_program = !library.as_bytes().windows(3).any(|part| part == b".so");
                let mut programs = self.programs.iter().filter(|_| is_program);
                programs.find_map(|directory| self.file(&directory.join(library)))
            })
    }

    /// Returns the locations that [`View::search`] searches, for an error.
    pub(super) fn locations(&self) -> String {
        let directories: Vec<_> = self.defaults().iter().map(|directory| directory.display().to_string()).collect();
        format!("in LD_LIBRARY_PATH, in {CACHE}, in {}, or in PATH", directories.join(", "))
    }

    /// Returns the dynamic loader's own directories.
    fn defaults(&self) -> Vec<PathBuf> {
        let machine = self.header.as_ref().and_then(multiarch);
        let of_machine =
            machine.iter().flat_map(|name| ["/lib", "/usr/lib"].map(|directory| Path::new(directory).join(name)));
        of_machine.chain(DEFAULT.map(PathBuf::from)).collect()
    }

    /// Returns the path by which the caller reaches the process's `path`.
    fn reach(&self, path: &Path) -> Option<PathBuf> {
        match &self.root {
            None => Some(path.to_owned()),
            Some(root) => root::resolve(root, path),
        }
    }

    /// Returns the path if the file has the process's class and machine: directories and caches contain files for
    /// others, too.
    fn file(&self, path: &Path) -> Option<PathBuf> {
        let path = self.reach(path)?;
        let found = header(&path)?;
        let same = |own: &Header| found.get(..6) == own.get(..6) && found.get(18..20) == own.get(18..20);
        self.header.as_ref().is_none_or(same).then_some(path)
    }

    fn in_directories(&self, directories: &[PathBuf], library: &OsStr) -> Option<PathBuf> {
        directories.iter().find_map(|directory| self.file(&directory.join(library))).or_else(|| {
            // Only a name without a version needs the directory's listing. Its entries are links, so each is resolved
            // by its path.
            directories.iter().find_map(|directory| {
                let files = fs::read_dir(self.reach(directory)?).ok()?.flatten();
                let files = files.filter(|file| name_matches(file.file_name().as_bytes(), library));
                files.filter_map(|file| self.file(&directory.join(file.file_name()))).min()
            })
        })
    }

    fn in_cache(&self, library: &OsStr) -> Option<PathBuf> {
        let cache = fs::read(self.reach(Path::new(CACHE))?).ok()?;
        ld_cache::entries(&cache)
            .filter(|(name, _)| name_matches(name.as_bytes(), library))
            .find_map(|(_, path)| self.file(Path::new(path)))
    }
}

/// Reads the start of an ELF file.
fn header(path: &Path) -> Option<Header> {
    use std::io::Read;
    let mut header = [0; 20];
    // Opening a pipe would block.
    let is_file = fs::metadata(path).is_ok_and(|file| file.is_file());
    is_file.then(|| fs::File::open(path).ok())??.read_exact(&mut header).ok()?;
    header.starts_with(b"\x7fELF").then_some(header)
}

/// Returns Debian's directory name for a machine's libraries (multiarch).
fn multiarch(header: &Header) -> Option<&'static str> {
    let [_, _, _, _, class, order, .., low, high] = *header;
    let machine = if order == 1 { u16::from_le_bytes([low, high]) } else { u16::from_be_bytes([low, high]) };
    // EI_CLASS is 2 for 64 bits, EI_DATA is 1 for little-endian.
    Some(match (machine, class, order) {
        (62, 2, _) => "x86_64-linux-gnu",
        (62, ..) => "x86_64-linux-gnux32",
        (3, ..) => "i386-linux-gnu",
        (183, ..) => "aarch64-linux-gnu",
        (40, ..) => "arm-linux-gnueabihf",
        (243, 2, _) => "riscv64-linux-gnu",
        (22, 2, _) => "s390x-linux-gnu",
        (21, _, 1) => "powerpc64le-linux-gnu",
        (21, _, 2) => "powerpc64-linux-gnu",
        (258, ..) => "loongarch64-linux-gnu",
        (8, 2, 1) => "mips64el-linux-gnuabi64",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_without_version_matches_any() {
        let fits = |file: &str, library: &str| name_matches(file.as_bytes(), OsStr::new(library));
        assert!(fits("libc.so.6", "libc"));
        assert!(fits("libc.so.6", "libc.so.6"));
        assert!(!fits("libcap.so.2", "libc"));
        assert!(!fits("libc.so.6", "libc.so"));
        assert!(fits("ld-musl-x86_64.so.1", "libc"));
        assert!(!fits("ld-musl-x86_64.so.1", "libc.so.6"));
    }

    #[test]
    fn defaults_include_the_multiarch_directories() {
        let mut header = [0; 20];
        header[4..6].copy_from_slice(&[2, 1]);
        for (machine, name) in [(62, "x86_64-linux-gnu"), (183, "aarch64-linux-gnu"), (243, "riscv64-linux-gnu")] {
            header[18] = machine;
            let view = View { root: None, libraries: vec![], programs: vec![], header: Some(header) };
            assert_eq!(view.defaults()[..2], [Path::new("/lib").join(name), Path::new("/usr/lib").join(name)]);
            assert!(view.locations().contains(&format!("/usr/lib/{name}, /lib64")), "{}", view.locations());
        }
        header[4..6].copy_from_slice(&[2, 2]);
        header[18..].copy_from_slice(&[0, 22]);
        assert_eq!(multiarch(&header), Some("s390x-linux-gnu"));
    }

    /// Containers without `ldconfig`, and static executables: there is no `/etc/ld.so.cache`.
    #[test]
    fn multiarch_library_is_found_without_a_cache() {
        let root = std::env::temp_dir().join(format!("cutaway-multiarch-{}", std::process::id()));
        let mut own: Header = [0; 20];
        own[..6].copy_from_slice(b"\x7fELF\x02\x01");
        let mut libraries = Vec::new();
        for (machine, directory) in [(183, "lib/aarch64-linux-gnu"), (62, "usr/lib/x86_64-linux-gnu")] {
            own[18] = machine;
            let directory = root.join(directory);
            fs::create_dir_all(&directory).unwrap();
            fs::write(directory.join("libc.so.6"), own).unwrap();
            libraries.push((own, directory.join("libc.so.6")));
        }
        let found: Vec<_> = libraries
            .iter()
            .map(|(header, _)| View {
                root: Some(root.clone()),
                libraries: vec![],
                programs: vec![],
                header: Some(*header),
            })
            .flat_map(|view| ["libc.so.6", "libc"].map(|name| view.search(OsStr::new(name))))
            .collect();
        fs::remove_dir_all(&root).unwrap();
        let expected: Vec<_> = libraries.into_iter().flat_map(|(_, path)| [Some(path.clone()), Some(path)]).collect();
        assert_eq!(found, expected);
    }
}
