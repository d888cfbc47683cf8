//! The losses of a buffer, counted or unknown, and the other readers that receive records instead of this one.

use cutaway::perf_reader::HotplugChanges;
use log::warn;

/// The number of lost records, as far as it is counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Losses {
    /// All losses are counted.
    Exactly(u64),
    /// The counted losses, and the reason why more may be lost.
    AtLeast(u64, String),
    /// Losses are not counted, for this reason.
    Unknown(String),
}

impl Losses {
    /// Returns counted losses: exact ones, unless there is a reason why more may be lost.
    pub(super) fn of(counted: u64, why: Option<&str>) -> Self {
        match (counted, why) {
            (_, None) => Self::Exactly(counted),
            (0, Some(why)) => Self::Unknown(why.to_owned()),
            (_, Some(why)) => Self::AtLeast(counted, why.to_owned()),
        }
    }

    /// Returns the sum of losses, with each reason once.
    pub(super) fn sum<'l>(each: impl IntoIterator<Item = &'l Self>) -> Self {
        let (mut all, mut whys) = (0_u64, Vec::new());
        for losses in each {
            all = all.saturating_add(losses.counted().unwrap_or(0));
            whys.extend(losses.why().filter(|why| !whys.contains(why)));
        }
        Self::of(all, (!whys.is_empty()).then(|| whys.join("; ")).as_deref())
    }

    /// Returns the number if all losses are counted.
    pub(super) fn exact(&self) -> Option<u64> {
        match self {
            Self::Exactly(lost) => Some(*lost),
            Self::AtLeast(..) | Self::Unknown(_) => None,
        }
    }

    /// Returns the counted losses.
    pub(super) fn counted(&self) -> Option<u64> {
        match self {
            Self::Exactly(lost) | Self::AtLeast(lost, _) => Some(*lost),
            Self::Unknown(_) => None,
        }
    }

    /// Returns the reason why the number is not exact.
    pub(super) fn why(&self) -> Option<&str> {
        match self {
            Self::Exactly(_) => None,
            Self::AtLeast(_, why) | Self::Unknown(why) => Some(why),
        }
    }
}

/// The losses of a perf event array that the kernel reports.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Reported {
    pub(super) lost: u64,
    /// The reason why the kernel does not report all losses.
    pub(super) unreported: Option<&'static str>,
    /// Another reader has received records.
    pub(super) other_reader: bool,
}

/// Other readers of the same perf event array, as far as they are found and reported.
#[derive(Debug, Default)]
pub(super) struct OtherReaders {
    reported: bool,
    reported_end: bool,
}

impl OtherReaders {
    /// Warns once that another reader has taken the slots, and once that they are taken back.
    pub(super) fn report(&mut self, map: &str, changes: &HotplugChanges) {
        let listed = |cpus: &[u32]| {
            let cpus: Vec<_> = cpus.iter().take(8).map(u32::to_string).collect();
            cpus.join(", ")
        };
        if !changes.taken.is_empty() && !std::mem::replace(&mut self.reported, true) {
            warn!(
                "`{map}`: another reader has taken the slots of the map on CPU {}; it receives the records sent from now \
                 on, and the slots are taken back when it ends",
                listed(&changes.taken)
            );
        }
        if !changes.regained.is_empty() && !std::mem::replace(&mut self.reported_end, true) {
            warn!(
                "`{map}`: the slots on CPU {} were empty and are taken back; records sent in between are lost",
                listed(&changes.regained)
            );
        }
    }

    /// Returns whether another reader was found.
    pub(super) fn were_found(&self) -> bool {
        self.reported || self.reported_end
    }
}
