//! The guest's end of the result channel, shared by the worker thread and the heartbeat thread.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::termios::{self, OptionalActions};

use crate::arch::Arch;
use crate::protocol::{self, Message};

/// Returns the path of the port.
pub(super) fn path() -> &'static str {
    Arch::OWN.channel()
}

/// The open port. Frames of several threads are never mixed.
pub(super) struct Channel(Arc<Mutex<File>>);

impl Channel {
    /// Opens the port in raw mode: no echo, no translation of line ends.
    pub(super) fn open() -> io::Result<Self> {
        let port = OpenOptions::new().read(true).write(true).open(path())?;
        let mut settings = termios::tcgetattr(&port)?;
        settings.make_raw();
        termios::tcsetattr(&port, OptionalActions::Now, &settings)?;
        // Tests must not be able to write to the channel.
        std::fs::remove_file(path())?;
        Ok(Self(Arc::new(Mutex::new(port))))
    }

    /// Returns the other direction: what the host sends.
    pub(super) fn reader(&self) -> io::Result<BufReader<File>> {
        let port = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(BufReader::new(port.try_clone()?))
    }

    /// Sends one frame. If the channel fails, only the console can report that.
    pub(super) fn send(&self, message: &Message, payload: &[u8]) {
        send(&self.0, message, payload);
    }

    /// Sends a note.
    pub(super) fn note(&self, text: impl Into<String>) {
        self.send(&Message::Note { text: text.into() }, b"");
    }

    /// Starts the heartbeat: one frame a second, from a thread that does nothing else.
    pub(super) fn beat(&self) {
        let port = Arc::clone(&self.0);
        std::thread::spawn(move || {
            loop {
                std::thread::sleep(Duration::from_secs(1));
                send(&port, &Message::Beat, b"");
            }
        });
    }

    /// Waits until everything sent has left the port.
    pub(super) fn drain(&self) {
        let port = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = termios::tcdrain(&*port) {
            eprintln!("cutaway-vm: cannot drain the result channel: {error}");
        }
    }
}

fn send(port: &Mutex<File>, message: &Message, payload: &[u8]) {
    let mut port = port.lock().unwrap_or_else(PoisonError::into_inner);
    if let Err(error) = protocol::write(&mut *port, message, payload) {
        eprintln!("cutaway-vm: cannot write to the result channel: {error}");
    }
}
