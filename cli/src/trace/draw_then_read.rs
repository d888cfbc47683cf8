//! The ring as a picture, before its records are taken out: `trace --draw`.
//!
//! The pages are looked at through a bystander's mapping, beside the reader's own: what is drawn is what the reader is about
//! to find. With `--step` one record is taken for each picture, so that the positions can be watched on their way.

use std::sync::atomic::AtomicBool;

use cutaway::{Loaded, mmap_ring::Peek};
use cutaway_programs::getaddrinfo::{Transport, names};

use crate::{
    args::Format,
    draw::{Canvas, Command, Steps},
    failure::Failure,
    peek::{Mode, Snapshot},
};

/// What is drawn, and where to.
pub(crate) struct Drawn {
    pages: Peek,
    id: u32,
    canvas: Canvas,
    steps: Option<Steps>,
}

/// How many records to take after a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Take {
    /// There was nothing to draw.
    None,
    /// As many as were drawn, or one, if the viewer goes step by step.
    AtMost(u64),
    /// All that come: there are to be no more pictures.
    AllFromNowOn,
}

impl Drawn {
    /// `file` is what follows `--draw`: empty for the terminal.
    pub(crate) fn new(
        file: &str,
        step: bool,
        format: Format,
        transport: Transport,
        loaded: &Loaded,
    ) -> Result<Self, Failure> {
        if transport != Transport::Ring {
            return Err(Failure::new(format!("cannot draw {transport} from within: only the ring can be drawn"))
                .advise("take --transport ring, or draw it from outside by `cutaway peek --pid PID --draw`"));
        }
        if file.is_empty() && format == Format::Json {
            return Err(Failure::new("cannot draw among lines of JSON").advise("draw into a file: --draw=FILE.svg"));
        }
        let map = loaded.map(names::EVENTS)?;
        let steps = step.then(Steps::new).transpose()?;
        Ok(Self { pages: map.peek()?, id: map.id(), canvas: Canvas::new(file)?, steps })
    }

    /// Draws the ring if anything waits in it, and asks how to go on.
    pub(crate) fn look(&mut self, interrupted: &AtomicBool) -> Result<Take, Failure> {
        let look = Snapshot::take(&self.pages, (self.id, names::EVENTS, Mode::Ring), 0);
        if look.fill_bytes == 0 {
            return Ok(Take::None);
        }
        let more = self.canvas.draw(look.picture())?;
        Ok(match &mut self.steps {
            _ if !more => Take::AllFromNowOn,
            // What has come since gets a picture of its own.
            None => Take::AtMost(look.committed),
            Some(steps) => match steps.next(false, Some(interrupted)) {
                Command::End => Take::AllFromNowOn,
                Command::Next | Command::Back => Take::AtMost(1),
            },
        })
    }

    /// Writes what is written at the end, and says where the pictures are.
    pub(crate) fn finish(&mut self) -> Result<(), Failure> {
        self.canvas.finish()
    }
}
