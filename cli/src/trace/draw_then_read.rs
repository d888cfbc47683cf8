//! Draws the ring before its records are read: `trace --draw`.
//!
//! The picture is taken through an observer's mapping, beside the reader's own, and shows the records that the reader
//! reads next. With `--step` one record is read for each picture, so that each change of the positions is visible.

use std::{path::Path, sync::atomic::AtomicBool};

use cutaway::{Loaded, mmap_ring::Peek};
use cutaway_programs::getaddrinfo::{Transport, names};

use crate::{
    args::Format,
    draw::{Canvas, Command, Steps},
    error::CliError,
    peek::{Mode, Snapshot},
};

/// The ring that is drawn, and the canvas.
pub(crate) struct Drawn {
    pages: Peek,
    id: u32,
    canvas: Canvas,
    steps: Option<Steps>,
}

/// How many records to read after a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Take {
    /// The ring is empty.
    None,
    /// As many as were drawn, or one with `--step`.
    AtMost(u64),
    /// All from now on, without pictures.
    AllFromNowOn,
}

impl Drawn {
    /// Maps the ring and creates the canvas. `file` is the value of `--draw`, empty for the terminal.
    pub(crate) fn new(
        file: &str,
        step: bool,
        format: Format,
        transport: Transport,
        loaded: &Loaded,
        recording: Option<&Path>,
    ) -> Result<Self, CliError> {
        if transport != Transport::Ring {
            return Err(CliError::new(format!(
                "cannot draw {transport} buffers: --draw of trace supports only the ring"
            ))
            .advise("use --transport ring, or draw them with `cutaway peek --pid PID --draw`"));
        }
        if file.is_empty() && format == Format::Json {
            return Err(CliError::new("cannot draw in the terminal with --format json")
                .advise("draw into a file: --draw=FILE.svg"));
        }
        let map = loaded.map(names::EVENTS)?;
        let steps = step.then(Steps::new).transpose()?;
        Ok(Self { pages: map.peek()?, id: map.id(), canvas: Canvas::apart(file, recording.as_slice())?, steps })
    }

    /// Draws the ring unless it is empty. Returns how many records to read.
    pub(crate) fn draw(&mut self, interrupted: &AtomicBool) -> Result<Take, CliError> {
        let snapshot = Snapshot::take(&self.pages, (self.id, names::EVENTS, Mode::Ring), 0);
        if snapshot.fill_bytes == 0 {
            return Ok(Take::None);
        }
        let more = self.canvas.draw(snapshot.picture())?;
        Ok(match &mut self.steps {
            _ if !more => Take::AllFromNowOn,
            // Records that arrive later get a picture of their own.
            None => Take::AtMost(snapshot.committed),
            Some(steps) => match steps.next(false, Some(interrupted)) {
                Command::End => Take::AllFromNowOn,
                Command::Next | Command::Back => Take::AtMost(1),
            },
        })
    }

    /// Finishes the canvas, which prints where the pictures are.
    pub(crate) fn finish(&mut self) -> Result<(), CliError> {
        self.canvas.finish()
    }
}
