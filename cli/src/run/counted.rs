//! The losses of each buffer: the failed calls that the programs count, and the losses that the kernel reports.
//!
//! | buffer | the programs count | the kernel reports |
//! | --- | --- | --- |
//! | ring | each failed call | nothing |
//! | perf buffer | each failed call | each record that a buffer has no room for |
//!
//! A record that a perf buffer has no room for is in both numbers, because `bpf_perf_event_output` then returns ENOSPC
//! (Linux 5.1, before the counting, which needs 5.5). The programs also count failures that the kernel does not report:
//! no buffer on this CPU (ENOENT), a slot of another CPU (EOPNOTSUPP), a CPU without a slot (E2BIG). So their number is
//! the exact one, and the numbers are not added.

use cutaway::{Loaded, LossSite, MapSpec, Pinning};

use super::{
    buffers::{Buffers, Source},
    losses::{Losses, Reported},
    submit_sites::SubmitSites,
};
use crate::error::CliError;

const NOT_COUNTED: &str = "--no-count-losses: the losses of a ring are not counted";
const PINNED: &str = "the map is pinned: losses of other programs that use it are not counted";

/// The losses of a run.
pub(super) struct LossesOfRun {
    /// The losses of each source, in the order of the sources.
    pub(super) each: Vec<LossesOfSource>,
    /// Calls that send to an unknown map.
    pub(super) of_unknown_maps: Vec<LossSite>,
}

/// The losses of a source.
pub(super) struct LossesOfSource {
    pub(super) lost: Losses,
    /// The records that a perf buffer had no room for, as the kernel reports them.
    pub(super) overflowed: u64,
    /// The calls that send to it; empty if the programs do not count.
    pub(super) sites: Vec<LossSite>,
}

/// The failed calls that the programs count.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Counted {
    lost: u64,
    /// The reason why more records may be lost.
    unknown: Option<String>,
}

/// Returns the losses of each buffer. Programs that run after this call may lose more.
pub(super) fn losses(
    loaded: &Loaded,
    buffers: &Buffers,
    specs: &[MapSpec],
    submits: &SubmitSites,
) -> Result<LossesOfRun, CliError> {
    // Each record that the kernel reports is counted by a program afterward, so the kernel's number is read first.
    let reported = buffers.reported()?;
    let (maps, sites) = match loaded.losses() {
        Some(losses) => (Some(losses.maps()?), losses.sites()?),
        None => (None, Vec::new()),
    };
    let of_source = |(source, reported): (&Source, Option<Reported>)| {
        let name = &source.name;
        let counted = maps.as_ref().map(|maps| maps.iter().find(|map| &map.map == name));
        let mut counted = match counted {
            None => Counted { lost: 0, unknown: Some(NOT_COUNTED.to_owned()) },
            // No program sends to it.
            Some(None) => Counted { lost: 0, unknown: None },
            Some(Some(map)) => Counted { lost: map.counted, unknown: map.unknown.as_deref().map(refusal) },
        };
        if specs.iter().any(|spec| &spec.name == name && spec.pinning != Pinning::None) {
            counted.unknown.get_or_insert_with(|| PINNED.to_owned());
        }
        let reported = reported.map(|reported| match submits.slot_on(name) {
            Some(_) => Reported {
                unreported: Some("records sent to another CPU's slot are refused and not counted"),
                ..reported
            },
            None => reported,
        });
        LossesOfSource {
            overflowed: reported.map_or(0, |reported| reported.lost),
            lost: reported.map_or_else(|| of_ring(&counted), |reported| of_perf_buffers(reported, &counted)),
            sites: sites.iter().filter(|site| site.map.as_ref() == Some(name)).cloned().collect(),
        }
    };
    Ok(LossesOfRun {
        each: buffers.sources().iter().zip(reported).map(of_source).collect(),
        of_unknown_maps: sites.iter().filter(|site| site.map.is_none()).cloned().collect(),
    })
}

/// Returns the first line of a reason: a refusal of the verifier is followed by a part of its log.
fn refusal(why: &str) -> String {
    why.lines().next().unwrap_or_default().to_owned()
}

fn of_ring(counted: &Counted) -> Losses {
    match (counted.lost, &counted.unknown) {
        (lost, None) => Losses::Exactly(lost),
        (0, Some(why)) => Losses::Unknown(why.clone()),
        (lost, Some(why)) => Losses::AtLeast(lost, why.clone()),
    }
}

fn of_perf_buffers(reported: Reported, counted: &Counted) -> Losses {
    let most = reported.lost.max(counted.lost);
    let inexact = match &counted.unknown {
        _ if reported.other_reader => Some("records that another reader received are not included"),
        None if reported.lost > counted.lost => Some("the kernel reports more than the programs of this run lost"),
        None => None,
        Some(why) if counted.lost > reported.lost => Some(why.as_str()),
        Some(_) => reported.unreported,
    };
    match inexact {
        None => Losses::Exactly(most),
        Some(why) => Losses::AtLeast(most, why.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(lost: u64, unknown: Option<&str>) -> Counted {
        Counted { lost, unknown: unknown.map(str::to_owned) }
    }

    #[test]
    fn losses_of_a_ring_are_those_that_its_programs_count() {
        assert_eq!(of_ring(&counted(3, None)), Losses::Exactly(3));
        assert_eq!(of_ring(&counted(0, Some("why"))), Losses::Unknown("why".to_owned()));
        assert_eq!(of_ring(&counted(3, Some("why"))), Losses::AtLeast(3, "why".to_owned()));
    }

    #[test]
    fn losses_of_a_perf_buffer_are_not_counted_twice() {
        let reported = |lost, unreported| Reported { lost, unreported, other_reader: false };
        let at_least = |lost, why: &str| Losses::AtLeast(lost, why.to_owned());
        // The programs see all failures, the kernel only those for want of room.
        assert_eq!(of_perf_buffers(reported(3, None), &counted(5, None)), Losses::Exactly(5));
        assert_eq!(of_perf_buffers(reported(3, Some("old kernel")), &counted(3, None)), Losses::Exactly(3));
        let others = "the kernel reports more than the programs of this run lost";
        assert_eq!(of_perf_buffers(reported(3, None), &counted(2, None)), at_least(3, others));
        // Without their count, the kernel's holds.
        let refused = |lost| counted(lost, Some("refused"));
        assert_eq!(of_perf_buffers(reported(3, None), &refused(0)), Losses::Exactly(3));
        assert_eq!(of_perf_buffers(reported(3, Some("old kernel")), &refused(2)), at_least(3, "old kernel"));
        assert_eq!(of_perf_buffers(reported(3, None), &refused(4)), at_least(4, "refused"));
        let taken = Reported { other_reader: true, ..reported(3, None) };
        let other = "records that another reader received are not included";
        assert_eq!(of_perf_buffers(taken, &counted(5, None)), at_least(5, other));
    }
}
