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
//!
//! The map of a call can be unknown, for example if a subprogram sends to several maps. Its failures are then in the
//! total only, and the losses of each map are a lower bound or unknown.

use cutaway::{Helper, Loaded, LossSite, MapSpec, Pinning};

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
    /// The losses of all sources and of the calls that send to an unknown map.
    pub(super) total: Losses,
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
    /// False if the reason is only that the map of some calls is unknown.
    uncounted: bool,
}

/// The failed calls of a source, and the losses that the kernel reports of a perf event array.
type Both = (Counted, Option<Reported>);

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
    let both_of = |(source, reported): (&Source, Option<Reported>)| {
        let name = &source.name;
        let counted = maps.as_ref().map(|maps| maps.iter().find(|map| &map.map == name));
        let mut counted = match counted {
            None => Counted { lost: 0, unknown: Some(NOT_COUNTED.to_owned()), uncounted: true },
            // No program sends to it.
            Some(None) => Counted { lost: 0, unknown: None, uncounted: false },
            Some(Some(map)) => {
                Counted { lost: map.counted, unknown: map.unknown.clone(), uncounted: !map.all_calls_counted }
            }
        };
        if !counted.uncounted && specs.iter().any(|spec| &spec.name == name && spec.pinning != Pinning::None) {
            counted = Counted { unknown: Some(PINNED.to_owned()), uncounted: true, ..counted };
        }
        let reported = reported.map(|reported| match submits.slot_on(name) {
            Some(_) => Reported {
                unreported: Some("records sent to another CPU's slot are refused and not counted"),
                ..reported
            },
            None => reported,
        });
        (counted, reported)
    };
    let both: Vec<Both> = buffers.sources().iter().zip(reported).map(both_of).collect();
    let of_source = |(source, (counted, reported)): (&Source, &Both)| LossesOfSource {
        overflowed: reported.map_or(0, |reported| reported.lost),
        lost: reported.map_or_else(|| of_ring(counted), |reported| of_perf_buffers(reported, counted)),
        sites: sites.iter().filter(|site| site.map.as_ref() == Some(&source.name)).cloned().collect(),
    };
    let of_unknown_maps: Vec<_> = sites.iter().filter(|site| site.map.is_none()).cloned().collect();
    let failures = |of_rings: bool| {
        let sites = of_unknown_maps.iter().filter(|site| sends_to_ring(site) == of_rings);
        sites.filter_map(|site| site.lost.as_ref().ok()).fold(0_u64, |all, lost| all.saturating_add(*lost))
    };
    Ok(LossesOfRun {
        each: buffers.sources().iter().zip(&both).map(of_source).collect(),
        total: total(&both, failures(true), failures(false)),
        of_unknown_maps,
    })
}

/// Returns whether a call sends to a ring.
pub(super) fn sends_to_ring(site: &LossSite) -> bool {
    [Helper::bpf_ringbuf_reserve, Helper::bpf_ringbuf_output, Helper::bpf_ringbuf_reserve_dynptr].contains(&site.helper)
}

/// Returns the losses of all sources and of the calls that send to an unknown map: `of_rings` and `of_perf` are the
/// failures of such calls.
///
/// The kernel reports failures of such calls too, if they send to a perf buffer. So what the kernel reports and no call
/// of a known map counts is theirs.
fn total(both: &[Both], of_rings: u64, mut of_perf: u64) -> Losses {
    let mut each = Vec::new();
    for (counted, reported) in both {
        let unknown = counted.unknown.clone().filter(|_| counted.uncounted);
        let mut counted = Counted { unknown, ..counted.clone() };
        let Some(reported) = *reported else {
            each.push(of_ring(&counted));
            continue;
        };
        let may_be_both = of_perf > 0;
        let theirs = reported.lost.saturating_sub(counted.lost).min(of_perf);
        of_perf -= theirs;
        counted.lost += theirs;
        each.push(match (of_perf_buffers(reported, &counted), &counted.unknown) {
            // The reported losses can be these failures, or those of programs that do not count.
            (Losses::Exactly(lost), Some(why)) if may_be_both => Losses::of(lost, Some(why)),
            (losses, _) => losses,
        });
    }
    each.extend([of_rings, of_perf].map(Losses::Exactly));
    Losses::sum(&each)
}

fn of_ring(counted: &Counted) -> Losses {
    Losses::of(counted.lost, counted.unknown.as_deref())
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
    Losses::of(most, inexact)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(lost: u64, unknown: Option<&str>) -> Counted {
        Counted { lost, unknown: unknown.map(str::to_owned), uncounted: unknown.is_some() }
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
        let nothing = Reported { unreported: Some("old kernel"), ..Reported::default() };
        assert_eq!(of_perf_buffers(nothing, &refused(0)), Losses::Unknown("old kernel".to_owned()));
    }

    #[test]
    fn failures_of_calls_of_unknown_maps_are_in_the_total() {
        let map_unknown = Counted { uncounted: false, ..counted(2, Some("the map of a call is unknown")) };
        let rings = [(map_unknown.clone(), None), (map_unknown.clone(), None)];
        assert_eq!(total(&rings, 7, 0), Losses::Exactly(11));
        let refused = [(map_unknown.clone(), None), (counted(2, Some("refused")), None)];
        let at_least = |lost, why: &str| Losses::AtLeast(lost, why.to_owned());
        assert_eq!(total(&refused, 7, 0), at_least(11, "refused"));

        let perf = |lost, reported| {
            let reported = Reported { lost: reported, unreported: None, other_reader: false };
            (Counted { lost, ..map_unknown.clone() }, Some(reported))
        };
        // The kernel reports all of them, some of them, and more than the programs lost.
        assert_eq!(total(&[perf(0, 5), perf(1, 3)], 0, 7), Losses::Exactly(8));
        assert_eq!(total(&[perf(0, 5), perf(1, 1)], 0, 7), Losses::Exactly(8));
        let others = "the kernel reports more than the programs of this run lost";
        assert_eq!(total(&[perf(0, 9), perf(1, 1)], 0, 7), at_least(10, others));
        let uncounted = (counted(0, Some("refused")), perf(0, 5).1);
        assert_eq!(total(&[uncounted], 0, 5), at_least(5, "refused"));
    }
}
