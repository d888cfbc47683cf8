//! The result channel from the guest to the host: a serial port that nothing else writes to.
//!
//! A frame is one line of JSON, followed by as many raw bytes as its `bytes` says:
//!
//! ```text
//! {"message":{"kind":"started","binary":0,"test":"reads"},"bytes":0}\n
//! {"message":{"kind":"output"},"bytes":12}\nhello world\n
//! ```
//!
//! The channel is the second serial port, not virtio. The 8250 driver is built into every packaged kernel, because it
//! carries the console. Virtio is a module before 6.12 and would have to be added to the initramfs. So an image given
//! by path works without its modules.

use std::io::{self, BufRead, Read as _, Write};

use serde::{Deserialize, Serialize};

/// The limit of a line. A longer line means that the channel is broken, and must not cause an allocation.
const LINE_LIMIT: u64 = 64 << 10;
/// The largest payload, for pieces of output and files.
pub const PAYLOAD_LIMIT: u64 = 1 << 20;

/// The message of a frame. `binary` is an index into [`crate::plan::Plan::binaries`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Message {
    /// The guest waits for its orders ([`crate::orders`]).
    Ready,
    /// The guest has booted and has its orders; the first frame after [`Message::Ready`].
    Hello {
        /// `uname -r`.
        release: String,
        /// The number of online CPUs.
        cpus: u32,
        /// `MemTotal`, in KiB.
        memory_kib: u64,
    },
    /// Sent every second: the guest still schedules.
    Beat,
    /// The names of tests that a harness listed. A long list takes several messages, which add up.
    Listed {
        /// The index of the binary.
        binary: usize,
        /// Test names.
        tests: Vec<String>,
    },
    /// A harness has listed its tests, of which a slice will run.
    Whole {
        /// The index of the binary.
        binary: usize,
        /// The digest of all names ([`crate::slice::digest`]).
        digest: String,
    },
    /// A test's process is about to start.
    Started {
        /// The index of the binary.
        binary: usize,
        /// Test name; empty for a plain program.
        test: String,
    },
    /// The payload is output of the running test.
    Output,
    /// The payload is the kernel stacks of the running test's threads.
    Trace,
    /// The running test has ended.
    Ended {
        /// The end of its process.
        status: Status,
        /// Wall-clock seconds from start to end.
        seconds: f64,
        /// The bytes of output dropped beyond the limit.
        dropped: u64,
    },
    /// The payload is a piece of a file that a test left; a piece with offset 0 begins the file.
    File {
        /// The path relative to the results directory.
        path: String,
        /// The number of bytes sent before.
        offset: u64,
    },
    /// A note for the host: for instance a failed mount, or a file that could not be read.
    Note {
        /// The note's text.
        text: String,
    },
    /// The payload is output of the guest's shell.
    Shell,
    /// The guest's shell has ended.
    Left {
        /// The end of its process.
        status: Status,
        /// Wall-clock seconds from start to end.
        seconds: f64,
    },
    /// The guest cannot run the plan, for the reason in `why`; it powers off.
    Unable {
        /// The reason.
        why: String,
    },
    /// Everything has run; the guest powers off.
    Done,
}

/// The end of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// It exited with this code.
    Code(i32),
    /// It was killed by this signal.
    Signal(i32),
    /// It exceeded its time limit and was killed.
    TimedOut,
    /// It could not be started; the output has the reason.
    NotStarted,
}

#[derive(Serialize, Deserialize)]
struct Header {
    message: Message,
    bytes: u64,
}

/// Writes one frame, in one write if the channel accepts it.
///
/// # Errors
/// The error of the channel.
pub fn write(channel: &mut impl Write, message: &Message, payload: &[u8]) -> io::Result<()> {
    let header = Header { message: message.clone(), bytes: payload.len() as u64 };
    let mut frame = serde_json::to_vec(&header)?;
    frame.push(b'\n');
    frame.extend_from_slice(payload);
    channel.write_all(&frame)
}

/// Reads one frame. `None` at the end of the channel, also if the end is inside a frame.
///
/// # Errors
/// The error of the channel, or `InvalidData` for anything that is not a frame.
pub fn read(channel: &mut impl BufRead) -> io::Result<Option<(Message, Vec<u8>)>> {
    let mut line = Vec::new();
    channel.by_ref().take(LINE_LIMIT).read_until(b'\n', &mut line)?;
    let Some(text) = line.strip_suffix(b"\n") else {
        return if (line.len() as u64) < LINE_LIMIT {
            Ok(None)
        } else {
            Err(io::Error::new(io::ErrorKind::InvalidData, "a line on the result channel exceeds the limit"))
        };
    };
    let header: Header = serde_json::from_slice(text).map_err(|error| {
        let text = String::from_utf8_lossy(text).chars().take(80).collect::<String>();
        io::Error::new(io::ErrorKind::InvalidData, format!("not a frame on the result channel: {text:?}: {error}"))
    })?;
    if header.bytes > PAYLOAD_LIMIT {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("a frame of {} bytes on the result channel", header.bytes),
        ));
    }
    let mut payload = Vec::new();
    channel.by_ref().take(header.bytes).read_to_end(&mut payload)?;
    if (payload.len() as u64) < header.bytes {
        return Ok(None);
    }
    Ok(Some((header.message, payload)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_read_back() {
        let mut channel = Vec::new();
        let started = Message::Started { binary: 3, test: "a \"quoted\"\nname".into() };
        write(&mut channel, &started, b"").unwrap();
        write(&mut channel, &Message::Output, b"{not json}\n\0\xff").unwrap();
        write(&mut channel, &Message::Ended { status: Status::Signal(11), seconds: 0.5, dropped: 0 }, b"").unwrap();
        let mut channel = channel.as_slice();
        assert_eq!(read(&mut channel).unwrap(), Some((started, vec![])));
        assert_eq!(read(&mut channel).unwrap(), Some((Message::Output, b"{not json}\n\0\xff".to_vec())));
        assert!(matches!(read(&mut channel).unwrap(), Some((Message::Ended { status: Status::Signal(11), .. }, _))));
        assert_eq!(read(&mut channel).unwrap(), None);
    }

    #[test]
    fn truncated_frame_is_the_end_and_noise_an_error() {
        let mut channel = Vec::new();
        write(&mut channel, &Message::Output, b"hello").unwrap();
        for length in 0..channel.len() {
            assert_eq!(read(&mut &channel[..length]).unwrap(), None, "cut at {length}");
        }
        assert!(read(&mut b"login: \n".as_slice()).is_err());
        assert!(read(&mut b"{\"message\":{\"kind\":\"output\"},\"bytes\":99999999999}\n".as_slice()).is_err());
        assert!(read(&mut vec![b'x'; 70_000].as_slice()).is_err());
    }
}
