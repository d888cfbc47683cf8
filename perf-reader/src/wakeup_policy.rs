//! Decides when to turn wake-ups off for a CPU, and when to turn them on again.
//!
//! A CPU has two perf events, the waking event and the silent event (`adaptive_reader.rs`). Its map slot holds one of
//! them, and programs write through this event.
//!
//! ```text
//!              64 records within a millisecond
//!      Waking ────────────────────────────────────► Silent, polled every millisecond
//!        ▲                                            │ 16 to 256 polls in a row that found fewer than 16
//!        │ the last poll                              ▼
//!        └───────────────────────────────────── Settling, polled after 1, 10 and 100 ms more
//! ```
//!
//! The switch back to the waking event has a race. A program may have fetched the silent event just before the switch,
//! and then still writes through the silent event, without a wake-up. This lasts microseconds, because the helper runs
//! to its end with preemption disabled. It lasts longer if a hypervisor takes the CPU away. So the reader polls while
//! it is settling.

use std::time::{Duration, Instant};

/// The interval between two polls of a silent CPU.
const POLL_INTERVAL: Duration = Duration::from_millis(1);
/// The number of records within [`POLL_INTERVAL`] that makes a CPU busy. From this number on, wake-ups cost more than
/// polling.
const BUSY: u64 = 64;
/// A poll is calm if it finds fewer records than this. A wake-up for each record then costs less than polling.
const CALM: u64 = 16;
/// The first number of calm polls in a row after which wake-ups are turned on. In milliseconds, it is longer than a
/// scheduler's time slice: the silence does not end because a program was preempted.
const CALM_POLLS: u32 = 16;
/// The maximum number of calm polls in a row. If a CPU becomes busy again while settling, the silence was ended too
/// early. Then the next silence needs twice as many calm polls.
const MAX_CALM_POLLS: u32 = 256;
/// The times of the polls, from the moment at which the waking event is back in the slot.
const SETTLE: [Duration; 3] = [Duration::from_millis(1), Duration::from_millis(10), Duration::from_millis(100)];

/// Counts one CPU's records, and derives the mode from the rate.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WakeupMode {
    state: State,
    /// Start of the current [`POLL_INTERVAL`] interval.
    since: Instant,
    /// The number of records since `since`.
    records: u64,
    /// The number of calm polls in a row after which wake-ups are turned on.
    patience: u32,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// The slot holds the waking event: every record sends a wake-up.
    Waking,
    /// The slot holds the silent event: no record sends a wake-up. Contains the number of calm polls in a row.
    Silent(u32),
    /// The slot holds the waking event again, but some records may still come through the silent event. Contains the
    /// number of polls since the switch, and the time of the switch.
    Settling(usize, Instant),
}

/// The change of the slot after a poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Switch {
    /// No change.
    Stay,
    /// The silent event must go into the slot.
    ToSilent,
    /// The waking event must go into the slot. Then the reader polls at once.
    ToWaking,
}

impl WakeupMode {
    pub(crate) fn new(now: Instant) -> Self {
        Self { state: State::Waking, since: now, records: 0, patience: CALM_POLLS }
    }

    pub(crate) fn is_silent(&self) -> bool {
        matches!(self.state, State::Silent(_))
    }

    /// Returns the time by which the CPU must be polled, even if no wake-up comes.
    pub(crate) fn next_poll(&self) -> Option<Instant> {
        match self.state {
            State::Waking => None,
            State::Silent(_) => self.since.checked_add(POLL_INTERVAL),
            State::Settling(polls, from) => from.checked_add(*SETTLE.get(polls)?),
        }
    }

    /// Notes that a poll at `now` found this number of records. Returns the change of the slot.
    pub(crate) fn polled(&mut self, records: u64, now: Instant) -> Switch {
        let over = now.saturating_duration_since(self.since) >= POLL_INTERVAL;
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
        // A thousand records a second do not make a CPU busy, however long they last.
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
        // An early poll, for example because of another CPU's wake-up, changes nothing.
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
