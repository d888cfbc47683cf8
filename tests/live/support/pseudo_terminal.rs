//! A pseudo terminal: a program at its inner end, the test at the outer end.
#![expect(
    unsafe_code,
    reason = "the child takes the pseudo terminal as its controlling terminal between fork and exec"
)]

use std::{
    fs::File,
    io::Read,
    os::unix::process::CommandExt,
    process::{Child, Command},
    thread,
};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

/// Opens a pseudo terminal. Returns the outer end, and a function that opens the inner end.
pub(crate) fn open() -> (File, impl Fn() -> File) {
    let outer = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&outer).unwrap();
    unlockpt(&outer).unwrap();
    let name = ptsname(&outer, Vec::new()).unwrap().into_string().unwrap();
    (File::from(outer), move || File::options().read(true).write(true).open(&name).unwrap())
}

/// Starts a program whose stdin is an inner end. That becomes its controlling terminal.
pub(crate) fn start(mut command: Command) -> Child {
    // SAFETY: setsid(2) and ioctl(2) may be called between fork and exec.
    unsafe {
        command.pre_exec(|| {
            rustix::process::setsid()?;
            rustix::process::ioctl_tiocsctty(rustix::stdio::stdin())?;
            Ok(())
        });
    }
    command.spawn().unwrap()
}

/// Passes the output to `take`, in a separate thread, until that returns `false` or no process holds the inner end.
pub(crate) fn read(outer: &File, mut take: impl FnMut(&[u8]) -> bool + Send + 'static) {
    let mut outer = outer.try_clone().unwrap();
    thread::spawn(move || {
        let mut bytes = [0; 4096];
        // EIO if no process has the inner end open.
        while let Ok(length @ 1..) = outer.read(&mut bytes)
            && take(&bytes[..length])
        {}
    });
}
