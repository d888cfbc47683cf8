//! Processes in roots of their own, with a C library of their own, that ask for a host when they are told to.
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

/// How a process gets into its root.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Chroot,
    Pivot,
    Host,
}

/// A root directory with a C library of its own and a program that asks for a host.
pub(crate) struct Root {
    pub(crate) folder: TempDir,
    /// Where the root is; the folder itself but for overlays.
    pub(crate) path: PathBuf,
    pub(crate) node: String,
    way: Way,
}

/// A file that this process has mapped.
pub(crate) fn mapped(start: &str) -> PathBuf {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let paths = maps.lines().filter_map(|line| line.split_whitespace().nth(5));
    let path = paths.map(Path::new).find(|path| path.file_name().unwrap().to_str().unwrap().starts_with(start));
    path.unwrap_or_else(|| panic!("no {start} in {maps}")).to_owned()
}

impl Root {
    /// With glibc.
    pub(crate) fn new(node: &str, way: Way) -> Self {
        Self::named(node, way, "libc.so.6")
    }

    /// With glibc by another name.
    pub(crate) fn named(node: &str, way: Way, name: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let libraries = folder.path().join("lib");
        fs::create_dir(&libraries).unwrap();
        fs::copy(mapped("libc.so.6"), libraries.join(name)).unwrap();
        fs::copy(mapped("ld-linux"), libraries.join("ld.so")).unwrap();
        asker::write(&folder.path().join("asker"), "/lib/ld.so", name, node);
        Self { path: folder.path().to_owned(), folder, node: node.to_owned(), way }
    }

    /// The host's musl; `None` if it has none.
    pub(crate) fn musl(node: &str) -> Option<Self> {
        let loader = "/lib/ld-musl-x86_64.so.1";
        if !Path::new(loader).exists() {
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        asker::write(&folder.path().join("asker"), loader, "libc.so", node);
        Some(Self { path: folder.path().to_owned(), folder, node: node.to_owned(), way: Way::Host })
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(if self.way == Way::Host { self.path.join("asker") } else { "/asker".into() });
        command.env("LD_LIBRARY_PATH", "/lib");
        let (root, way) = (CString::new(self.path.as_os_str().as_bytes()).unwrap(), self.way);
        // SAFETY: between fork and exec it makes system calls alone, on a string made before.
        unsafe { command.pre_exec(move || enter(&root, way)) };
        command
    }

    pub(crate) fn start(&self) -> Asker {
        Asker::start(&mut self.command())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

pub(crate) fn enter(root: &CString, way: Way) -> io::Result<()> {
    let done = |answer: libc::c_long| if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(()) };
    match way {
        Way::Host => return Ok(()),
        Way::Chroot => {
            // SAFETY: reads a C string.
            done(unsafe { libc::chroot(root.as_ptr()) }.into())?;
        }
        Way::Pivot => {
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
                // The root of an initramfs cannot be left so, only be covered (`Documentation/filesystems/
                // ramfs-rootfs-initramfs.rst`).
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

/// A running program that asks when it is told to.
pub(crate) struct Asker(pub(crate) Child);

impl Asker {
    pub(crate) fn start(command: &mut Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        // A program that was just written may still be open in another test's new process.
        Self(wait_until("the program can be run", || match command.spawn() {
            Err(error) if error.raw_os_error() == Some(libc::ETXTBSY) => None,
            answer => Some(answer.unwrap()),
        }))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Has it ask so many times, one after the other.
    pub(crate) fn ask(&mut self, times: usize) {
        for _ in 0..times {
            self.0.stdin.as_mut().unwrap().write_all(b"?").unwrap();
            self.0.stdout.as_mut().unwrap().read_exact(&mut [0]).expect("it ended in the call");
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

/// If this process is to be such a program, becomes it.
pub(crate) fn be_one_if_asked() {
    let words: Vec<_> = std::env::args_os().collect();
    if let [_, first, root, way] = words.as_slice()
        && first == IN_ROOT
    {
        let way = if way == "chroot" { Way::Chroot } else { Way::Pivot };
        enter(&CString::new(root.as_bytes()).unwrap(), way).unwrap();
        panic!("{}", Command::new("/asker").env("LD_LIBRARY_PATH", "/lib").exec());
    }
}
