//! A buffer as a picture: the pages as they are mapped, the positions, and every record to scale.
//!
//! ```text
//!     picture.rs   what is drawn, of a ring or of a perf buffer      text.rs   for a terminal
//!     cells.rs     bytes to columns: what a column shows             svg.rs    for a browser
//!     step.rs      one picture after the other, at the viewer's pace
//! ```
//!
//! Both pictures show the same thing: a ring's data twice in a row, as the kernel maps it, so that what waits is one piece in it
//! even where it runs over the ring's end, or a perf buffer's once, where it is two; and below it what waits by itself, enlarged.

mod cells;
mod picture;
mod step;
mod svg;
mod text;

use std::{fs, path::PathBuf};

pub(crate) use self::{
    picture::{Block, Kind, Mark, Picture, Word},
    step::{Command, Steps},
    svg::escaped,
    text::text,
};
use crate::failure::Failure;

/// Where pictures go.
#[derive(Debug)]
pub(crate) enum Canvas {
    /// To stdout, as text.
    Terminal,
    /// Into a file, one frame below the other.
    Svg { path: PathBuf, frames: Vec<Picture> },
}

/// Frames that one file takes: nobody scrolls through more.
const MOST_FRAMES: usize = 200;

impl Canvas {
    /// What follows `--draw`: a file's name, or nothing for the terminal.
    pub(crate) fn new(file: &str) -> Self {
        match file {
            "" => Self::Terminal,
            path => Self::Svg { path: path.into(), frames: Vec::new() },
        }
    }

    /// Draws. A file is written anew with each frame, so that all that was drawn is in it however this ends, unless it is
    /// in the middle of writing. `false` if it takes no more.
    pub(crate) fn draw(&mut self, picture: Picture) -> Result<bool, Failure> {
        match self {
            Self::Terminal => {
                let lines = text(&picture, crate::terminal::width(), crate::terminal::is_coloured());
                crate::terminal::print(&(lines.join("\n") + "\n\n")).map(|()| true)
            }
            Self::Svg { path, frames } => {
                frames.push(picture);
                fs::write(&*path, svg::document(frames))
                    .map_err(|error| Failure::system(&format!("write the picture {}", path.display()), &error))?;
                Ok(frames.len() < MOST_FRAMES)
            }
        }
    }

    /// Tells where the pictures are, if they are not where everybody sees them.
    pub(crate) fn tell(&self) {
        if let Self::Svg { path, frames } = self {
            let path = path.display();
            crate::diagnostics::say(&match frames.len() {
                0 => format!("nothing was drawn, and {path} is as it was: no record was seen to wait"),
                1 => format!("one picture in {path}"),
                count => format!("{count} pictures in {path}"),
            });
        }
    }
}
