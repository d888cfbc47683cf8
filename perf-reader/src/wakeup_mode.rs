//! When to turn wake-ups off for a CPU, and when to turn them on again.
//!
//! ```text
//!              64 records within a millisecond
//!      Loud ────────────────────────────────────► Quiet, looked at every millisecond
//!        ▲                                            │ enough looks in a row that found fewer than 16
//!        │ the last look                              ▼
//!        └───────────────────────────────────── Settling, looked at after 1, 10 and 100 ms more
//! ```
//!
//! A program that has fetched the quiet event from its slot just before the slot was switched back still writes through
//! it, without a wake-up. It is a matter of microseconds (the helper runs to its end with preemption disabled), or of
//! as long as a hypervisor takes the CPU away in their middle: hence the looks while settling.

use std::time::{Duration, Instant};

/// Between two looks at a quiet CPU.
const LINGER: Duration = Duration::from_millis(1);
/// So many records in [`LINGER`] make wake-ups cost more than lingering does.
const BUSY: u64 = 64;
/// So few are better announced one by one.
const CALM: u64 = 16;
/// So many calm looks in a row end the quiet: longer than a scheduler's time slice, so that a program which was merely
/// preempted does not come back to a loud event.
const CALM_LOOKS: u32 = 16;
/// The most that it takes: each time that a CPU is busy again while settling, the quiet was ended too early, and the next one
/// lasts twice as long.
const MOST_CALM_LOOKS: u32 = 256;
/// When to look after the loud event is back in its slot.
const SETTLE: [Duration; 3] = [Duration::from_millis(1), Duration::from_millis(10), Duration::from_millis(100)];

/// How one CPU's records come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    state: State,
    /// When the present stretch of [`LINGER`] began.
    since: Instant,
    /// Records since then.
    records: u64,
    /// Calm looks in a row that end the quiet.
    patience: u32,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// Every record wakes.
    Loud,
    /// None does; so many looks in a row found few.
    Quiet(u32),
    /// Every record should; so many looks were taken to be sure.
    Settling(usize, Instant),
}

/// What to do with the slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Switch {
    /// Nothing.
    Stay,
    /// Put the quiet event there.
    ToQuiet,
    /// Put the loud event there, then look at once.
    ToLoud,
}

impl Pace {
    pub(crate) fn new(now: Instant) -> Self {
        Self { state: State::Loud, since: now, records: 0, patience: CALM_LOOKS }
    }

    pub(crate) fn is_quiet(&self) -> bool {
        matches!(self.state, State::Quiet(_))
    }

    /// When to look again at the latest, wake-up or not.
    pub(crate) fn next_poll(&self) -> Option<Instant> {
        match self.state {
            State::Loud => None,
            State::Quiet(_) => self.since.checked_add(LINGER),
            State::Settling(looks, from) => from.checked_add(*SETTLE.get(looks)?),
        }
    }

    /// A look at `now` found so many records.
    pub(crate) fn looked(&mut self, records: u64, now: Instant) -> Switch {
        let over = now.saturating_duration_since(self.since) >= LINGER;
        match self.state {
            State::Loud | State::Settling(..) => {
                if over {
                    (self.since, self.records) = (now, 0);
                }
                self.records = self.records.saturating_add(records);
                if self.records >= BUSY {
                    (self.since, self.records) = (now, 0);
                    self.patience = match self.state {
                        State::Settling(..) => self.patience.saturating_mul(2).min(MOST_CALM_LOOKS),
                        _ => CALM_LOOKS,
                    };
                    self.state = State::Quiet(0);
                    return Switch::ToQuiet;
                }
                if let State::Settling(looks, from) = self.state
                    && self.next_poll().is_none_or(|next_poll| now >= next_poll)
                {
                    let looks = looks.saturating_add(1);
                    self.state = if looks < SETTLE.len() { State::Settling(looks, from) } else { State::Loud };
                }
                Switch::Stay
            }
            State::Quiet(calm) => {
                self.records = self.records.saturating_add(records);
                if !over {
                    return Switch::Stay;
                }
                let calm = if self.records < CALM { calm.saturating_add(1) } else { 0 };
                (self.since, self.records) = (now, 0);
                if calm < self.patience {
                    self.state = State::Quiet(calm);
                    return Switch::Stay;
                }
                self.state = State::Settling(0, now);
                Switch::ToLoud
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn busy_then_calm() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        // A thousand a second is not busy, however long it lasts.
        for n in 0..1000 {
            assert_eq!(pace.looked(1, start + MS * n), Switch::Stay);
            assert_eq!(pace.next_poll(), None);
        }
        let mut now = start + MS * 1000;
        assert_eq!(pace.looked(63, now), Switch::Stay);
        assert_eq!(pace.looked(1, now + MS / 2), Switch::ToQuiet);
        now += MS / 2;
        // Quiet lasts as long as there is something.
        for _ in 0..50 {
            assert_eq!(pace.next_poll(), Some(now + MS));
            now += MS;
            assert_eq!(pace.looked(16, now), Switch::Stay);
            assert!(pace.is_quiet());
        }
        // A look ahead of time, for another CPU's sake, decides nothing.
        assert_eq!(pace.looked(0, now + MS / 4), Switch::Stay);
        for _ in 1..CALM_LOOKS {
            now += MS;
            assert_eq!(pace.looked(0, now), Switch::Stay);
            assert_eq!(pace.looked(0, now + MS / 4), Switch::Stay);
        }
        now += MS;
        assert_eq!(pace.looked(15, now), Switch::ToLoud);
        let back = now;
        for look in SETTLE {
            assert_eq!(pace.next_poll(), Some(back + look));
            assert_eq!(pace.looked(0, back + look), Switch::Stay);
        }
        assert_eq!(pace.next_poll(), None);
        assert_eq!(pace.looked(64, back + MS * 200), Switch::ToQuiet);
    }

    #[test]
    fn busy_again_while_settling() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        assert_eq!(pace.looked(64, start), Switch::ToQuiet);
        let mut now = start;
        for look in 1..=CALM_LOOKS {
            now += MS;
            assert_eq!(pace.looked(0, now), if look < CALM_LOOKS { Switch::Stay } else { Switch::ToLoud });
        }
        assert_eq!(pace.looked(3, now), Switch::Stay);
        now += MS;
        assert_eq!(pace.looked(64, now), Switch::ToQuiet);
        // More patient this time.
        for look in 1..=2 * CALM_LOOKS {
            now += MS;
            assert_eq!(pace.looked(0, now), if look < 2 * CALM_LOOKS { Switch::Stay } else { Switch::ToLoud });
        }
    }
}
