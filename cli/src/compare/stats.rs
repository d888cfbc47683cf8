//! How data is measured, and when it is good enough for a verdict.
//!
//! Machines are shared, clock rates change, and the scheduler has other work. So no single measurement is used alone:
//!
//! - **Interleaved.** Arms are measured in rounds: each arm once a round, and every round begins with another arm. A
//!   disturbance of a second disturbs all arms.
//! - **Warm-up.** The first round (or lap) fills caches and is discarded.
//! - **Pinned, at high priority.** The sender has one CPU, the reader another, and other work waits: see `cpus.rs`.
//! - **Medians and quartiles.** The spread is the middle half of the rounds.
//! - **Paired.** Two arms are compared round by round. One arm is less than the other if it is less by more than a
//!   margin in at least four rounds of five ([`AGREEMENT`]). If neither a difference nor its absence is agreed on, the
//!   verdict is "too noisy": at once in a quick run, after a second attempt in a full one, and a note says which
//!   attempt is shown.

use super::bench::{Bench, Obstacle};

/// Share of rounds that have to agree: seven of eight, or nine of eleven. Equal arms agree that much by chance in about
/// one case of thirty.
pub(super) const AGREEMENT: f64 = 0.8;

/// A quantity, measured once a round.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Rounds(Vec<f64>);

impl Rounds {
    pub(super) fn new(values: impl IntoIterator<Item = f64>) -> Self {
        Self(values.into_iter().collect())
    }

    pub(super) fn values(&self) -> &[f64] {
        &self.0
    }

    pub(super) fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    /// Returns the lower and the upper quartile.
    pub(super) fn middle_half(&self) -> (f64, f64) {
        (self.quantile(0.25), self.quantile(0.75))
    }

    /// Returns the value below which this share of the values lies, interpolated; NaN without any.
    fn quantile(&self, share: f64) -> f64 {
        quantile(&mut self.0.clone(), share)
    }
}

/// Returns a quantile of `values`, which it sorts.
pub(super) fn quantile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let index = (values.len().saturating_sub(1)) as f64 * share;
    let (below, above) = (values.get(index.floor() as usize), values.get(index.ceil() as usize));
    match (below, above) {
        (Some(below), Some(above)) => below + (above - below) * index.fract(),
        _ => f64::NAN,
    }
}

/// How two arms compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Relation {
    /// The first is less.
    Less,
    /// They differ by at most the margin.
    Same,
    /// The first is more.
    More,
    /// The rounds contradict each other.
    Unclear,
}

/// Compares two arms round by round. Ratios up to `margin` (1.1, say) and down to its inverse count as no difference.
pub(super) fn relation(first: &Rounds, second: &Rounds, margin: f64) -> Relation {
    let pairs = first.0.iter().zip(&second.0).filter(|(first, second)| first.is_finite() && second.is_finite());
    let (mut less, mut same, mut more) = (0_u32, 0_u32, 0_u32);
    for (first, second) in pairs {
        if *first * margin < *second {
            less += 1;
        } else if *first > *second * margin {
            more += 1;
        } else {
            same += 1;
        }
    }
    let needed = f64::from(less + same + more) * AGREEMENT;
    let agreed = |rounds: u32| rounds > 0 && f64::from(rounds) >= needed;
    if agreed(less) {
        Relation::Less
    } else if agreed(more) {
        Relation::More
    } else if agreed(same) {
        Relation::Same
    } else {
        Relation::Unclear
    }
}

/// Measures every arm once a round, each round beginning with another arm. Returns each arm's results by round, without
/// the warm-up.
pub(super) fn interleave<A, T>(
    bench: &Bench<'_>,
    arms: &mut [A],
    measure: impl FnMut(&mut A) -> Result<T, Obstacle>,
) -> Result<Vec<Vec<T>>, Obstacle> {
    in_turn(bench, bench.effort.rounds(), arms, measure)
}

/// Measures like [`interleave`], for times shorter than disturbances: each round has `laps` laps of all arms, and the
/// shortest time of each arm counts.
pub(super) fn shortest_of<A>(
    bench: &Bench<'_>,
    laps: usize,
    arms: &mut [A],
    measure: impl FnMut(&mut A) -> Result<f64, Obstacle>,
) -> Result<Vec<Rounds>, Obstacle> {
    let times = in_turn(bench, bench.effort.rounds() * laps, arms, measure)?;
    let shortest = |times: &Vec<f64>| Rounds::new(times.chunks(laps).map(|round| quantile(&mut round.to_vec(), 0.0)));
    Ok(times.iter().map(shortest).collect())
}

fn in_turn<A, T>(
    bench: &Bench<'_>,
    rounds: usize,
    arms: &mut [A],
    mut measure: impl FnMut(&mut A) -> Result<T, Obstacle>,
) -> Result<Vec<Vec<T>>, Obstacle> {
    let mut results: Vec<Vec<T>> = arms.iter().map(|_| Vec::with_capacity(rounds)).collect();
    let count = arms.len();
    for round in 0..=rounds {
        for turn in 0..count {
            let index = (turn + round) % count;
            let (Some(arm), Some(results)) = (arms.get_mut(index), results.get_mut(index)) else { continue };
            bench.step()?;
            bench.progress(round * count + turn, (rounds + 1) * count);
            let result = measure(arm)?;
            if round > 0 {
                results.push(result);
            }
        }
    }
    Ok(results)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use indicatif::ProgressBar;

    use super::*;
    use crate::compare::bench::Effort;

    #[test]
    fn rounds_hardly_agree_by_chance() {
        for effort in [Effort::Quick, Effort::Full] {
            let rounds = effort.rounds() as u32;
            let needed = (f64::from(rounds) * AGREEMENT).ceil() as u32;
            // The binomial coefficient.
            let choices =
                |chosen: u32| (0..chosen).fold(1.0, |product, n| product * f64::from(rounds - n) / f64::from(n + 1));
            let chance = (needed..=rounds).map(choices).sum::<f64>() / 2_f64.powi(rounds as i32);
            assert!(chance < 0.05, "{needed} of {rounds} rounds agree in {chance:.3} of all cases");
        }
    }

    #[test]
    fn shortest_lap_excludes_slow_moments() {
        let (bar, stopped) = (ProgressBar::hidden(), AtomicBool::new(false));
        let bench =
            Bench { effort: Effort::Quick, control: false, cpus: vec![0], bar: &bar, begun: 0, stopped: &stopped };
        let mut turns = 0;
        let times = shortest_of(&bench, 3, &mut [10.0, 11.0], |&mut time| {
            let lap = turns / 2;
            turns += 1;
            // Two of three laps in a row are in a slow moment.
            Ok(if lap % 3 == 0 { time } else { 5.0 * time })
        });
        let times = times.unwrap();
        assert_eq!(times, [rounds([10.0; 8]), rounds([11.0; 8])]);
        assert_eq!(turns, (1 + 3 * 8) * 2);
    }

    fn rounds<const N: usize>(values: [f64; N]) -> Rounds {
        Rounds::new(values)
    }

    #[test]
    fn medians_and_quartiles() {
        let five = rounds([5.0, 1.0, 4.0, 2.0, 3.0]);
        assert_eq!((five.median(), five.middle_half()), (3.0, (2.0, 4.0)));
        assert_eq!(rounds([1.0, 2.0]).median(), 1.5);
        assert!(rounds([]).median().is_nan());
    }

    #[test]
    fn four_of_five_rounds_have_to_agree() {
        let ten = rounds([10.0; 5]);
        assert_eq!(relation(&rounds([5.0, 5.0, 5.0, 5.0, 50.0]), &ten, 1.1), Relation::Less);
        assert_eq!(relation(&rounds([20.0, 20.0, 20.0, 20.0, 5.0]), &ten, 1.1), Relation::More);
        assert_eq!(relation(&rounds([10.5, 9.5, 10.0, 10.0, 50.0]), &ten, 1.1), Relation::Same);
        assert_eq!(relation(&rounds([5.0, 5.0, 5.0, 50.0, 50.0]), &ten, 1.1), Relation::Unclear);
        assert_eq!(relation(&rounds([]), &ten, 1.1), Relation::Unclear);
        assert_eq!(relation(&rounds([f64::NAN; 5]), &ten, 1.1), Relation::Unclear);
    }

    #[test]
    fn disturbance_of_both_arms_is_ignored() {
        // The machine was ten times slower in the second round.
        assert_eq!(relation(&rounds([1.0, 10.0, 1.1]), &rounds([2.0, 20.0, 2.2]), 1.1), Relation::Less);
    }
}
