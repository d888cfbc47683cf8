//! A histogram of latencies of any size, in constant memory.
//!
//! Each power of two has 16 steps, so a percentile is known to a sixteenth of its value. The picture has one bar for
//! each power of two.

/// Binary digits of a step within its power of two.
const DIGITS: u32 = 4;
/// Steps of a power of two. Values below are counted one by one.
const STEPS: usize = 1 << DIGITS;
/// All steps of 64-bit values.
const SIZE: usize = STEPS * (64 - DIGITS as usize + 1);

/// Counts of values by size.
#[derive(Debug, Clone)]
pub(super) struct Histogram {
    counts: Vec<u64>,
    total: u64,
    max: u64,
}

/// The values of one power of two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bucket {
    /// The smallest value.
    pub(super) from: u64,
    /// The largest value.
    pub(super) to: u64,
    pub(super) count: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: vec![0; SIZE], total: 0, max: 0 }
    }
}

impl Histogram {
    pub(super) fn add(&mut self, value: u64) {
        self.counts.get_mut(step(value)).into_iter().for_each(|count| *count += 1);
        self.total += 1;
        self.max = self.max.max(value);
    }

    /// Returns the value that `percent` percent of the values do not exceed: the nearest rank, rounded up to the end of
    /// its step. `None` without a value.
    pub(super) fn percentile(&self, percent: u64) -> Option<u64> {
        let rank = (u128::from(self.total) * u128::from(percent)).div_ceil(100).max(1);
        let mut seen = 0;
        let found = self.counts.iter().position(|count| {
            seen += u128::from(*count);
            seen >= rank
        })?;
        Some(end(found).min(self.max))
    }

    /// Returns the largest value; `None` without a value.
    pub(super) fn max(&self) -> Option<u64> {
        (self.total > 0).then_some(self.max)
    }

    /// Returns the powers of two, from that of the smallest value to that of the largest.
    pub(super) fn buckets(&self) -> Vec<Bucket> {
        let mut buckets: Vec<Bucket> = Vec::new();
        for (step, count) in self.counts.iter().enumerate() {
            let end = end(step);
            let from = if end < 2 { 0 } else { 1 << end.ilog2() };
            match buckets.last_mut() {
                Some(last) if last.from == from => (last.to, last.count) = (end, last.count + count),
                _ => buckets.push(Bucket { from, to: end, count: *count }),
            }
        }
        let used = |bucket: &Bucket| bucket.count > 0;
        let last = buckets.iter().rposition(used).map_or(0, |last| last + 1);
        buckets.truncate(last);
        let first = buckets.iter().position(used).unwrap_or_default();
        buckets.split_off(first)
    }
}

/// Returns the index of a value's step.
fn step(value: u64) -> usize {
    match value.checked_ilog2() {
        Some(power) if power >= DIGITS => {
            let shift = power - DIGITS;
            // The leading digit is that of the power itself.
            let within = (value >> shift) as usize - STEPS;
            STEPS * (shift as usize + 1) + within
        }
        _ => value as usize,
    }
}

/// Returns the largest value of a step.
fn end(step: usize) -> u64 {
    let (row, within) = (step / STEPS, step % STEPS);
    match row.checked_sub(1) {
        None => within as u64,
        Some(shift) => {
            let from = ((STEPS + within) as u64) << shift;
            from + ((1 << shift) - 1)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_is_in_the_step_that_ends_at_or_after_it() {
        let mut values: Vec<u64> = (0..2000).collect();
        values.extend((4..64).flat_map(|power| [(1 << power) - 1, 1 << power, (1 << power) + (1 << (power - 1)) + 1]));
        values.push(u64::MAX);
        for value in values {
            let index = step(value);
            assert!(index < SIZE, "{value}");
            assert!(end(index) >= value, "{value}");
            assert!(end(index) - value <= value / STEPS as u64, "{value}");
            assert!(index == 0 || end(index - 1) < value, "{value}");
        }
        assert_eq!(end(SIZE - 1), u64::MAX);
    }

    #[test]
    fn percentiles_are_exact_to_a_sixteenth() {
        // A generator of numbers of many sizes (an LCG); the sorted values are the exact answer.
        let (mut state, mut values, mut histogram) = (1_u64, Vec::new(), Histogram::default());
        for _ in 0..100_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let value = (state >> 33) >> ((state >> 20) % 24);
            values.push(value);
            histogram.add(value);
        }
        values.sort_unstable();
        for percent in [1, 50, 90, 99, 100] {
            let exact = values[(values.len() * percent).div_ceil(100) - 1];
            let found = histogram.percentile(percent as u64).unwrap();
            assert!(found >= exact && found - exact <= exact / 16, "p{percent}: {found}, exactly {exact}");
        }
        assert_eq!(histogram.max(), values.last().copied());
        assert_eq!(histogram.buckets().iter().map(|bucket| bucket.count).sum::<u64>(), 100_000);
    }

    #[test]
    fn buckets_are_powers_of_two() {
        let mut histogram = Histogram::default();
        assert_eq!((histogram.buckets(), histogram.percentile(50), histogram.max()), (vec![], None, None));
        for value in [0, 1, 5, 100, 127] {
            histogram.add(value);
        }
        let bucket = |from, to, count| Bucket { from, to, count };
        let expected = [
            bucket(0, 1, 2),
            bucket(2, 3, 0),
            bucket(4, 7, 1),
            bucket(8, 15, 0),
            bucket(16, 31, 0),
            bucket(32, 63, 0),
            bucket(64, 127, 2),
        ];
        assert_eq!(histogram.buckets(), expected);
        assert_eq!((histogram.percentile(50), histogram.percentile(99)), (Some(5), Some(127)));
        let mut histogram = Histogram::default();
        histogram.add(1000);
        assert_eq!(histogram.buckets(), [bucket(512, 1023, 1)]);
        assert_eq!(histogram.percentile(1), Some(1000));
    }
}
