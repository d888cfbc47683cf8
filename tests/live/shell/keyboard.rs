//! A program in its own terminal, and the keys that the test presses.

use std::{
    fs::File,
    io::Write,
    process::{Child, Command},
    sync::{Arc, Mutex},
};

use crate::{patience::wait_until, pseudo_terminal};

/// The program, its keys and its output so far.
pub(crate) struct Keyboard {
    child: Child,
    keys: File,
    shown: Arc<Mutex<Vec<u8>>>,
}

impl Keyboard {
    pub(crate) fn at(mut command: Command) -> Self {
        let (keys, inner) = pseudo_terminal::open();
        command.stdin(inner()).stdout(inner()).stderr(inner());
        let child = pseudo_terminal::start(command);
        let shown = Arc::new(Mutex::new(Vec::new()));
        let shared = Arc::clone(&shown);
        pseudo_terminal::read(&keys, move |bytes| {
            shared.lock().unwrap().extend(bytes);
            true
        });
        Self { child, keys, shown }
    }

    pub(crate) fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until the terminal has shown this.
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
