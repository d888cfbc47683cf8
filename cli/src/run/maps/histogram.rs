//! Histograms: arrays whose name or shape says that their elements are counts of buckets.
//!
//! | an array of integers | buckets |
//! | --- | --- |
//! | a map with the word `log2` in its name | powers of 2 |
//! | a map with the word `linear` or `lhist` in its name | one for each index |
//! | a map with a word that begins with `hist` in its name | powers of 2 if there are at most 64 elements: a guess |
//! | a member `slots`, `buckets`, `bins`, or with a name as above, of a map's value | as above; otherwise a guess |
//!
//! Powers of 2 are counted as libbpf-tools and bcc do (`log2l`): the bucket 0 has the numbers 0 and 1, the bucket `n`
//! those from 2^n to 2^(n+1) − 1.

use cutaway::{
    MapSpec,
    btf::{Btf, Kind, Value},
};

use super::{elements::Element, number};
use crate::run::output::read;

/// Largest number of buckets of powers of 2: those of 64-bit numbers.
const MOST_POWERS: usize = 64;

/// Width of the longest bar in columns.
const BAR: u64 = 40;

/// Counts of buckets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Histogram {
    counts: Vec<u64>,
    scale: Scale,
}

/// The meaning of an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scale {
    Log2,
    /// A name such as `hist` does not say it.
    ProbablyLog2,
    Linear,
}

impl Histogram {
    /// Returns the histogram of an array map; `None` if its elements are not counts of buckets.
    pub(super) fn of_array(spec: &MapSpec, btf: Option<&Btf<'_>>, elements: &[Element]) -> Option<Self> {
        let scale = scale(&spec.name, elements.len())?;
        let type_id = spec.value_type();
        let is_count = match btf.zip(type_id) {
            Some((btf, id)) => btf.resolve(id)?.kind() == Kind::Int,
            None => matches!(spec.value_size, 4 | 8),
        };
        if !is_count {
            return None;
        }
        let count = |element: &Element| {
            let values: Vec<_> = element.values.iter().map(|(_, bytes)| read(btf, type_id, bytes)).collect();
            match number::sum(values.iter().map(Option::as_ref)) {
                Some(sum) => count(&sum),
                None => {
                    element.values.iter().try_fold(0, |all: u64, (_, bytes)| all.checked_add(number::number(bytes)?))
                }
            }
        };
        Some(Self { counts: elements.iter().map(count).collect::<Option<_>>()?, scale })
    }

    /// Returns the histogram that is a member of a structure, and the other members as text.
    pub(super) fn in_value(value: &Value<'_>) -> Option<(String, Self)> {
        let Value::Struct(fields) = value else { return None };
        let (index, histogram) = fields.iter().enumerate().find_map(|(index, (name, value))| {
            let Value::Array(values) = value else { return None };
            let scale = scale(name, values.len()).or_else(|| {
                let named = matches!(name.as_ref(), "slots" | "buckets" | "bins");
                (named && (2..=MOST_POWERS).contains(&values.len())).then_some(Scale::ProbablyLog2)
            })?;
            Some((index, Self { counts: values.iter().map(count).collect::<Option<_>>()?, scale }))
        })?;
        let others = fields.iter().enumerate().filter(|(other, _)| *other != index);
        let others: Vec<_> = others.map(|(_, (name, value))| format!("{name}: {value}")).collect();
        let others = if others.is_empty() { String::new() } else { format!("{{{}}}, ", others.join(", ")) };
        Some((others, histogram))
    }

    /// Returns the text before the picture.
    pub(super) fn head(&self) -> String {
        let total = self.counts.iter().fold(0_u64, |all, count| all.saturating_add(*count));
        let scale = match self.scale {
            Scale::Log2 => "by powers of 2",
            Scale::ProbablyLog2 => "by powers of 2 (a guess)",
            Scale::Linear => "by index",
        };
        format!("histogram of {total} values, {scale}")
    }

    /// Draws the buckets from the first to the last one that has a count.
    pub(super) fn lines(&self) -> Vec<String> {
        let used = |count: &u64| *count > 0;
        let (Some(first), Some(last)) = (self.counts.iter().position(used), self.counts.iter().rposition(used)) else {
            return Vec::new();
        };
        let most = self.counts.iter().copied().max().unwrap_or(1).max(1);
        let rows: Vec<_> = self.counts.iter().enumerate().take(last + 1).skip(first).collect();
        let labels: Vec<_> = rows.iter().map(|(index, _)| self.label(*index)).collect();
        let width = labels.iter().map(String::len).max().unwrap_or(0);
        let digits = most.to_string().len();
        rows.iter()
            .zip(&labels)
            .map(|((_, count), label)| {
                // Rounded up, so that no count looks like 0.
                let bar = u128::from(**count).saturating_mul(BAR.into()).div_ceil(most.into()) as usize;
                format!("    {label:>width$}  {count:>digits$} |{:<40}|", "@".repeat(bar))
            })
            .collect()
    }

    fn label(&self, index: usize) -> String {
        let power = |bits: usize| 1_u128.checked_shl(u32::try_from(bits).unwrap_or(u32::MAX)).unwrap_or(u128::MAX);
        match (self.scale, index) {
            (Scale::Linear, _) => index.to_string(),
            (_, 0) => "0 - 1".to_owned(),
            _ => format!("{} - {}", power(index), power(index + 1) - 1),
        }
    }
}

/// Returns the scale that a name says.
fn scale(name: &str, buckets: usize) -> Option<Scale> {
    let lower = name.to_lowercase();
    let words = || lower.split(|c: char| !c.is_alphanumeric());
    if words().any(|word| word == "log2") && (2..=MOST_POWERS).contains(&buckets) {
        return Some(Scale::Log2);
    }
    if words().any(|word| matches!(word, "linear" | "lhist")) {
        return Some(Scale::Linear);
    }
    let named = words().any(|word| word.starts_with("hist"));
    named.then_some(if buckets <= MOST_POWERS { Scale::ProbablyLog2 } else { Scale::Linear })
}

fn count(value: &Value<'_>) -> Option<u64> {
    match value {
        Value::Unsigned(count) => u64::try_from(*count).ok(),
        Value::Signed(count) => u64::try_from(*count).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scale_is_that_of_the_name() {
        for (name, buckets, expected) in [
            ("latency_log2", 32, Some(Scale::Log2)),
            ("hist", 27, Some(Scale::ProbablyLog2)),
            ("read_histogram", 64, Some(Scale::ProbablyLog2)),
            ("hists", 256, Some(Scale::Linear)),
            ("sizes_linear", 10, Some(Scale::Linear)),
            ("history", 8, Some(Scale::ProbablyLog2)),
            ("counts", 32, None),
            ("catalog2", 32, None),
            ("log2", 1000, None),
        ] {
            assert_eq!(scale(name, buckets), expected, "{name}");
        }
    }

    #[test]
    fn buckets_are_drawn_from_the_first_to_the_last_count() {
        let histogram = Histogram { counts: vec![0, 0, 0, 1, 0, 40, 0], scale: Scale::Log2 };
        let bar = |count| format!("|{:<40}|", "@".repeat(count));
        assert_eq!(
            histogram.lines(),
            [
                format!("     8 - 15   1 {}", bar(1)),
                format!("    16 - 31   0 {}", bar(0)),
                format!("    32 - 63  40 {}", bar(40)),
            ]
        );
        assert_eq!(histogram.head(), "histogram of 41 values, by powers of 2");
        let most = Histogram { counts: vec![u64::MAX; 64], scale: Scale::Log2 };
        assert!(most.lines().last().unwrap().contains("9223372036854775808 - 18446744073709551615"));
        assert_eq!(most.lines().first().unwrap().trim_start().split("  ").next(), Some("0 - 1"));
        assert!(Histogram { counts: vec![0; 4], scale: Scale::Linear }.lines().is_empty());
    }

    #[test]
    fn histogram_in_a_structure_is_found_by_its_member() {
        let counts = || Value::Array([0, 3].map(Value::Unsigned).to_vec());
        let of = |name: &'static str| {
            Histogram::in_value(&Value::Struct(vec![("total".into(), Value::Unsigned(3)), (name.into(), counts())]))
        };
        let (others, histogram) = of("slots").unwrap();
        assert_eq!((others.as_str(), histogram.counts.as_slice()), ("{total: 3}, ", &[0, 3][..]));
        assert_eq!(of("ports"), None);
    }
}
