//! What is known of losses, and of other readers that get what this one does not.

use cutaway::perf_reader::HotplugChanges;
use log::warn;

/// Losses, as far as anybody counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Losses {
    /// So many.
    Exactly(u64),
    /// So many were counted, and there may be more that were not.
    AtLeast(u64, &'static str),
    /// Nobody counts: the kernel tells the program that a ring is full, and nobody else.
    Unknown,
}

impl Losses {
    /// Why a ring's are unknown.
    pub(super) const OF_RINGS: &str = "a ring buffer counts no losses";

    /// The same, where there is a reason for which more may be lost.
    pub(super) fn in_doubt(self, why: &'static str) -> Self {
        match self {
            Self::Exactly(lost) => Self::AtLeast(lost, why),
            doubted => doubted,
        }
    }

    /// The number, if it is known.
    pub(super) fn exact(self) -> Option<u64> {
        match self {
            Self::Exactly(lost) => Some(lost),
            Self::AtLeast(..) | Self::Unknown => None,
        }
    }
}

/// What has been said of other readers of the same perf event array.
#[derive(Debug, Default)]
pub(super) struct Rivals {
    told: bool,
    told_end: bool,
}

impl Rivals {
    /// Says once that another reader has taken the slots, and once that they are taken back.
    pub(super) fn tell(&mut self, map: &str, changes: &HotplugChanges) {
        let on = |cpus: &[u32]| {
            let cpus: Vec<_> = cpus.iter().take(8).map(u32::to_string).collect();
            cpus.join(", ")
        };
        if !changes.taken.is_empty() && !std::mem::replace(&mut self.told, true) {
            warn!(
                "`{map}`: another reader has taken the slots of the map, on CPU {}: it gets what is sent from now on; its end is \
                 waited for, to take them back",
                on(&changes.taken)
            );
        }
        if !changes.regained.is_empty() && !std::mem::replace(&mut self.told_end, true) {
            let missed = "what was sent between is lost, and not counted";
            warn!("`{map}`: the slots were empty, on CPU {}, and are taken back; {missed}", on(&changes.regained));
        }
    }

    /// Whether another reader was found.
    pub(super) fn were_there(&self) -> bool {
        self.told || self.told_end
    }
}
