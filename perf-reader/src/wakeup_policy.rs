//! When to turn wake-ups off for a CPU, and when to turn them on again.
//!
//! ```text
//!              64 records within a millisecond
//!      Waking ────────────────────────────────────► Silent, looked at every millisecond
//!        ▲                                            │ enough polls in a row that found fewer than 16
//!        │ the last look                              ▼
//!        └───────────────────────────────────── Settling, looked at after 1, 10 and 100 ms more
//! ```
//!
//! A program that has fetched the silent event from its slot just before the slot was switched back still writes
//! through it, without a wake-up. It is a matter of microseconds (the helper runs to its end with preemption disabled),
//! or of as long as a hypervisor takes the CPU away in their middle: hence the polls while settling.

use std::time::{Duration, Instant};

/// Between two polls at a silent CPU.
const LINGER: Duration = Duration::from_millis(1);
/// So many records in [`LINGER`] make wake-ups cost more than lingering does.
const BUSY: u64 = 64;
/// So few are better announced one by one.
const CALM: u64 = 16;
/// So many calm polls in a row end the silence: longer than a scheduler's time slice, so that a program which was
/// merely preempted does not come back to a waking event.
const CALM_LOOKS: u32 = 16;
/// The most that it takes: each time that a CPU is busy again while settling, the silence was ended too early, and the
/// next one lasts twice as long.
const MOST_CALM_LOOKS: u32 = 256;
/// When to look after the waking event is back in its slot.
const SETTLE: [Duration; 3] = [Duration::from_millis(1), Duration::from_millis(10), Duration::from_millis(100)];

/// How one CPU's records come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WakeupMode {
    state: State,
    /// When the present stretch of [`LINGER`] began.
    since: Instant,
    /// Records since then.
    records: u64,
    /// Calm polls in a row that end the silence.
    patience: u32,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// Every record wakes.
    Waking,
    /// None does; so many polls in a row found few.
    Silent(u32),
    /// Every record should; so many polls were taken to be sure.
    Settling(usize, Instant),
}

/// What to do with the slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Switch {
    /// Nothing.
    Stay,
    /// Put the silent event there.
    ToSilent,
    /// Put the waking event there, then look at once.
    ToWaking,
}

impl WakeupMode {
    pub(crate) fn new(now: Instant) -> Self {
        Self { state: State::Waking, since: now, records: 0, patience: CALM_LOOKS }
    }

    pub(crate) fn is_silent(&self) -> bool {
        matches!(self.state, State::Silent(_))
    }

    /// When to look again at the latest, wake-up or not.
    pub(crate) fn next_poll(&self) -> Option<Instant> {
        match self.state {
            State::Waking => None,
            State::Silent(_) => self.since.checked_add(LINGER),
            State::Settling(polls, from) => from.checked_add(*SETTLE.get(polls)?),
        }
    }

    /// A look at `now` found so many records.
    pub(crate) fn looked(&mut self, records: u64, now: Instant) -> Switch {
        let over = now.saturating_duration_since(self.since) >= LINGER;
        match self.state {
            State::Waking | State::Settling(..) => {
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
                    self.state = State::Silent(0);
                    return Switch::ToSilent;
                }
                if let State::Settling(polls, from) = self.state
                    && self.next_poll().is_none_or(|next_poll| now >= next_poll)
                {
                    let polls = polls.saturating_add(1);
                    self.state = if polls < SETTLE.len() { State::Settling(polls, from) } else { State::Waking };
                }
                Switch::Stay
            }
            State::Silent(calm) => {
                self.records = self.records.saturating_add(records);
                if !over {
                    return Switch::Stay;
                }
                let calm = if self.records < CALM { calm.saturating_add(1) } else { 0 };
                (self.since, self.records) = (now, 0);
                if calm < self.patience {
                    self.state = State::Silent(calm);
                    return Switch::Stay;
                }
                self.state = State::Settling(0, now);
                Switch::ToWaking
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
        let mut mode = WakeupMode::new(start);
        // A thousand a second is not busy, however long it lasts.
        for n in 0..1000 {
            assert_eq!(mode.looked(1, start + MS * n), Switch::Stay);
            assert_eq!(mode.next_poll(), None);
        }
        let mut now = start + MS * 1000;
        assert_eq!(mode.looked(63, now), Switch::Stay);
        assert_eq!(mode.looked(1, now + MS / 2), Switch::ToSilent);
        now += MS / 2;
        // Silent lasts as long as there is something.
        for _ in 0..50 {
            assert_eq!(mode.next_poll(), Some(now + MS));
            now += MS;
            assert_eq!(mode.looked(16, now), Switch::Stay);
            assert!(mode.is_silent());
        }
        // A look ahead of time, for another CPU's sake, decides nothing.
        assert_eq!(mode.looked(0, now + MS / 4), Switch::Stay);
        for _ in 1..CALM_LOOKS {
            now += MS;
            assert_eq!(mode.looked(0, now), Switch::Stay);
            assert_eq!(mode.looked(0, now + MS / 4), Switch::Stay);
        }
        now += MS;
        assert_eq!(mode.looked(15, now), Switch::ToWaking);
        let back = now;
        for look in SETTLE {
            assert_eq!(mode.next_poll(), Some(back + look));
            assert_eq!(mode.looked(0, back + look), Switch::Stay);
        }
        assert_eq!(mode.next_poll(), None);
        assert_eq!(mode.looked(64, back + MS * 200), Switch::ToSilent);
    }

    #[test]
    fn busy_again_while_settling() {
        let start = Instant::now();
        let mut mode = WakeupMode::new(start);
        assert_eq!(mode.looked(64, start), Switch::ToSilent);
        let mut now = start;
        for look in 1..=CALM_LOOKS {
            now += MS;
            assert_eq!(mode.looked(0, now), if look < CALM_LOOKS { Switch::Stay } else { Switch::ToWaking });
        }
        assert_eq!(mode.looked(3, now), Switch::Stay);
        now += MS;
        assert_eq!(mode.looked(64, now), Switch::ToSilent);
        // More patient this time.
        for look in 1..=2 * CALM_LOOKS {
            now += MS;
            assert_eq!(mode.looked(0, now), if look < 2 * CALM_LOOKS { Switch::Stay } else { Switch::ToWaking });
        }
    }
}
