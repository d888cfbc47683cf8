//! Decides when to turn wake-ups off for a CPU, and when to turn them on again.
//!
//! ```text
//!              64 records within a millisecond
//!      Waking ────────────────────────────────────► Silent, polled every millisecond
//!        ▲                                            │ enough polls in a row that found fewer than 16
//!        │ the last poll                              ▼
//!        └───────────────────────────────────── Settling, polled after 1, 10 and 100 ms more
//! ```
//!
//! A program that has fetched the silent event just before the slot was switched back still writes through it, without
//! a wake-up. That lasts microseconds (the helper runs to its end with preemption disabled), or longer if a hypervisor
//! takes the CPU away meanwhile: hence the polls while settling.

use std::time::{Duration, Instant};

/// The interval between two polls of a silent CPU.
const LINGER: Duration = Duration::from_millis(1);
/// With this many records in [`LINGER`], wake-ups cost more than lingering.
const BUSY: u64 = 64;
/// With fewer records than this in [`LINGER`], a wake-up for each is better.
const CALM: u64 = 16;
/// The number of calm polls in a row that end the silence. It is longer than a scheduler's time slice, so that a
/// program that was only preempted does not return to a waking event.
const CALM_POLLS: u32 = 16;
/// The maximum of that number. Each time that a CPU gets busy again while settling, the silence was ended too early,
/// and the next one lasts twice as long.
const MAX_CALM_POLLS: u32 = 256;
/// The times of the polls after the waking event is back in its slot.
const SETTLE: [Duration; 3] = [Duration::from_millis(1), Duration::from_millis(10), Duration::from_millis(100)];

/// The rate of one CPU's records, and the resulting mode.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WakeupMode {
    state: State,
    /// Start of the current [`LINGER`] interval.
    since: Instant,
    /// The number of records since then.
    records: u64,
    /// The number of calm polls in a row that end the silence.
    patience: u32,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// Every record sends a wake-up.
    Waking,
    /// No record does. Holds the number of calm polls in a row.
    Silent(u32),
    /// Every record should. Holds the number of polls since the switch, and the time of the switch.
    Settling(usize, Instant),
}

/// The change of the slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Switch {
    /// No change.
    Stay,
    /// The silent event goes into the slot.
    ToSilent,
    /// The waking event goes into the slot; then the reader polls at once.
    ToWaking,
}

impl WakeupMode {
    pub(crate) fn new(now: Instant) -> Self {
        Self { state: State::Waking, since: now, records: 0, patience: CALM_POLLS }
    }

    pub(crate) fn is_silent(&self) -> bool {
        matches!(self.state, State::Silent(_))
    }

    /// Returns the latest time of the next poll, whether or not a wake-up comes.
    pub(crate) fn next_poll(&self) -> Option<Instant> {
        match self.state {
            State::Waking => None,
            State::Silent(_) => self.since.checked_add(LINGER),
            State::Settling(polls, from) => from.checked_add(*SETTLE.get(polls)?),
        }
    }

    /// Notes that a poll at `now` found this many records. Returns the change of the slot.
    pub(crate) fn polled(&mut self, records: u64, now: Instant) -> Switch {
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
                        State::Settling(..) => self.patience.saturating_mul(2).min(MAX_CALM_POLLS),
                        _ => CALM_POLLS,
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
    fn busy_cpu_turns_silent_and_calm_cpu_turns_back() {
        let start = Instant::now();
        let mut mode = WakeupMode::new(start);
        // A thousand records a second are not busy, however long that lasts.
        for n in 0..1000 {
            assert_eq!(mode.polled(1, start + MS * n), Switch::Stay);
            assert_eq!(mode.next_poll(), None);
        }
        let mut now = start + MS * 1000;
        assert_eq!(mode.polled(63, now), Switch::Stay);
        assert_eq!(mode.polled(1, now + MS / 2), Switch::ToSilent);
        now += MS / 2;
        // The CPU stays silent as long as it is not calm.
        for _ in 0..50 {
            assert_eq!(mode.next_poll(), Some(now + MS));
            now += MS;
            assert_eq!(mode.polled(16, now), Switch::Stay);
            assert!(mode.is_silent());
        }
        // An early poll, because of another CPU, changes nothing.
        assert_eq!(mode.polled(0, now + MS / 4), Switch::Stay);
        for _ in 1..CALM_POLLS {
            now += MS;
            assert_eq!(mode.polled(0, now), Switch::Stay);
            assert_eq!(mode.polled(0, now + MS / 4), Switch::Stay);
        }
        now += MS;
        assert_eq!(mode.polled(15, now), Switch::ToWaking);
        let back = now;
        for delay in SETTLE {
            assert_eq!(mode.next_poll(), Some(back + delay));
            assert_eq!(mode.polled(0, back + delay), Switch::Stay);
        }
        assert_eq!(mode.next_poll(), None);
        assert_eq!(mode.polled(64, back + MS * 200), Switch::ToSilent);
    }

    #[test]
    fn silence_doubles_if_busy_again_while_settling() {
        let start = Instant::now();
        let mut mode = WakeupMode::new(start);
        assert_eq!(mode.polled(64, start), Switch::ToSilent);
        let mut now = start;
        for poll in 1..=CALM_POLLS {
            now += MS;
            assert_eq!(mode.polled(0, now), if poll < CALM_POLLS { Switch::Stay } else { Switch::ToWaking });
        }
        assert_eq!(mode.polled(3, now), Switch::Stay);
        now += MS;
        assert_eq!(mode.polled(64, now), Switch::ToSilent);
        // Twice as many calm polls this time.
        for poll in 1..=2 * CALM_POLLS {
            now += MS;
            assert_eq!(mode.polled(0, now), if poll < 2 * CALM_POLLS { Switch::Stay } else { Switch::ToWaking });
        }
    }
}
