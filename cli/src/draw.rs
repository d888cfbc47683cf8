//! A ring as a picture: the pages as they are mapped, the positions, and every record to scale.
//!
//! ```text
//!     cells.rs   bytes to columns: which state a column shows       text.rs   for a terminal
//!                                                                   svg.rs    for a browser
//!     step.rs    one picture after the other, at the viewer's pace
//! ```
//!
//! Both pictures show the same thing: the data twice in a row, as the kernel maps it, so that what waits is one piece in it
//! even where it runs over the ring's end; and below it that piece by itself, enlarged.

mod cells;
mod step;
mod svg;
mod text;

use std::{fs, path::PathBuf};

#[cfg(test)]
pub(crate) use self::cells::tests::ring as sample;
pub(crate) use self::{
    step::{Command, Steps},
    text::text,
};
use crate::{failure::Failure, peek::Snapshot};

/// Where pictures go.
#[derive(Debug)]
pub(crate) enum Canvas {
    /// To stdout, as text.
    Terminal,
    /// Into a file, one frame below the other.
    Svg { path: PathBuf, frames: Vec<Snapshot> },
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

    /// Draws. A file is written anew with each frame, so that it is whole at any time. `false` if it takes no more.
    pub(crate) fn draw(&mut self, snapshot: &Snapshot) -> Result<bool, Failure> {
        match self {
            Self::Terminal => {
                let lines = text(snapshot, crate::terminal::width(), crate::terminal::is_coloured());
                crate::terminal::print(&(lines.join("\n") + "\n\n")).map(|()| true)
            }
            Self::Svg { path, frames } => {
                frames.push(snapshot.clone());
                fs::write(&*path, svg::document(frames))
                    .map_err(|error| Failure::system(&format!("write the picture {}", path.display()), &error))?;
                Ok(frames.len() < MOST_FRAMES)
            }
        }
    }

    /// Tells where the pictures are, if they are not where everybody sees them.
    pub(crate) fn tell(&self) {
        if let Self::Svg { path, frames } = self {
            let frames = match frames.len() {
                1 => "one picture".to_owned(),
                count => format!("{count} pictures"),
            };
            crate::diagnostics::say(&format!("{frames} in {}", path.display()));
        }
    }
}
