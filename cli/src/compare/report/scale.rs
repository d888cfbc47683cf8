//! Converts values to coordinates, and chooses the ticks of an axis.

use crate::compare::data::{Axis, number};

/// A range of values and the range of coordinates that it maps to.
#[derive(Debug, Clone)]
pub(super) struct Scale {
    logarithmic: bool,
    from: f64,
    to: f64,
    start: f64,
    end: f64,
}

impl Scale {
    /// Makes a scale for all `values`, from coordinate `start` to `end`. A linear scale begins at 0.
    pub(super) fn over(axis: &Axis, values: impl Iterator<Item = f64>, start: f64, end: f64) -> Self {
        let usable = values.filter(|value| value.is_finite() && (!axis.logarithmic || *value > 0.0));
        let (low, high) = usable.fold((f64::MAX, f64::MIN), |(low, high), value| (low.min(value), high.max(value)));
        let (from, to) = match (low <= high, axis.logarithmic) {
            (false, _) => (1.0, 10.0),
            (true, true) => (low / 1.15, high * 1.15),
            (true, false) => {
                let high = if high > 0.0 { high } else { 1.0 };
                let step = step(high);
                (low.min(0.0), (high / step).ceil() * step)
            }
        };
        Self { logarithmic: axis.logarithmic, from, to, start, end }
    }

    /// Returns the coordinate of a value, clamped to the ends.
    pub(super) fn coordinate(&self, value: f64) -> f64 {
        let bend = |value: f64| if self.logarithmic { value.max(f64::MIN_POSITIVE).log10() } else { value };
        let share = (bend(value) - bend(self.from)) / (bend(self.to) - bend(self.from));
        self.start + share.clamp(0.0, 1.0) * (self.end - self.start)
    }

    /// Returns round values along the axis.
    pub(super) fn ticks(&self) -> Vec<f64> {
        if !self.logarithmic {
            let step = step(self.to);
            return (0..=12).map(|index| f64::from(index) * step).filter(|&tick| tick <= self.to * 1.001).collect();
        }
        let decades = (self.to / self.from).log10();
        let within: &[f64] = match decades {
            ..1.5 => &[1.0, 2.0, 5.0],
            1.5..3.0 => &[1.0, 3.0],
            _ => &[1.0],
        };
        let first = self.from.log10().floor() as i32;
        let all = (first..=first + decades as i32 + 2)
            .flat_map(|power| within.iter().map(move |factor| factor * 10_f64.powi(power)));
        let ticks: Vec<f64> = all.filter(|tick| (self.from..=self.to).contains(tick)).collect();
        // With many decades, every second tick.
        let every = if ticks.len() > 8 { 2 } else { 1 };
        ticks.into_iter().step_by(every).collect()
    }
}

/// Returns a round number, about a quarter of `whole`.
fn step(whole: f64) -> f64 {
    let rough = whole / 4.0;
    let decade = 10_f64.powf(rough.log10().floor());
    let factors = [1.0, 2.0, 2.5, 5.0, 10.0];
    let factor = factors.into_iter().find(|factor| factor * decade >= rough * 0.999).unwrap_or(10.0);
    factor * decade
}

/// Formats the label of a tick, as short as possible.
pub(super) fn label(value: f64) -> String {
    // Removes the rounding error of sums such as 0.1 + 0.2.
    let value = (value * 1e9).round() / 1e9;
    let trimmed = |value: f64, unit: &str| {
        let text = number(value);
        let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
        format!("{text}{unit}")
    };
    match value {
        1e6.. => trimmed(value / 1e6, " M"),
        2e4.. => trimmed(value / 1e3, " k"),
        _ => trimmed(value, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linear_scale_begins_at_zero_and_has_round_ticks() {
        let scale = Scale::over(&Axis::linear(""), [7.0, 93.0].into_iter(), 0.0, 100.0);
        assert_eq!((scale.coordinate(0.0), scale.coordinate(100.0)), (0.0, 100.0));
        assert_eq!(scale.ticks(), [0.0, 25.0, 50.0, 75.0, 100.0]);
    }

    #[test]
    fn logarithmic_scale_has_decades() {
        let scale = Scale::over(&Axis::logarithmic(""), [1.0, 1000.0].into_iter(), 0.0, 100.0);
        assert_eq!(scale.ticks(), [1.0, 10.0, 100.0, 1000.0]);
        assert!(
            (scale.coordinate(10.0) - scale.coordinate(1.0) - scale.coordinate(100.0) + scale.coordinate(10.0)).abs()
                < 1e-9
        );
        // Two decades and a half would have two ticks.
        let scale = Scale::over(&Axis::logarithmic(""), [0.12, 33.0].into_iter(), 0.0, 100.0);
        assert_eq!(scale.ticks().iter().map(|&tick| label(tick)).collect::<Vec<_>>(), ["0.3", "1", "3", "10", "30"]);
        // A scale without values is valid.
        let empty = Scale::over(&Axis::logarithmic(""), [f64::NAN, 0.0].into_iter(), 0.0, 100.0);
        assert!(empty.coordinate(0.0).is_finite() && empty.ticks().len() > 1);
    }

    #[test]
    fn labels_are_short() {
        for (value, text) in
            [(0.0, "0"), (0.1 + 0.2, "0.3"), (2.5, "2.5"), (4096.0, "4,096"), (25_000.0, "25 k"), (1e6, "1 M")]
        {
            assert_eq!(label(value), text);
        }
    }
}
