//! A program in a terminal of its own, and somebody at its keys.
#![expect(unsafe_code, reason = "the child makes the pseudo terminal its own between fork and exec")]

use std::{
    fs::File,
    io::{Read, Write},
    os::unix::process::CommandExt,
    process::{Child, Command},
    sync::{Arc, Mutex},
    thread,
};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::patience::wait_until;

/// The program, its keys and what it has shown.
pub(crate) struct Keyboard {
    child: Child,
    keys: File,
    shown: Arc<Mutex<Vec<u8>>>,
}

impl Keyboard {
    pub(crate) fn at(mut command: Command) -> Self {
        let outer = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&outer).unwrap();
        unlockpt(&outer).unwrap();
        let name = ptsname(&outer, Vec::new()).unwrap().into_string().unwrap();
        let inner = || File::options().read(true).write(true).open(&name).unwrap();
        command.stdin(inner()).stdout(inner()).stderr(inner());
        // SAFETY: setsid(2) and ioctl(2) may be called between fork and exec.
        unsafe {
            command.pre_exec(|| {
                rustix::process::setsid()?;
                rustix::process::ioctl_tiocsctty(rustix::stdio::stdin())?;
                Ok(())
            });
        }
        let child = command.spawn().unwrap();
        let shown = Arc::new(Mutex::new(Vec::new()));
        let (mut output, shared) = (File::from(outer.try_clone().unwrap()), Arc::clone(&shown));
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            // The other end is closed when nobody holds it any more: EIO.
            while let Ok(length @ 1..) = output.read(&mut bytes) {
                shared.lock().unwrap().extend(bytes.get(..length).unwrap());
            }
        });
        Self { child, keys: File::from(outer), shown }
    }

    pub(crate) fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until it has shown this.
    pub(crate) fn shows(&self, part: &str) {
        wait_until(&format!("the terminal shows {part:?}"), || {
            String::from_utf8_lossy(&self.shown.lock().unwrap()).contains(part).then_some(())
        });
    }
}

impl Drop for Keyboard {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
