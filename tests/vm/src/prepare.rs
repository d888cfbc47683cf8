//! The files of every guest's initramfs besides the tests: process 1, and the few files of `/etc` that a C
//! library reads.

use std::fs::File;
use std::io::BufWriter;
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::base::Source;
use crate::error::{Error, Result};
use crate::initramfs::Tree;
use crate::kernel::Kernel;
use crate::plan::INIT;

/// The guest's own files of `/etc`: names are resolved from the file alone, because there is no network.
const ETC: &[(&str, &str)] = &[
    ("/etc/hosts", "127.0.0.1 localhost\n127.0.1.1 guest\n::1 localhost ip6-localhost ip6-loopback\n"),
    ("/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\nservices: files\nprotocols: files\n"),
    ("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"),
    ("/etc/group", "root:x:0:\nnogroup:x:65534:\n"),
    ("/etc/hostname", "guest\n"),
];

/// Files of the host that a guest has at the same path: the names of services.
const HOST: &[&str] = &["/etc/services", "/etc/protocols", "/etc/gai.conf", "/etc/ld.so.conf", "/etc/ld.so.conf.d"];

/// The dynamic loader's cache, which lists libraries in other directories. It is for the host's own libraries only.
const OF_THE_LIBRARIES: &[&str] = &["/etc/ld.so.cache"];

/// Returns a guest's files without any test.
///
/// # Errors
/// If `init`, which becomes process 1, cannot be read.
pub fn base(kernel: &Kernel, source: &Source, init: &Path, keep_debug: bool) -> Result<Tree> {
    let mut tree = Tree::of(source.arch, source.sysroot.clone(), keep_debug);
    for folder in ["/dev", "/proc", "/sys", "/tmp", "/run", "/root", "/var", "/usr/bin"] {
        tree.folder(folder);
    }
    // The merged /usr that every current distribution has; an older host's own directories take precedence.
    for name in ["bin", "sbin", "lib", "lib64"] {
        let path = Path::new("/").join(name);
        if tree.has(&path) {
            tree.bring_place(&path)?;
        }
    }
    let own: &[&str] = if source.arch.is_foreign() { &[] } else { OF_THE_LIBRARIES };
    for path in HOST.iter().chain(own).map(Path::new) {
        if tree.has(path) {
            tree.bring(path)?;
        }
    }
    for (path, text) in ETC {
        tree.write(*path, *text);
    }
    if let Some(library) = name_service_library(source, &tree) {
        tree.bring(&library)?;
    }
    let missing = tree.bring(init)?;
    if !missing.is_empty() {
        let why = format!("process 1 of the guest needs {}, which is not there", missing.join(", "));
        return Err(Error::Unusable { path: init.to_path_buf(), why });
    }
    tree.link("/init", init);
    if let (Some(config), Some(release)) = (&kernel.config, &kernel.release) {
        tree.copy(config, Path::new("/boot").join(format!("config-{release}")))?;
    }
    tree.write(INIT, "");
    Ok(tree)
}

/// Returns the path of the name service's plug-in beside the C library. Before glibc 2.34 it is a separate library, to
/// which only nsswitch.conf refers.
fn name_service_library(source: &Source, tree: &Tree) -> Option<PathBuf> {
    let own = Path::new("/lib").join(source.arch.multiarch());
    [own.as_path(), Path::new("/usr/lib64"), Path::new("/lib64"), Path::new("/usr/lib")]
        .iter()
        .map(|folder| folder.join("libnss_files.so.2"))
        .find(|path| tree.has(path))
}

/// The packed tree's file name.
pub(crate) const INITRAMFS: &str = "initramfs.cpio";

/// Packs a tree into `initramfs.cpio` in the directory `folder` and returns the path.
///
/// # Errors
/// If the archive cannot be written.
pub fn pack(tree: &Tree, folder: &Path) -> Result<PathBuf> {
    let path = folder.join(INITRAMFS);
    let mut file = BufWriter::new(File::create(&path).map_err(Error::file("create", &path))?);
    tree.pack(&mut file, &path)?;
    file.flush().map_err(Error::file("write", &path))?;
    Ok(path)
}
