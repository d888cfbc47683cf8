//! Draws a buffer: its pages as they are mapped, its positions, and every record to scale.
//!
//! ```text
//!     picture.rs   the data of a picture of either buffer           text.rs   for a terminal
//!     cells.rs     bytes to columns of a terminal                   svg.rs    for a browser
//!     step.rs      pictures one by one, on Enter                    shades.rs columns of thin records
//! ```
//!
//! The pictures for terminal and browser show the same. A ring's data is drawn twice in a row, as the kernel maps it,
//! so that pending data is contiguous even if it wraps around the end. A perf buffer's data is drawn once, and pending
//! data that wraps is in two pieces. Below it, the pending data is drawn alone, zoomed.

mod cells;
mod picture;
mod shades;
mod step;
mod svg;
mod text;

use std::path::{Path, PathBuf};

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

/// The destination of pictures.
#[derive(Debug)]
pub(crate) enum Canvas {
    /// Stdout, as text.
    Terminal,
    /// A file, one frame below the other.
    Svg(Svg),
}

/// An SVG file of pictures.
#[derive(Debug)]
pub(crate) struct Svg {
    path: PathBuf,
    file: OutputFile,
    frames: Vec<Picture>,
    /// Number of frames that are in the file.
    written: usize,
    /// Writing failed: the file still has its previous content.
    failed: bool,
}

/// Largest number of frames in a file.
const MOST_FRAMES: usize = 200;

impl Canvas {
    /// Opens the file that `--draw` names; an empty name is the terminal.
    pub(crate) fn new(file: &str) -> Result<Self, CliError> {
        Self::apart(file, &[])
    }

    /// Opens the file as [`Canvas::new`] does. It must not be one of `inputs`, which the command reads.
    pub(crate) fn apart(file: &str, inputs: &[&Path]) -> Result<Self, CliError> {
        if file.is_empty() {
            return Ok(Self::Terminal);
        }
        let path = PathBuf::from(file);
        let file = OutputFile::open_apart(&path, inputs).map_err(|refused| failure(&path, refused))?;
        Ok(Self::Svg(Svg { path, file, frames: Vec::new(), written: 0, failed: false }))
    }

    /// Draws a picture. A regular file is replaced with each frame, so that it has all frames however the command ends.
    /// A device or a pipe is written to at the end, by [`Canvas::finish`]. Returns `false` if no more frames fit.
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

    /// Writes the frames to a device or a pipe, and reports on stderr how many pictures are in the file.
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

fn failure(path: &Path, refused: Refused) -> CliError {
    output_file::failure("write the picture", path, refused)
}
