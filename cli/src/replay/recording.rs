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

use crate::{diagnostics, error::CliError, terminal};

/// The facts that have the number of blobs and buffers.
const BLOBS: &str = "blobs";
const BUFFERS: &str = "buffers";

/// The bytes of all blobs, at most: far more than an object and the BTF of a kernel have.
const MOST_BLOBS: usize = 256 << 20;

/// A recording, of which the start was read.
pub(crate) struct Recording {
    shown: String,
    start: Start<'static>,
    reader: Reader<Box<dyn Read>>,
    end: Option<End>,
    /// It is read from a pipe or a device, and may be growing.
    is_stream: bool,
}

/// Where the entries of a recording are shown.
pub(crate) trait Show {
    /// Shows an entry. Returns false if no more are wanted.
    fn show(&mut self, entry: Entry<'_>) -> Result<bool, CliError>;

    /// Passes on everything that was shown so far.
    fn flush(&mut self) -> Result<(), CliError>;
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
    /// Returns the facts that tell a reader how many blobs and buffers to expect.
    pub(crate) fn count(blobs: usize, buffers: usize) -> [(&'static str, String); 2] {
        [(BLOBS, blobs.to_string()), (BUFFERS, buffers.to_string())]
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
        let is_stream = file.metadata().is_ok_and(|there| !there.is_file());
        let (reader, start) = Reader::new(Box::new(file) as Box<dyn Read>).map_err(|error| failure(&shown, &error))?;
        Ok(Self { shown, start, reader, end: None, is_stream })
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
        let count = |name| self.fact(name).and_then(|count| count.parse().ok()).unwrap_or(0_usize);
        let (blobs, buffers) = (count(BLOBS), count(BUFFERS));
        let (mut definitions, mut bytes_of_blobs) = (Definitions::default(), 0_usize);
        while definitions.blobs.len() < blobs || definitions.buffers.len() < buffers {
            match self.reader.next_entry() {
                Ok(Some(Entry::Blob { name, bytes })) => {
                    bytes_of_blobs = bytes_of_blobs.saturating_add(bytes.len());
                    if bytes_of_blobs > MOST_BLOBS {
                        return Err(self.failure("its object and BTF are larger than any of a kernel"));
                    }
                    definitions.blobs.push((name.into_owned(), bytes.to_owned()));
                }
                Ok(Some(Entry::Buffer(buffer))) => definitions.buffers.push(Buffer {
                    name: buffer.name.into_owned().into(),
                    notes: buffer.notes.into_owned().into(),
                    ..buffer
                }),
                Ok(_) => return Err(self.lacks("the descriptions of all its buffers")),
                Err(error) => return Err(failure(&self.shown, &error)),
            }
        }
        Ok(definitions)
    }

    /// Passes each entry to `to`, until it wants no more. With a `speed`, entries come at the pace at which they were
    /// recorded, that many times faster.
    pub(crate) fn each(&mut self, speed: Option<f64>, to: &mut impl Show) -> Result<(), CliError> {
        let begun = Instant::now();
        let first = self.start.monotonic_ns;
        loop {
            if self.is_stream {
                // The next entry may not be there yet.
                to.flush()?;
            }
            let entry = match self.reader.next_entry() {
                Ok(Some(entry)) => entry,
                Ok(None) => return Ok(()),
                Err(error) => return Err(failure(&self.shown, &error)),
            };
            let time = match &entry {
                Entry::End { received, lost, .. } => {
                    self.end = Some(End { received: *received, lost: *lost });
                    None
                }
                Entry::Clock { monotonic_ns, .. } => Some(*monotonic_ns),
                Entry::Snapshot(snapshot) => Some(snapshot.time_ns),
                _ => None,
            };
            if let (Some(speed), Some(time)) = (speed, time) {
                to.flush()?;
                wait(begun, time.saturating_sub(first), speed);
            }
            if !to.show(entry)? {
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
        let why = if self.reader.is_cut() { ": the command was killed as it began" } else { "" };
        self.failure(&format!("it has not {what}{why}"))
    }

    /// Makes an error that names the recording.
    pub(crate) fn failure(&self, why: &str) -> CliError {
        CliError::new(format!("cannot replay {}: {why}", self.shown))
    }
}

/// Waits until an entry is due.
fn wait(begun: Instant, since_first_ns: u64, speed: f64) {
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

/// Makes a recorded line safe for a terminal: a file may come from elsewhere. Lines that a command has recorded are not
/// changed.
pub(crate) fn safe(line: &str) -> String {
    terminal::one_line(line)
}

/// Says how many lines were recorded in another format than that of the replay.
pub(crate) fn say_other_format(lines: u64, is_json: bool) {
    if lines > 0 {
        let (lines, are) = if lines == 1 { ("1 line".to_owned(), "is") } else { (format!("{lines} lines"), "are") };
        let other = if is_json { "table" } else { "json" };
        diagnostics::say(&format!(
            "{lines} without a record {are} not printed: the recording has the form of --format {other}"
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recorded_lines_do_not_control_a_terminal() {
        let own = r#"{"map":"a","value":"\u001b[2J\u202e \\ é"}"#;
        assert_eq!(safe(own), own);
        let foreign = safe("\x1b]0;title\x07 \u{202e}\nsecond");
        assert!(!foreign.contains(|letter: char| letter.is_control() || letter == '\u{202e}'), "{foreign}");
    }
}
