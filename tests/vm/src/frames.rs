//! The host's ends of a guest's channel, each on a thread of its own: reading and writing can then have time limits.

use std::io::{BufReader, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};

use crate::protocol::{self, Message};

/// The largest number of buffered frames, of up to a mebibyte each; after that, the guest waits.
const FRAMES_AHEAD: usize = 8;

/// A frame, or the error that ended the channel.
pub(crate) type Frame = std::io::Result<(Message, Vec<u8>)>;

/// Reads frames until the channel ends or the receiver is dropped.
pub(crate) fn receive(channel: impl Read + Send + 'static) -> Receiver<Frame> {
    let (send, receive) = mpsc::sync_channel(FRAMES_AHEAD);
    std::thread::spawn(move || {
        let mut channel = BufReader::with_capacity(1 << 16, channel);
        loop {
            let frame = match protocol::read(&mut channel) {
                Ok(Some(frame)) => Ok(frame),
                Ok(None) => return,
                Err(error) => Err(error),
            };
            let last = frame.is_err();
            // The receiver may have given up on this guest already.
            if send.send(frame).is_err() || last {
                return;
            }
        }
    });
    receive
}

/// The lines for a guest.
#[derive(Debug, Clone)]
pub(crate) struct ToGuest {
    lines: Sender<Vec<u8>>,
    /// The bytes that are not written yet.
    ahead: Arc<AtomicUsize>,
}

impl ToGuest {
    /// Sends a line, without waiting for the guest. After the end of QEMU it is dropped; the other direction reports
    /// the end.
    pub(crate) fn send(&self, line: Vec<u8>) {
        // ATOMICS: a lone count; pairs with the relaxed subtraction in `send`, which follows by the channel.
        self.ahead.fetch_add(line.len(), Ordering::Relaxed);
        let _ = self.lines.send(line);
    }

    /// Returns the number of bytes that the guest has not taken yet. A sender of much data waits until they are few.
    pub(crate) fn ahead(&self) -> usize {
        // ATOMICS: a lone count; see `send`.
        self.ahead.load(Ordering::Relaxed)
    }
}

/// Writes what it is sent, in order. A guest that does not read blocks only the thread.
pub(crate) fn send(channel: impl Write + Send + 'static) -> ToGuest {
    let (lines, receive) = mpsc::channel::<Vec<u8>>();
    let ahead = Arc::new(AtomicUsize::new(0));
    let own = Arc::clone(&ahead);
    std::thread::spawn(move || {
        let mut channel = channel;
        let mut has_ended = false;
        for bytes in receive {
            // QEMU has ended: the reading end reports that.
            has_ended |= !has_ended && channel.write_all(&bytes).is_err();
            // ATOMICS: a lone count; pairs with the relaxed addition in `ToGuest::send`.
            own.fetch_sub(bytes.len(), Ordering::Relaxed);
        }
    });
    ToGuest { lines, ahead }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_a_guest_has_not_taken_are_counted() {
        let (mut reader, writer) = std::io::pipe().unwrap();
        let guest = send(writer);
        // More than a pipe holds.
        for _ in 0..40 {
            guest.send(vec![b'x'; 10_000]);
        }
        assert!(guest.ahead() > 100_000, "{}", guest.ahead());
        reader.read_exact(&mut vec![0; 400_000]).unwrap();
        let taken = || {
            (0..1000).any(|_| {
                guest.ahead() == 0 || {
                    std::thread::sleep(std::time::Duration::from_millis(5));
                    false
                }
            })
        };
        assert!(taken(), "{}", guest.ahead());
        drop(reader);
        guest.send(vec![0; 7]);
        assert!(taken(), "the guest has ended: {}", guest.ahead());
    }
}
