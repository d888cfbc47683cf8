//! The result channel: what the guest tells the host, over a serial port that nothing else writes to.
//!
//! A frame is one line of JSON and, if the line says so, that many raw bytes:
//!
//! ```text
//! {"message":{"kind":"started","binary":0,"test":"reads"},"bytes":0}\n
//! {"message":{"kind":"output"},"bytes":12}\nhello world\n
//! ```
//!
//! The second serial port rather than virtio: the 8250 driver is built into every packaged kernel (it carries the
//! console), while virtio is a module before 6.12 and would have to be brought along, so an image given by path
//! works without its modules.

use std::io::{self, BufRead, Read as _, Write};

use serde::{Deserialize, Serialize};

/// No line and no payload of ours is longer; a longer one is a broken channel, not a reason to allocate.
const LINE_LIMIT: u64 = 64 << 10;
/// The largest piece that output and files are sent in.
pub const PAYLOAD_LIMIT: u64 = 1 << 20;

/// What a frame says. `binary` counts through [`crate::plan::Plan::binaries`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Message {
    /// The guest is up; the first frame.
    Hello {
        /// `uname -r`.
        release: String,
        /// CPUs online.
        cpus: u32,
        /// `MemTotal`, KiB.
        memory_kib: u64,
    },
    /// Once a second: the guest still schedules.
    Beat,
    /// A harness answered with these many tests, of which these names fit a line; several of them in a row add up.
    Listed {
        /// Which binary.
        binary: usize,
        /// Test names.
        tests: Vec<String>,
    },
    /// A test's process is about to start.
    Started {
        /// Which binary.
        binary: usize,
        /// Test name; empty for a plain program.
        test: String,
    },
    /// The payload is output of the running test.
    Output,
    /// The payload is where the running test's threads hang.
    Trace,
    /// The running test is over.
    Ended {
        /// How its process ended.
        status: Status,
        /// Wall-clock seconds from start to end.
        seconds: f64,
        /// Bytes of output dropped beyond the limit.
        dropped: u64,
    },
    /// The payload continues (or begins, at 0) a file that a test left.
    File {
        /// Relative to the results folder.
        path: String,
        /// Bytes sent before.
        offset: u64,
    },
    /// Something the host should know: a mount that failed, a file that could not be read.
    Note {
        /// The sentence.
        text: String,
    },
    /// All is done; the guest powers off.
    Done,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// It left with this code.
    Code(i32),
    /// This signal killed it.
    Signal(i32),
    /// It outlived its limit and was killed.
    TimedOut,
    /// It could not be started; the output says why.
    NotStarted,
}

#[derive(Serialize, Deserialize)]
struct Header {
    message: Message,
    bytes: u64,
}

/// Writes one frame, in one write where the channel takes it.
///
/// # Errors
/// The channel's.
pub fn write(channel: &mut impl Write, message: &Message, payload: &[u8]) -> io::Result<()> {
    let header = Header { message: message.clone(), bytes: payload.len() as u64 };
    let mut frame = serde_json::to_vec(&header)?;
    frame.push(b'\n');
    frame.extend_from_slice(payload);
    channel.write_all(&frame)
}

/// Reads one frame. `None` at the end of the channel; a frame cut off in the middle also ends it.
///
/// # Errors
/// The channel's, or `InvalidData` for anything that is not a frame.
pub fn read(channel: &mut impl BufRead) -> io::Result<Option<(Message, Vec<u8>)>> {
    let mut line = Vec::new();
    channel.by_ref().take(LINE_LIMIT).read_until(b'\n', &mut line)?;
    let Some(text) = line.strip_suffix(b"\n") else {
        return if (line.len() as u64) < LINE_LIMIT {
            Ok(None)
        } else {
            Err(io::Error::new(io::ErrorKind::InvalidData, "a line without end on the result channel"))
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
    fn frames_come_back() {
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
    fn a_cut_frame_is_an_end_and_noise_an_error() {
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
