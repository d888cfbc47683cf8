//! Shows pictures one by one: a line on stdin advances.

use std::{
    io::{self, IsTerminal, Write},
    sync::{
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, RecvTimeoutError, channel},
    },
    thread,
    time::Duration,
};

use crate::{error::CliError, outlet};

/// A command of the viewer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Command {
    /// The next picture.
    Next,
    /// The previous picture, if there is one.
    Back,
    /// No more.
    End,
}

/// The viewer's lines.
pub(crate) struct Steps {
    lines: Receiver<String>,
}

/// Interval at which the stop flag is checked.
const CHECK: Duration = Duration::from_millis(50);

impl Steps {
    /// Starts a thread that reads stdin, so that a signal can end the waiting.
    pub(crate) fn new() -> Result<Self, CliError> {
        let (sender, lines) = channel();
        let read = move || {
            // The end of stdin or a closed stderr ends the steps.
            for line in io::stdin().lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        };
        let started = thread::Builder::new().name("steps".to_owned()).spawn(read);
        started.map_err(|error| CliError::system("read stdin", &error))?;
        Ok(Self { lines })
    }

    /// Waits for the next command. The end of stdin is the end, and so is `stopped`.
    pub(crate) fn next(&mut self, can_go_back: bool, stopped: Option<&AtomicBool>) -> Command {
        if io::stdin().is_terminal() {
            let back = if can_go_back { ", b: previous picture" } else { "" };
            // Without a line feed. A closed stderr is ignored.
            let _ = write!(outlet::stderr(), "Enter: next picture{back}, q: quit ");
        }
        loop {
            match self.lines.recv_timeout(CHECK) {
                Ok(line) => {
                    return match line.trim() {
                        "q" | "quit" => Command::End,
                        "b" | "back" if can_go_back => Command::Back,
                        _ => Command::Next,
                    };
                }
                Err(RecvTimeoutError::Disconnected) => return Command::End,
                // ATOMICS: the flag publishes nothing else.
                Err(RecvTimeoutError::Timeout) if stopped.is_some_and(|flag| flag.load(Ordering::Relaxed)) => {
                    return Command::End;
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }
}
