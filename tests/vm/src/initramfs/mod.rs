//! The guest's files: host files at their own paths, packed as the kernel's initramfs requires (cpio, `newc`).
//!
//! A path is added with every symbolic link in it. So `/lib -> usr/lib` and `libc.so.6 -> libc-2.31.so` are the same in
//! the guest and on the host, and a library has the same path in `/proc/PID/maps`.
//!
//! A guest of another architecture has the files of a directory (its *sysroot*) at `/`, and those of the host where the
//! sysroot has none.
//!
//! No step needs root: ownership and device nodes are only numbers in the archive.

mod debug;
mod libraries;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};

use cpio::newc::{Builder, ModeFileType};
use sha2::{Digest, Sha256};

use crate::arch::{self, Arch};
use crate::error::{Error, Result};

/// The largest number of symbolic links in a path, as in the kernel.
const MAX_LINKS: usize = 40;

/// The files to pack, by absolute path in the guest.
#[derive(Debug, Clone)]
pub struct Tree {
    nodes: BTreeMap<PathBuf, Node>,
    /// The host directories whose entries have been added.
    listed: BTreeSet<PathBuf>,
    keep_debug: bool,
    arch: Arch,
    sysroot: Option<PathBuf>,
}

#[derive(Debug, Clone)]
enum Node {
    Folder,
    Link(PathBuf),
    Bytes { bytes: Vec<u8>, executable: bool },
    Host { path: PathBuf, size: u64, executable: bool },
}

impl Tree {
    /// Creates an empty tree. `keep_debug` keeps the debug sections of executables (large: nothing in a guest reads
    /// them).
    #[must_use]
    pub fn new(keep_debug: bool) -> Self {
        Self::of(Arch::OWN, None, keep_debug)
    }

    /// Creates an empty tree for a guest of an architecture. If `sysroot` has a path, the guest has it from there.
    #[must_use]
    pub fn of(arch: Arch, sysroot: Option<PathBuf>, keep_debug: bool) -> Self {
        Self { nodes: BTreeMap::new(), listed: BTreeSet::new(), keep_debug, arch, sysroot }
    }

    /// Returns the path on the host of a path in the guest.
    fn on_host(&self, path: &Path) -> PathBuf {
        on_host(self.sysroot.as_deref(), path)
    }

    /// Returns true if the guest's source has a file or directory for a path of the guest.
    pub(crate) fn has(&self, path: &Path) -> bool {
        self.on_host(path).exists()
    }

    /// Adds a file that the host does not have. `path` is absolute; its parent directories are created.
    pub fn write(&mut self, path: impl Into<PathBuf>, bytes: impl Into<Vec<u8>>) {
        let path = path.into();
        self.folders_above(&path);
        self.nodes.insert(path, Node::Bytes { bytes: bytes.into(), executable: false });
    }

    /// Adds a directory.
    pub fn folder(&mut self, path: impl Into<PathBuf>) {
        let path = path.into();
        self.folders_above(&path);
        self.nodes.entry(path).or_insert(Node::Folder);
    }

    /// Adds a symbolic link.
    pub fn link(&mut self, path: impl Into<PathBuf>, target: impl Into<PathBuf>) {
        let path = path.into();
        self.folders_above(&path);
        self.nodes.insert(path, Node::Link(target.into()));
    }

    /// Adds a host file, or a directory with its content; executables and libraries are added with the libraries that
    /// they are linked to. Returns the libraries that are required but not on the host.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub fn bring(&mut self, path: &Path) -> Result<Vec<String>> {
        self.add(path, true)
    }

    /// Adds a path without its content: the directory, or the link and the directory that it leads to.
    ///
    /// # Errors
    /// If the path does not exist.
    pub fn bring_place(&mut self, path: &Path) -> Result<()> {
        self.mirror(path, MAX_LINKS).map(drop)
    }

    /// Adds a host file under another path.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn copy(&mut self, from: &Path, to: impl Into<PathBuf>) -> Result<()> {
        let bytes = fs::read(from).map_err(Error::file("read", from))?;
        self.write(to, bytes);
        Ok(())
    }

    fn add(&mut self, path: &Path, with_libraries: bool) -> Result<Vec<String>> {
        let real = match self.mirror(path, MAX_LINKS) {
            // A dangling link stays a dangling link in the guest: editors mark open files with them. It has been added.
            Err(_) if self.on_host(path).is_symlink() => return Ok(Vec::new()),
            real => real?,
        };
        let host = self.on_host(&real);
        let about = fs::metadata(&host).map_err(Error::file("read", &host))?;
        if about.is_dir() {
            // A link may lead back to one of its parents.
            if !self.listed.insert(real.clone()) {
                return Ok(Vec::new());
            }
            self.folder(real.clone());
            let mut missing = Vec::new();
            for entry in fs::read_dir(&host).map_err(Error::file("list", &host))? {
                let entry = entry.map_err(Error::file("list", &host))?;
                missing.extend(self.bring(&real.join(entry.file_name()))?);
            }
            return Ok(missing);
        }
        if !about.is_file() || self.nodes.contains_key(&real) {
            return Ok(Vec::new());
        }
        let executable = about.permissions().mode() & 0o111 != 0;
        // Any other ELF file, such as a BPF object, is copied as it is: its reader needs every section.
        if Arch::of_executable(&arch::start(&host)?) != Some(self.arch) {
            self.nodes.insert(real, Node::Host { path: host, size: about.len(), executable });
            return Ok(Vec::new());
        }
        self.nodes.insert(real, self.elf(&host, executable)?);
        if !with_libraries {
            return Ok(Vec::new());
        }
        let linked = libraries::of(&host, self.sysroot.as_deref())?;
        for library in linked.found {
            self.add(&library, false)?;
        }
        Ok(linked.missing)
    }

    /// Reads an executable or a library.
    fn elf(&self, path: &Path, executable: bool) -> Result<Node> {
        let bytes = if self.keep_debug { fs::read(path) } else { debug::without(path) };
        Ok(Node::Bytes { bytes: bytes.map_err(Error::file("read", path))?, executable })
    }

    /// Adds the directories and links of `path`; returns the path without links. At most `links` links are followed.
    fn mirror(&mut self, path: &Path, links: usize) -> Result<PathBuf> {
        let mut at = PathBuf::from("/");
        let absolute = std::path::absolute(path).map_err(Error::file("find", path))?;
        for component in absolute.components() {
            match component {
                Component::Normal(name) => at.push(name),
                Component::ParentDir => {
                    at.pop();
                    continue;
                }
                _ => continue,
            }
            let host = self.on_host(&at);
            if let Ok(target) = fs::read_link(&host) {
                let Some(links) = links.checked_sub(1) else {
                    return Err(Error::file("find", path)(rustix::io::Errno::LOOP.into()));
                };
                self.link(at.clone(), target.clone());
                at.pop();
                at = self.mirror(&at.join(target), links)?;
            } else if host.is_dir() {
                self.folder(at.clone());
            }
        }
        let host = self.on_host(&at);
        host.symlink_metadata().map_err(Error::file("find", path))?;
        self.folders_above(&at);
        Ok(at)
    }

    fn folders_above(&mut self, path: &Path) {
        for folder in path.ancestors().skip(1) {
            if folder.parent().is_some() {
                self.nodes.entry(folder.to_path_buf()).or_insert(Node::Folder);
            }
        }
    }

    /// Adds all of another tree; if both have a path, this tree's entry stays.
    pub fn merge(&mut self, other: Self) {
        for (path, node) in other.nodes {
            self.nodes.entry(path).or_insert(node);
        }
    }

    /// Returns the content of a file that [`Tree::write`] added.
    #[cfg(test)]
    pub(crate) fn bytes(&self, path: impl AsRef<Path>) -> Option<&[u8]> {
        match self.nodes.get(path.as_ref()) {
            Some(Node::Bytes { bytes, .. }) => Some(bytes),
            _ => None,
        }
    }

    /// Returns the size of all file contents in bytes: they are held in the guest's memory.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.nodes
            .values()
            .map(|node| match node {
                Node::Bytes { bytes, .. } => bytes.len() as u64,
                Node::Host { size, .. } => *size,
                Node::Folder | Node::Link(_) => 0,
            })
            .sum()
    }

    /// Returns a hash of all paths, links, modes and contents.
    ///
    /// # Errors
    /// If a host file can no longer be read.
    pub(crate) fn digest(&self) -> Result<[u8; 32]> {
        let mut hash = Sha256::new();
        for (path, node) in &self.nodes {
            // Each part is preceded by its size: no two trees are the same sequence of bytes.
            let mut part = |bytes: &[u8]| {
                hash.update((bytes.len() as u64).to_le_bytes());
                hash.update(bytes);
            };
            part(path.as_os_str().as_encoded_bytes());
            match node {
                Node::Folder => part(b"directory"),
                Node::Link(target) => {
                    part(b"link");
                    part(target.as_os_str().as_encoded_bytes());
                }
                Node::Bytes { bytes, executable } => {
                    part(if *executable { &b"program"[..] } else { b"file" });
                    part(bytes);
                }
                Node::Host { path, executable, .. } => {
                    part(if *executable { &b"program"[..] } else { b"file" });
                    part(&fs::read(path).map_err(Error::file("read", path))?);
                }
            }
        }
        Ok(hash.finalize().into())
    }

    /// Packs the tree. Directories precede their content, because their names sort first.
    ///
    /// # Errors
    /// If a host file can no longer be read, or the archive cannot be written.
    pub fn pack(&self, archive: impl Write, archive_path: &Path) -> Result<()> {
        let mut archive = archive;
        let written = |error| Error::file("write", archive_path)(error);
        for (inode, (path, node)) in (1..).zip(&self.nodes) {
            let name = path.strip_prefix("/").unwrap_or(path).to_string_lossy();
            let entry = Builder::new(&name).ino(inode);
            let mode = |executable| if executable { 0o755 } else { 0o644 };
            let (entry, bytes) = match node {
                Node::Folder => (entry.mode(0o755).set_mode_file_type(ModeFileType::Directory).nlink(2), Vec::new()),
                Node::Link(target) => {
                    let target = target.as_os_str().as_encoded_bytes().to_vec();
                    (entry.mode(0o777).set_mode_file_type(ModeFileType::Symlink), target)
                }
                Node::Bytes { bytes, executable } => {
                    (entry.mode(mode(*executable)).set_mode_file_type(ModeFileType::Regular), bytes.clone())
                }
                Node::Host { path, executable, .. } => {
                    let bytes = fs::read(path).map_err(Error::file("read", path))?;
                    (entry.mode(mode(*executable)).set_mode_file_type(ModeFileType::Regular), bytes)
                }
            };
            let size = u32::try_from(bytes.len()).map_err(|_too_large| Error::Unusable {
                path: path.clone(),
                why: "files of 4 GiB and more do not fit an initramfs".to_owned(),
            })?;
            let mut writer = entry.write(&mut archive, size);
            writer.write_all(&bytes).map_err(written)?;
            writer.finish().map_err(written)?;
        }
        cpio::newc::trailer(archive).map_err(written)?;
        Ok(())
    }
}

/// Returns the path on the host of a path in the guest: in the sysroot, if there is one and it has the path.
pub(crate) fn on_host(sysroot: Option<&Path>, path: &Path) -> PathBuf {
    match sysroot.map(|root| root.join(path.strip_prefix("/").unwrap_or(path))) {
        Some(inside) if inside.symlink_metadata().is_ok() => inside,
        _ => path.to_path_buf(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cpio::newc::Reader;

    fn names(tree: &Tree) -> BTreeMap<String, (u32, Vec<u8>)> {
        let mut archive = Vec::new();
        tree.pack(&mut archive, Path::new("memory")).unwrap();
        let mut rest = archive.as_slice();
        let mut names = BTreeMap::new();
        loop {
            let mut reader = Reader::new(rest).unwrap();
            if reader.entry().is_trailer() {
                return names;
            }
            let mut bytes = Vec::new();
            std::io::Read::read_to_end(&mut reader, &mut bytes).unwrap();
            names.insert(reader.entry().name().to_owned(), (reader.entry().mode(), bytes));
            rest = reader.finish().unwrap();
        }
    }

    #[test]
    fn links_in_a_path_are_mirrored() {
        let home = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(home.path()).unwrap();
        fs::create_dir_all(root.join("usr/lib")).unwrap();
        fs::write(root.join("usr/lib/file.1"), "content").unwrap();
        std::os::unix::fs::symlink("usr/lib", root.join("lib")).unwrap();
        std::os::unix::fs::symlink("file.1", root.join("usr/lib/file")).unwrap();
        let mut tree = Tree::new(false);
        assert!(tree.bring(&root.join("lib/file")).unwrap().is_empty());
        let names = names(&tree);
        let at = |name: &str| names.get(root.join(name).strip_prefix("/").unwrap().to_str().unwrap()).unwrap();
        assert_eq!(at("lib"), &(0o120_777, b"usr/lib".to_vec()));
        assert_eq!(at("usr/lib/file"), &(0o120_777, b"file.1".to_vec()));
        assert_eq!(at("usr/lib/file.1"), &(0o100_644, b"content".to_vec()));
        assert_eq!(at("usr").0, 0o040_755);
    }

    #[test]
    fn executable_is_added_with_its_libraries() {
        let mut tree = Tree::new(false);
        let me = std::env::current_exe().unwrap();
        assert_eq!(tree.bring(&me).unwrap(), Vec::<String>::new());
        let names = names(&tree);
        let of = |end: &str| names.keys().any(|name| name.ends_with(end));
        assert!(of("/libc.so.6"), "{:?}", names.keys());
        assert!(names.keys().any(|name| name.contains("ld-linux")), "{:?}", names.keys());
        let (mode, bytes) = names.get(me.strip_prefix("/").unwrap().to_str().unwrap()).unwrap();
        assert_eq!(*mode, 0o100_755);
        assert!((bytes.len() as u64) < fs::metadata(&me).unwrap().len(), "debug sections are removed");
    }

    #[test]
    fn sysroot_takes_precedence_over_the_host() {
        let home = tempfile::tempdir().unwrap();
        let home = fs::canonicalize(home.path()).unwrap();
        let (root, other) = (home.join("root"), home.join("other"));
        fs::create_dir_all(root.join("usr/lib")).unwrap();
        fs::write(root.join("usr/lib/libx.so.1"), "of the sysroot").unwrap();
        // A link whose target is absolute leads to a file of the sysroot.
        std::os::unix::fs::symlink("/usr/lib/libx.so.1", root.join("usr/lib/libx.so")).unwrap();
        std::os::unix::fs::symlink("usr/lib", root.join("lib")).unwrap();
        fs::write(&other, "of the host").unwrap();
        let mut tree = Tree::of(Arch::OWN, Some(root), false);
        tree.bring(Path::new("/lib/libx.so")).unwrap();
        tree.bring(&other).unwrap();
        let names = names(&tree);
        assert_eq!(names.get("lib"), Some(&(0o120_777, b"usr/lib".to_vec())));
        assert_eq!(names.get("usr/lib/libx.so").unwrap().1, b"/usr/lib/libx.so.1");
        assert_eq!(names.get("usr/lib/libx.so.1").unwrap().1, b"of the sysroot");
        assert_eq!(names.get(other.strip_prefix("/").unwrap().to_str().unwrap()).unwrap().1, b"of the host");
    }

    #[test]
    fn dangling_links_stay() {
        let home = tempfile::tempdir().unwrap();
        let home = fs::canonicalize(home.path()).unwrap();
        std::os::unix::fs::symlink("user@host.1", home.join(".#lock")).unwrap();
        fs::write(home.join("file"), "content").unwrap();
        let mut tree = Tree::new(false);
        tree.bring(&home).unwrap();
        let names = names(&tree);
        let at = |name: &str| names.get(home.join(name).strip_prefix("/").unwrap().to_str().unwrap()).unwrap();
        assert_eq!(at(".#lock"), &(0o120_777, b"user@host.1".to_vec()));
        assert_eq!(at("file").1, b"content");
    }

    #[test]
    fn circle_of_links_is_an_error() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("a");
        std::os::unix::fs::symlink(&path, &path).unwrap();
        let error = Tree::new(false).bring_place(&path).unwrap_err();
        assert!(error.to_string().starts_with("cannot find "), "{error}");
    }

    #[test]
    fn missing_file_is_an_error() {
        let error = Tree::new(false).bring(Path::new("/no/such/file")).unwrap_err();
        assert_eq!(error.to_string(), "cannot find /no/such/file");
    }
}
