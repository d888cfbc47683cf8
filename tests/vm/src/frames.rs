//! The host's ends of a guest's channel, each on a thread of its own: reading and writing can then have time limits.

use std::io::{BufReader, Read, Write};
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

/// Writes what it is sent, in order. A guest that does not read blocks only the thread.
pub(crate) fn send(channel: impl Write + Send + 'static) -> Sender<Vec<u8>> {
    let (send, receive) = mpsc::channel::<Vec<u8>>();
    std::thread::spawn(move || {
        let mut channel = channel;
        for bytes in receive {
            // QEMU has ended: the reading end reports that.
            if channel.write_all(&bytes).is_err() {
                return;
            }
        }
    });
    send
}
