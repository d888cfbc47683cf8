//! One picture after the other, at the viewer's pace: a line on stdin each.

use std::io::{self, IsTerminal, Lines, StdinLock, Write};

/// What the viewer wants to see next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Command {
    /// The next picture.
    Next,
    /// The one before, where there is one.
    Back,
    /// No more.
    End,
}

/// The viewer's lines.
pub(crate) struct Steps {
    lines: Lines<StdinLock<'static>>,
}

impl Steps {
    pub(crate) fn new() -> Self {
        Self { lines: io::stdin().lines() }
    }

    /// Waits for the next command. The end of stdin is the end.
    pub(crate) fn next(&mut self, can_go_back: bool) -> Command {
        if io::stdin().is_terminal() {
            let back = if can_go_back { ", b: the one before" } else { "" };
            // Without a newline; nobody to tell is no reason to stop.
            let _ = write!(io::stderr(), "Enter: the next picture{back}, q: end ");
        }
        match self.lines.next() {
            Some(Ok(line)) => match line.trim() {
                "q" | "quit" => Command::End,
                "b" | "back" if can_go_back => Command::Back,
                _ => Command::Next,
            },
            Some(Err(_)) | None => Command::End,
        }
    }
}
