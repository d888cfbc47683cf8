//! `--record FILE`: writes what a command receives to a recording (`cutaway-recording`), which `cutaway replay` shows.
//!
//! The command encodes entries, which takes tens of nanoseconds. A thread compresses and writes them, at the latest
//! [`DELAY`] later, so a command that is killed loses no more than that. If the disk is slower than the records, the
//! command waits for it: a recording has everything that was received.

use std::{
    io,
    path::{Path, PathBuf},
    sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    thread::{Builder, JoinHandle},
    time::{Duration, Instant},
};

use cutaway_recording::{Encoder, Entry, FrameWriter, Start};

use crate::{
    diagnostics,
    error::CliError,
    moment::Moment,
    output_file::{self, GrowingFile, Refused},
};

/// How long an entry may be in memory alone.
const DELAY: Duration = Duration::from_millis(100);

/// The pieces that wait for the disk, at most. A piece is one drain of a buffer, 256 KiB at most, or one snapshot.
const WAITING: usize = 16;

/// The bytes of a frame. More entries compress better, but a reader decompresses a frame at a time.
const FRAME: usize = 256 * 1024;

/// A file that was opened for a recording which has not begun.
#[derive(Debug)]
pub(crate) struct NewRecording {
    path: PathBuf,
    file: GrowingFile,
}

impl NewRecording {
    /// Creates the file, so that a wrong path fails before anything is loaded. Stdout is refused unless the command
    /// prints nothing there.
    pub(crate) fn create(path: &Path, stdout_is_free: bool) -> Result<Self, CliError> {
        let file = GrowingFile::create(path, stdout_is_free).map_err(|refused| failure(path, refused))?;
        Ok(Self { path: path.to_owned(), file })
    }

    /// Begins the recording of a command.
    pub(crate) fn begin(self, command: &str, facts: Vec<(&str, String)>) -> Result<Recorder, CliError> {
        let Self { path, mut file } = self;
        file.keep();
        let now = Moment::now();
        let release = rustix::system::uname();
        let facts = facts.into_iter().map(|(name, value)| (name.to_owned().into(), value.into())).collect();
        let encoder = Encoder::new(&Start {
            command: command.to_owned().into(),
            program: concat!("cutaway ", env!("CARGO_PKG_VERSION")).into(),
            kernel: release.release().to_string_lossy().into_owned().into(),
            machine: release.machine().to_string_lossy().into_owned().into(),
            monotonic_ns: now.monotonic_ns,
            wall_ns: now.wall_ns,
            facts,
        });
        let (to, from) = sync_channel(WAITING);
        let write = move || write(&from, FrameWriter::new(file));
        let thread = Builder::new().name("record".to_owned()).spawn(write);
        let thread = thread.map_err(|error| CliError::system("start the thread that writes the recording", &error))?;
        let mut recorder = Recorder { path, encoder, to: Some(to), thread: Some(thread) };
        recorder.pass_on()?;
        Ok(recorder)
    }
}

/// A recording that is being written.
#[derive(Debug)]
pub(crate) struct Recorder {
    path: PathBuf,
    encoder: Encoder,
    /// `None` once the thread is to end.
    to: Option<SyncSender<Vec<u8>>>,
    thread: Option<JoinHandle<io::Result<u64>>>,
}

impl Recorder {
    /// Adds an entry. Fails if earlier ones could not be written.
    pub(crate) fn add(&mut self, entry: &Entry<'_>) -> Result<(), CliError> {
        self.encoder.add(entry);
        if self.encoder.is_full() { self.pass_on() } else { Ok(()) }
    }

    /// Adds the time of the entries that follow.
    pub(crate) fn clock(&mut self, now: Moment) -> Result<(), CliError> {
        self.add(&Entry::Clock { monotonic_ns: now.monotonic_ns, wall_ns: now.wall_ns })
    }

    /// Adds lines that are no records. `is_json` is their format.
    pub(crate) fn lines(&mut self, what: &str, lines: &[String], is_json: bool) -> Result<(), CliError> {
        let lines = lines.iter().map(|line| line.as_str().into()).collect();
        let (json, text) = if is_json { (lines, Vec::new()) } else { (Vec::new(), lines) };
        self.add(&Entry::Lines { what: what.into(), json, text })
    }

    /// Passes the entries to the thread that writes them. Waits if it is behind.
    pub(crate) fn pass_on(&mut self) -> Result<(), CliError> {
        if self.encoder.is_empty() {
            return Ok(());
        }
        let entries = self.encoder.take();
        match self.to.as_ref().map(|to| to.send(entries)) {
            Some(Ok(())) => Ok(()),
            // The thread has ended: its error is the reason.
            _ => self.end_thread().map(drop),
        }
    }

    /// Ends the recording, and says how large it is.
    pub(crate) fn finish(mut self, received: u64, lost: Option<u64>, quiet: bool) -> Result<(), CliError> {
        self.add(&Entry::End { received, lost, notes: "".into() })?;
        self.pass_on()?;
        let bytes = self.end_thread()?;
        let each =
            if received >= 100 { format!(", {:.1} bytes each", bytes as f64 / received as f64) } else { String::new() };
        if quiet {
            return Ok(());
        }
        diagnostics::say(&format!("recorded {received} in {}: {bytes} bytes{each}", self.path.display()));
        Ok(())
    }

    fn end_thread(&mut self) -> Result<u64, CliError> {
        self.to = None;
        let Some(thread) = self.thread.take() else {
            return Err(CliError::new(format!("the recording {} was not written whole", self.path.display())));
        };
        let written = thread.join().unwrap_or_else(|_| Err(io::Error::other("its thread has panicked")));
        written.map_err(|error| failure(&self.path, Refused::System(error)))
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        // A command that fails keeps what it has recorded. Its own error is reported.
        let _ = self.pass_on();
        let _ = self.end_thread();
    }
}

fn failure(path: &Path, refused: Refused) -> CliError {
    output_file::failure("write the recording to", path, refused)
}

/// Writes the entries that arrive, as frames. Returns the bytes of the file.
fn write(from: &Receiver<Vec<u8>>, mut frames: FrameWriter<GrowingFile>) -> io::Result<u64> {
    while let Ok(mut entries) = from.recv() {
        let due = Instant::now() + DELAY;
        while entries.len() < FRAME {
            match from.recv_timeout(due.saturating_duration_since(Instant::now())) {
                Ok(more) => entries.extend_from_slice(&more),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
            }
        }
        frames.write(&entries)?;
    }
    Ok(frames.written())
}
