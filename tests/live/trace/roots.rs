//! Processes in their own roots, with their own C library, that look up a host on request.
#![expect(unsafe_code, reason = "chroot(2) and pivot_root(2) between fork and exec")]

use std::{
    ffi::CString,
    fs, io,
    io::{Read, Write},
    os::unix::{ffi::OsStrExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

use crate::{asker, patience::wait_until};

/// The call that changes a process's root.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum RootChange {
    Chroot,
    Pivot,
    Host,
}

/// A root directory with its own C library and a program that looks up a host.
pub(crate) struct Root {
    pub(crate) folder: TempDir,
    /// The root's path; the directory itself, except for overlays.
    pub(crate) path: PathBuf,
    pub(crate) node: String,
    change: RootChange,
}

/// Returns a file that this process has mapped.
pub(crate) fn mapped(start: &str) -> PathBuf {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let paths = maps.lines().filter_map(|line| line.split_whitespace().nth(5));
    let path = paths.map(Path::new).find(|path| path.file_name().unwrap().to_str().unwrap().starts_with(start));
    path.unwrap_or_else(|| panic!("no {start} in {maps}")).to_owned()
}

impl Root {
    /// Creates a root with glibc.
    pub(crate) fn new(node: &str, change: RootChange) -> Self {
        Self::named(node, change, "libc.so.6")
    }

    /// Creates a root with glibc under another name.
    pub(crate) fn named(node: &str, change: RootChange, name: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let libraries = folder.path().join("lib");
        fs::create_dir(&libraries).unwrap();
        fs::copy(mapped("libc.so.6"), libraries.join(name)).unwrap();
        fs::copy(mapped("ld-linux"), libraries.join("ld.so")).unwrap();
        asker::write(&folder.path().join("asker"), "/lib/ld.so", name, node);
        Self { path: folder.path().to_owned(), folder, node: node.to_owned(), change }
    }

    /// Creates a root with the host's musl; `None` if the host has none.
    pub(crate) fn musl(node: &str) -> Option<Self> {
        let loader = "/lib/ld-musl-x86_64.so.1";
        if !Path::new(loader).exists() {
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        asker::write(&folder.path().join("asker"), loader, "libc.so", node);
        Some(Self { path: folder.path().to_owned(), folder, node: node.to_owned(), change: RootChange::Host })
    }

    pub(crate) fn command(&self) -> Command {
        let mut command =
            Command::new(if self.change == RootChange::Host { self.path.join("asker") } else { "/asker".into() });
        command.env("LD_LIBRARY_PATH", "/lib");
        let (root, change) = (CString::new(self.path.as_os_str().as_bytes()).unwrap(), self.change);
        // SAFETY: between fork and exec it only makes system calls, on a string made before.
        unsafe { command.pre_exec(move || enter(&root, change)) };
        command
    }

    pub(crate) fn start(&self) -> Asker {
        Asker::start(&mut self.command())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

pub(crate) fn enter(root: &CString, change: RootChange) -> io::Result<()> {
    let done = |answer: libc::c_long| if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(()) };
    match change {
        RootChange::Host => return Ok(()),
        RootChange::Chroot => {
            // SAFETY: reads a C string.
            done(unsafe { libc::chroot(root.as_ptr()) }.into())?;
        }
        RootChange::Pivot => {
            // SAFETY: takes flags.
            done(unsafe { libc::unshare(libc::CLONE_NEWNS) }.into())?;
            let (none, flags) = (std::ptr::null(), libc::MS_BIND | libc::MS_REC);
            // SAFETY: reads C strings; there are no options.
            done(unsafe { libc::mount(root.as_ptr(), root.as_ptr(), none, flags, none.cast()) }.into())?;
            // SAFETY: reads a C string.
            done(unsafe { libc::chdir(root.as_ptr()) }.into())?;
            // SAFETY: reads two C strings.
            let pivoted = done(unsafe { libc::syscall(libc::SYS_pivot_root, c".".as_ptr(), c".".as_ptr()) });
            match pivoted {
                // SAFETY: reads a C string.
                Ok(()) => done(unsafe { libc::umount2(c".".as_ptr(), libc::MNT_DETACH) }.into())?,
                // The root of an initramfs cannot be left by pivot_root(2), only covered
                // (`Documentation/filesystems/ramfs-rootfs-initramfs.rst`).
                Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
                    let cover = libc::MS_MOVE;
                    // SAFETY: reads C strings; there are no options.
                    done(unsafe { libc::mount(c".".as_ptr(), c"/".as_ptr(), none, cover, none.cast()) }.into())?;
                    // SAFETY: reads a C string.
                    done(unsafe { libc::chroot(c".".as_ptr()) }.into())?;
                }
                Err(error) => return Err(error),
            }
        }
    }
    // SAFETY: reads a C string.
    done(unsafe { libc::chdir(c"/".as_ptr()) }.into())
}

/// A running program that looks up its host on request.
pub(crate) struct Asker(pub(crate) Child);

impl Asker {
    pub(crate) fn start(command: &mut Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        // A program that was just written may still be open in a new process of another test.
        Self(wait_until("the program can be run", || match command.spawn() {
            Err(error) if error.raw_os_error() == Some(libc::ETXTBSY) => None,
            answer => Some(answer.unwrap()),
        }))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Makes it look up its host this many times, one after the other.
    pub(crate) fn ask(&mut self, times: usize) {
        for _ in 0..times {
            self.0.stdin.as_mut().unwrap().write_all(b"?").unwrap();
            self.0.stdout.as_mut().unwrap().read_exact(&mut [0]).expect("the program ended in the call");
        }
    }
}

impl Drop for Asker {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The argument that makes this binary the program of a root.
pub(crate) const IN_ROOT: &str = "in-root";

/// Becomes such a program, if this process was started as one.
pub(crate) fn be_one_if_asked() {
    let words: Vec<_> = std::env::args_os().collect();
    if let [_, first, root, change] = words.as_slice()
        && first == IN_ROOT
    {
        let change = if change == "chroot" { RootChange::Chroot } else { RootChange::Pivot };
        enter(&CString::new(root.as_bytes()).unwrap(), change).unwrap();
        panic!("{}", Command::new("/asker").env("LD_LIBRARY_PATH", "/lib").exec());
    }
}
