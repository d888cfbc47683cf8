//! Sends a guest its orders, as soon as it is ready, and again if they did not arrive.

use std::time::{Duration, Instant};

use super::spec::{Run, Start};
use crate::frames::ToGuest;
use crate::orders::{Orders, PING};
use crate::shell::{Keyboard, Typed};

/// The time that orders have to arrive before the guest is asked again.
const AGAIN: Duration = Duration::from_secs(2);

/// The orders of one guest.
pub(super) struct Dispatch<'a> {
    run: &'a Run<'a>,
    guest: ToGuest,
    sent: Option<Instant>,
}

impl<'a> Dispatch<'a> {
    pub(super) fn new(run: &'a Run<'a>, guest: ToGuest) -> Self {
        Self { run, guest, sent: None }
    }

    /// Asks whether the guest is ready, if it has not reported that: a restored guest did before it was saved. A guest
    /// that boots reports it by itself, and is asked only if its orders were lost.
    pub(super) fn ask(&mut self, has_orders: bool) {
        let lost = self.sent.is_some_and(|sent| sent.elapsed() > AGAIN);
        let restored = self.sent.is_none() && matches!(self.run.start, Start::Restore(_));
        if !has_orders && (lost || restored) {
            self.guest.send(PING.to_vec());
        }
    }

    /// Sends the orders. A guest that was asked several times says several times that it is ready.
    pub(super) fn send(&mut self) {
        if self.sent.is_some_and(|sent| sent.elapsed() < AGAIN) {
            return;
        }
        // Without random bytes or with a plan that is no JSON the guest would wait; its limit ends it.
        if let Ok(line) = Orders::now(self.run.plan, self.run.task).and_then(|orders| orders.line()) {
            self.guest.send(line);
        }
        self.sent = Some(Instant::now());
    }

    /// Answers a guest that waits after a test: whether it is to open a shell.
    pub(super) fn after_test(&self, shell: bool) {
        self.guest.send(Typed::Open(shell).line());
    }

    /// Starts to pass on the user's input.
    pub(super) fn keyboard(&self) -> Keyboard {
        Keyboard::start(self.guest.clone())
    }
}
