//! A buffer as a picture: the pages as they are mapped, the positions, and every record to scale.
//!
//! ```text
//!     picture.rs   what is drawn, of a ring or of a perf buffer      text.rs   for a terminal
//!     cells.rs     bytes to columns: what a column shows             svg.rs    for a browser
//!     step.rs      one picture after the other, at the viewer's pace
//! ```
//!
//! Both pictures show the same thing: a ring's data twice in a row, as the kernel maps it, so that what waits is one
//! piece in it even where it runs over the ring's end, or a perf buffer's once, where it is two; and below it what
//! waits by itself, enlarged.

mod cells;
mod picture;
mod step;
mod svg;
mod text;

use std::path::PathBuf;

pub(crate) use self::{
    picture::{Block, Kind, Mark, Picture, Word},
    step::{Command, Steps},
    svg::escaped,
    text::text,
};
use crate::{
    diagnostics::say,
    error::CliError,
    output_file::{self, OutputFile, Refused},
};

/// Where pictures go.
#[derive(Debug)]
pub(crate) enum Canvas {
    /// To stdout, as text.
    Terminal,
    /// Into a file, one frame below the other.
    Svg(Svg),
}

/// A file of pictures.
#[derive(Debug)]
pub(crate) struct Svg {
    path: PathBuf,
    file: OutputFile,
    frames: Vec<Picture>,
    /// How many of them are in the file.
    written: usize,
    /// Writing failed: then what is in the file is what was there before.
    failed: bool,
}

/// Frames that one file takes, at most.
const MOST_FRAMES: usize = 200;

impl Canvas {
    /// What follows `--draw`: a file's name, or nothing for the terminal.
    pub(crate) fn new(file: &str) -> Result<Self, CliError> {
        if file.is_empty() {
            return Ok(Self::Terminal);
        }
        let path = PathBuf::from(file);
        let file = OutputFile::open(&path).map_err(|refused| failure(&path, refused))?;
        Ok(Self::Svg(Svg { path, file, frames: Vec::new(), written: 0, failed: false }))
    }

    /// Draws. A file is replaced with each frame, so that all that was drawn is in it however this ends; a device or a
    /// pipe is written to at the end, by [`Canvas::finish`]. `false` if it takes no more.
    pub(crate) fn draw(&mut self, picture: Picture) -> Result<bool, CliError> {
        match self {
            Self::Terminal => {
                let lines = text(&picture, crate::terminal::width(), crate::terminal::is_colored());
                crate::terminal::print(&(lines.join("\n") + "\n\n")).map(|()| true)
            }
            Self::Svg(svg) => {
                svg.frames.push(picture);
                if !svg.file.is_stream() {
                    svg.write()?;
                }
                Ok(svg.frames.len() < MOST_FRAMES)
            }
        }
    }

    /// Writes what is written at the end, and tells where the pictures are, if they are not where everybody sees them.
    pub(crate) fn finish(&mut self) -> Result<(), CliError> {
        let Self::Svg(svg) = self else { return Ok(()) };
        if svg.file.is_stream() && svg.written < svg.frames.len() {
            svg.write()?;
        }
        let path = svg.path.display();
        match svg.written {
            0 if svg.failed => {}
            0 => say(&format!("nothing was drawn and {path} is unchanged: no record was unread")),
            1 => say(&format!("one picture in {path}")),
            count => say(&format!("{count} pictures in {path}")),
        }
        Ok(())
    }
}

impl Svg {
    fn write(&mut self) -> Result<(), CliError> {
        let written = self.file.write(svg::document(&self.frames).as_bytes());
        self.failed = written.is_err();
        written.map_err(|error| failure(&self.path, Refused::System(error)))?;
        self.written = self.frames.len();
        Ok(())
    }
}

fn failure(path: &std::path::Path, refused: Refused) -> CliError {
    output_file::failure("write the picture", path, refused)
}
