//! The files of every guest's initramfs besides the tests: process 1, and the few files of `/etc` that a C
//! library reads.

use std::fs::File;
use std::io::BufWriter;
use std::io::Write;
use std::path::{Path, PathBuf};

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

/// Files of the host that a guest has at the same path: the names of services; the dynamic loader's cache, which lists
/// libraries in other directories; the name service's plug-ins, which before glibc 2.34 are separate libraries.
const HOST: &[&str] =
    &["/etc/services", "/etc/protocols", "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/gai.conf"];

/// Returns a guest's files without any test.
///
/// # Errors
/// If this executable, which becomes process 1, cannot be read.
pub fn base(kernel: &Kernel, keep_debug: bool) -> Result<Tree> {
    let mut tree = Tree::new(keep_debug);
    for folder in ["/dev", "/proc", "/sys", "/tmp", "/run", "/root", "/var", "/usr/bin"] {
        tree.folder(folder);
    }
    // The merged /usr that every current distribution has; an older host's own directories take precedence.
    for name in ["bin", "sbin", "lib", "lib64"] {
        let path = Path::new("/").join(name);
        if path.exists() {
            tree.bring_place(&path)?;
        }
    }
    for path in HOST.iter().map(Path::new).filter(|path| path.exists()) {
        tree.bring(path)?;
    }
    for (path, text) in ETC {
        tree.write(*path, *text);
    }
    for library in name_service_libraries() {
        tree.bring(&library)?;
    }
    let me = std::env::current_exe().map_err(Error::file("find", "this executable"))?;
    tree.bring(&me)?;
    tree.link("/init", &me);
    if let (Some(config), Some(release)) = (&kernel.config, &kernel.release) {
        tree.copy(config, Path::new("/boot").join(format!("config-{release}")))?;
    }
    tree.write(INIT, "");
    Ok(tree)
}

/// Returns the paths of `libnss_files.so.2` and `libnss_dns.so.2` beside the C library, if they exist. Only
/// nsswitch.conf refers to them.
fn name_service_libraries() -> Vec<PathBuf> {
    ["/lib/x86_64-linux-gnu", "/usr/lib64", "/lib64", "/usr/lib"]
        .iter()
        .map(|folder| Path::new(folder).join("libnss_files.so.2"))
        .find(|path| path.exists())
        .into_iter()
        .collect()
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
