//! The shell of a guest while it runs: opens and closes the user's side.

use std::time::{Duration, Instant};

use super::dispatch::Dispatch;
use super::spec::Run;
use super::transcript::Transcript;
use crate::orders::Task;
use crate::protocol::Message;
use crate::shell::Keyboard;

/// The messages that open or close a shell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    Booted,
    TestEnded,
    ShellEnded,
    Other,
}

impl Event {
    pub(super) fn of(message: &Message) -> Self {
        match message {
            Message::Hello { .. } => Self::Booted,
            Message::Ended { .. } => Self::TestEnded,
            Message::Left { .. } => Self::ShellEnded,
            _ => Self::Other,
        }
    }
}

/// The user's side of a shell, if one is open, and the time since it was opened.
#[derive(Debug, Default)]
pub(super) struct Session(Option<(Keyboard, Instant)>);

impl Session {
    pub(super) fn is_open(&self) -> bool {
        self.0.is_some()
    }

    /// Returns true if the user wants the guest to end.
    pub(super) fn is_escaped(&self) -> bool {
        self.0.as_ref().is_some_and(|(keyboard, _)| keyboard.escaped())
    }

    /// Opens or closes the shell after a message. Returns the time that a closed one was open.
    pub(super) fn after(
        &mut self,
        event: Event,
        run: &Run<'_>,
        transcript: &Transcript<'_>,
        orders: &Dispatch<'_>,
    ) -> Duration {
        match event {
            Event::Booted if matches!(run.task, Task::Shell(_)) => self.open(orders),
            Event::TestEnded if run.plan.shell_on_failure.is_some() => {
                let failed = transcript.last_failure();
                if let Some(test) = failed {
                    eprintln!("{} failed: a shell in its guest, whose end continues the run", test.title());
                    self.open(orders);
                }
                orders.after_test(failed.is_some());
            }
            Event::ShellEnded => return self.0.take().map_or(Duration::ZERO, |(_, opened)| opened.elapsed()),
            Event::Booted | Event::TestEnded | Event::Other => {}
        }
        Duration::ZERO
    }

    fn open(&mut self, orders: &Dispatch<'_>) {
        self.0 = Some((orders.keyboard(), Instant::now()));
    }
}
