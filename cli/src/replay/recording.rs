//! A recording that is replayed.

use std::{
    fs::File,
    io::{self, Read},
    os::fd::AsFd,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use cutaway_recording::{Buffer, Entry, Error, Reader, Start};

use crate::{diagnostics, error::CliError};

/// The fact that has the number of buffers.
const BUFFERS: &str = "buffers";

/// A recording, of which the start was read.
pub(crate) struct Recording {
    shown: String,
    start: Start<'static>,
    reader: Reader<Box<dyn Read>>,
    end: Option<End>,
}

/// The end of a recording.
#[derive(Debug, Clone, Copy)]
struct End {
    received: u64,
    lost: Option<u64>,
}

/// The entries before the first record.
#[derive(Debug, Default)]
pub(crate) struct Definitions {
    blobs: Vec<(String, Vec<u8>)>,
    pub(crate) buffers: Vec<Buffer<'static>>,
}

impl Definitions {
    /// Returns the fact that tells a reader how many buffers to expect.
    pub(crate) fn count(buffers: usize) -> (&'static str, String) {
        (BUFFERS, buffers.to_string())
    }

    pub(crate) fn blob(&self, name: &str) -> Option<&[u8]> {
        self.blobs.iter().find(|(known, _)| known == name).map(|(_, bytes)| bytes.as_slice())
    }
}

impl Recording {
    /// Opens a file, or stdin if the path is `-`.
    pub(crate) fn open(path: &Path) -> Result<Self, CliError> {
        let is_stdin = path == Path::new("-");
        let shown = if is_stdin { "stdin".to_owned() } else { path.display().to_string() };
        let file = if is_stdin { io::stdin().as_fd().try_clone_to_owned().map(File::from) } else { File::open(path) };
        let attempt = format!("read the recording {shown}");
        let file = file.map_err(|error| CliError::system(&attempt, &error))?;
        let (reader, start) = Reader::new(Box::new(file) as Box<dyn Read>).map_err(|error| failure(&shown, &error))?;
        Ok(Self { shown, start, reader, end: None })
    }

    /// Returns the command that recorded.
    pub(crate) fn command(&self) -> &str {
        &self.start.command
    }

    pub(crate) fn start(&self) -> &Start<'static> {
        &self.start
    }

    pub(crate) fn fact(&self, name: &str) -> Option<&str> {
        self.start.fact(name)
    }

    /// Reads the entries before the first record.
    pub(crate) fn definitions(&mut self) -> Result<Definitions, CliError> {
        let count = self.fact(BUFFERS).and_then(|count| count.parse().ok()).unwrap_or(0);
        let mut definitions = Definitions::default();
        while definitions.buffers.len() < count {
            match self.reader.next_entry() {
                Ok(Some(Entry::Blob { name, bytes })) => {
                    definitions.blobs.push((name.into_owned(), bytes.to_owned()));
                }
                Ok(Some(Entry::Buffer(buffer))) => definitions.buffers.push(Buffer {
                    name: buffer.name.into_owned().into(),
                    notes: buffer.notes.into_owned().into(),
                    ..buffer
                }),
                Ok(_) => return Err(self.lacks(&format!("the descriptions of all {count} buffers"))),
                Err(error) => return Err(failure(&self.shown, &error)),
            }
        }
        Ok(definitions)
    }

    /// Passes each entry to `show`, until it returns false. With a `speed`, entries come at the pace at which they were
    /// recorded, that many times faster.
    pub(crate) fn each(
        &mut self,
        speed: Option<f64>,
        mut show: impl FnMut(Entry<'_>) -> Result<bool, CliError>,
    ) -> Result<(), CliError> {
        let begun = Instant::now();
        let first = self.start.monotonic_ns;
        loop {
            let entry = match self.reader.next_entry() {
                Ok(Some(entry)) => entry,
                Ok(None) => return Ok(()),
                Err(error) => return Err(failure(&self.shown, &error)),
            };
            match &entry {
                Entry::End { received, lost, .. } => self.end = Some(End { received: *received, lost: *lost }),
                Entry::Clock { monotonic_ns, .. } => wait(begun, monotonic_ns.saturating_sub(first), speed),
                Entry::Snapshot(snapshot) => wait(begun, snapshot.time_ns.saturating_sub(first), speed),
                _ => {}
            }
            if !show(entry)? {
                return Ok(());
            }
        }
    }

    /// Says how many records or snapshots were shown, and what is known of the others.
    pub(crate) fn say_end(&self, shown: u64) {
        let is_of_an_observer = self.command() == "peek";
        let what = match self.end {
            Some(End { received, .. }) if is_of_an_observer => format!(" of {received} snapshots"),
            Some(End { received, lost: Some(lost) }) => format!(" of {received}; {lost} were lost while recording"),
            Some(End { received, lost: None }) => {
                format!(" of {received}; it is unknown how many were lost while recording")
            }
            None if self.reader.is_cut() => "; the recording ends early: its last entry is not whole".to_owned(),
            None => "; the end of the recording was not read".to_owned(),
        };
        diagnostics::say(&format!("replayed {shown}{what}"));
    }

    /// Makes the error of a recording without a part.
    pub(crate) fn lacks(&self, what: &str) -> CliError {
        self.failure(&format!("it ends before {what}: the command was killed as it began"))
    }

    /// Makes an error that names the recording.
    pub(crate) fn failure(&self, why: &str) -> CliError {
        CliError::new(format!("cannot replay {}: {why}", self.shown))
    }
}

/// Waits until an entry is due.
fn wait(begun: Instant, since_first_ns: u64, speed: Option<f64>) {
    let Some(speed) = speed else { return };
    let due = Duration::try_from_secs_f64(since_first_ns as f64 / 1e9 / speed).unwrap_or(Duration::MAX);
    thread::sleep(due.saturating_sub(begun.elapsed()));
}

fn failure(shown: &str, error: &Error) -> CliError {
    let failure = CliError::new(format!("cannot replay {shown}: {error}"));
    match error {
        Error::NotARecording => failure.advise("`cutaway trace`, `run` and `peek` write recordings with --record FILE"),
        _ => failure,
    }
}
