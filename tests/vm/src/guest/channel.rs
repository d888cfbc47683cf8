//! The guest's end of the result channel, shared by the worker and the heart.

use std::fs::{File, OpenOptions};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::termios::{self, OptionalActions};

use crate::protocol::{self, Message};

/// The second serial port; the first is the console.
pub(super) const PATH: &str = "/dev/ttyS1";

/// The open port. Frames of several threads never mix.
pub(super) struct Channel(Arc<Mutex<File>>);

impl Channel {
    /// Opens the port and takes the terminal's manners from it: no echo, no line ends turned into others.
    pub(super) fn open() -> io::Result<Self> {
        let port = OpenOptions::new().read(true).write(true).open(PATH)?;
        let mut settings = termios::tcgetattr(&port)?;
        settings.make_raw();
        termios::tcsetattr(&port, OptionalActions::Now, &settings)?;
        // No test is to speak in process 1's name.
        std::fs::remove_file(PATH)?;
        Ok(Self(Arc::new(Mutex::new(port))))
    }

    /// Sends one frame. A channel that refuses cannot be told about, except on the console.
    pub(super) fn send(&self, message: &Message, payload: &[u8]) {
        send(&self.0, message, payload);
    }

    /// Sends a sentence.
    pub(super) fn note(&self, text: impl Into<String>) {
        self.send(&Message::Note { text: text.into() }, b"");
    }

    /// Starts the heart: a frame a second, from a thread that does nothing else.
    pub(super) fn beat(&self) {
        let port = Arc::clone(&self.0);
        std::thread::spawn(move || {
            loop {
                std::thread::sleep(Duration::from_secs(1));
                send(&port, &Message::Beat, b"");
            }
        });
    }

    /// Waits until all that was sent has left the port.
    pub(super) fn drain(&self) {
        let port = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = termios::tcdrain(&*port) {
            eprintln!("cutaway-vm: the result channel does not drain: {error}");
        }
    }
}

fn send(port: &Mutex<File>, message: &Message, payload: &[u8]) {
    let mut port = port.lock().unwrap_or_else(PoisonError::into_inner);
    if let Err(error) = protocol::write(&mut *port, message, payload) {
        eprintln!("cutaway-vm: cannot write to the result channel: {error}");
    }
}
