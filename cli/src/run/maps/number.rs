//! Decoded values as numbers.

use std::cmp::Ordering;

use cutaway::btf::Value;

/// The number that a value is sorted by.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Weight {
    Negative(i128),
    Positive(u128),
    Float(f64),
}

impl Weight {
    pub(super) fn compare(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Negative(left), Self::Negative(right)) => left.cmp(right),
            (Self::Positive(left), Self::Positive(right)) => left.cmp(right),
            (Self::Negative(_), Self::Positive(_)) => Ordering::Less,
            (Self::Positive(_), Self::Negative(_)) => Ordering::Greater,
            _ => self.float().total_cmp(&other.float()),
        }
    }

    fn float(&self) -> f64 {
        match self {
            Self::Negative(number) => *number as f64,
            Self::Positive(number) => *number as f64,
            Self::Float(number) => *number,
        }
    }
}

/// Returns the number that a value is sorted by: its own, or that of the first member that has one.
pub(super) fn weight(value: &Value<'_>) -> Option<Weight> {
    match value {
        Value::Unsigned(number) => Some(Weight::Positive(*number)),
        Value::Signed(number) => Some(match u128::try_from(*number) {
            Ok(number) => Weight::Positive(number),
            Err(_) => Weight::Negative(*number),
        }),
        Value::Float(number) => Some(Weight::Float(*number)),
        Value::Struct(fields) => fields.iter().find_map(|(_, value)| weight(value)),
        _ => None,
    }
}

/// Adds the values of all CPUs, member by member. `None` if one is unknown, or has a part that cannot be added and is
/// not the same on all CPUs that have any value.
pub(super) fn sum<'v>(values: impl Iterator<Item = Option<&'v Value<'v>>>) -> Option<Value<'v>> {
    let all: Vec<&Value<'v>> = values.collect::<Option<_>>()?;
    let used: Vec<&Value<'v>> = all.iter().copied().filter(|value| !is_zero(value)).collect();
    let (first, rest) = if used.is_empty() { all.split_first()? } else { used.split_first()? };
    if used.is_empty() {
        return Some((*first).clone());
    }
    rest.iter().try_fold((*first).clone(), |sum, value| add(&sum, value))
}

fn add<'v>(left: &Value<'v>, right: &Value<'v>) -> Option<Value<'v>> {
    Some(match (left, right) {
        (Value::Unsigned(left), Value::Unsigned(right)) => Value::Unsigned(left.checked_add(*right)?),
        (Value::Signed(left), Value::Signed(right)) => Value::Signed(left.checked_add(*right)?),
        (Value::Float(left), Value::Float(right)) => Value::Float(left + right),
        (Value::Array(left), Value::Array(right)) if left.len() == right.len() => {
            Value::Array(left.iter().zip(right).map(|(left, right)| add(left, right)).collect::<Option<_>>()?)
        }
        (Value::Struct(left), Value::Struct(right)) if left.len() == right.len() => {
            let members = left.iter().zip(right);
            let added = members.map(|((name, left), (_, right))| Some((name.clone(), add(left, right)?)));
            Value::Struct(added.collect::<Option<_>>()?)
        }
        (left, right) if left == right => left.clone(),
        _ => return None,
    })
}

/// Returns whether a value is that of bytes that are all 0.
fn is_zero(value: &Value<'_>) -> bool {
    match value {
        Value::Unsigned(0) | Value::Signed(0) | Value::Bool(false) | Value::Pointer(0) | Value::Enum(_, 0) => true,
        Value::Float(number) => number.to_bits() == 0,
        Value::Text(bytes) => bytes.is_empty(),
        Value::Bytes(bytes) => bytes.iter().all(|&byte| byte == 0),
        Value::Address(address) => address.is_unspecified(),
        Value::Array(values) => values.iter().all(is_zero),
        Value::Struct(fields) => fields.iter().all(|(_, value)| is_zero(value)),
        _ => false,
    }
}

/// Compares keys: as numbers if they have the size of one, otherwise by their bytes.
pub(super) fn compare_keys(left: &[u8], right: &[u8]) -> Ordering {
    match (number(left), number(right)) {
        (Some(left), Some(right)) => left.cmp(&right),
        _ => left.cmp(right),
    }
}

/// Reads 1, 2, 4 or 8 bytes in this machine's order as a number.
pub(super) fn number(bytes: &[u8]) -> Option<u64> {
    Some(match bytes.len() {
        1 => u64::from(*bytes.first()?),
        2 => u64::from(u16::from_ne_bytes(bytes.try_into().ok()?)),
        4 => u64::from(u32::from_ne_bytes(bytes.try_into().ok()?)),
        8 => u64::from_ne_bytes(bytes.try_into().ok()?),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(calls: u128, name: &'static [u8]) -> Value<'static> {
        Value::Struct(vec![("calls".into(), Value::Unsigned(calls)), ("name".into(), Value::Text(name))])
    }

    #[test]
    fn values_of_all_cpus_are_added() {
        let of = |values: &'static [Value<'static>]| sum(values.iter().map(Some)).map(|value| value.to_string());
        static NUMBERS: [Value<'_>; 3] = [Value::Unsigned(1), Value::Unsigned(0), Value::Unsigned(5)];
        assert_eq!(of(&NUMBERS).as_deref(), Some("6"));
        static SIGNED: [Value<'_>; 2] = [Value::Signed(-7), Value::Signed(3)];
        assert_eq!(of(&SIGNED).as_deref(), Some("-4"));
        static OVERFLOW: [Value<'_>; 2] = [Value::Unsigned(u128::MAX), Value::Unsigned(1)];
        assert_eq!(of(&OVERFLOW), None);
        let [one, zero, other, renamed] = [count(1, b"a"), count(0, b""), count(4, b"a"), count(4, b"b")];
        let text = |values: &[&Value<'static>]| sum(values.iter().map(|value| Some(*value))).map(|sum| sum.to_string());
        assert_eq!(text(&[&one, &zero, &other]).as_deref(), Some("{calls: 5, name: \"a\"}"));
        assert_eq!(text(&[&zero, &zero]).as_deref(), Some("{calls: 0, name: \"\"}"));
        assert_eq!(text(&[&one, &renamed]), None);
        assert_eq!(sum([Some(&one), None].into_iter()), None);
    }

    #[test]
    fn order_is_by_value() {
        let mut values =
            [Value::Signed(-1), Value::Unsigned(u128::from(u64::MAX)), Value::Float(1.5), Value::Signed(-9)]
                .map(|value| weight(&value).unwrap());
        values.sort_by(Weight::compare);
        assert_eq!(
            values,
            [Weight::Negative(-9), Weight::Negative(-1), Weight::Float(1.5), Weight::Positive(u64::MAX.into())]
        );
        assert_eq!(weight(&count(7, b"x")), Some(Weight::Positive(7)));
        assert_eq!(weight(&Value::Text(b"x")), None);
    }
}
