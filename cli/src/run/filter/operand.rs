//! Values during evaluation.

use std::{borrow::Cow, cmp::Ordering, fmt::Write as _, net::IpAddr};

use cutaway::btf::Value;

use super::{enumerators::Enumerators, tree::Binary, wrong::Wrong};

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Operand<'v> {
    Integer(i128),
    Float(f64),
    /// A character in single quotes, or an element of text.
    Character(u8),
    Text(Cow<'v, [u8]>),
    /// An array of bytes that are not characters.
    Bytes(&'v [u8]),
    Address(IpAddr),
    /// A structure or an array of other elements.
    Part(&'v Value<'v>),
}

/// The reason why there is no value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// This record does not have it. Another record of the same type may.
    Missing,
    /// No record of this type has it.
    Wrong(Wrong),
}

impl From<Wrong> for Fault {
    fn from(wrong: Wrong) -> Self {
        Self::Wrong(wrong)
    }
}

impl<'v> Operand<'v> {
    /// Converts a decoded value.
    pub(super) fn of(value: &'v Value<'v>, enumerators: &Enumerators) -> Result<Self, Fault> {
        Ok(match value {
            Value::Unsigned(number) => Self::Integer(i128::try_from(*number).map_err(|_| Fault::Missing)?),
            Value::Signed(number) => Self::Integer(*number),
            // The value by the name has the sign that enumerators have, also if the type does not tell it.
            Value::Enum(name, number) => Self::Integer(enumerators.value(name).and_then(Result::ok).unwrap_or(*number)),
            Value::Bool(truth) => Self::Integer(i128::from(*truth)),
            Value::Float(number) => Self::Float(*number),
            Value::Pointer(address) => Self::Integer(i128::from(*address)),
            Value::Flags(names, rest) => {
                let bits = names.iter().try_fold(*rest, |all, name| {
                    let bit = enumerators.value(name)?.ok()?;
                    Some(all | u128::from(bit as u64))
                });
                Self::Integer(bits.and_then(|bits| i128::try_from(bits).ok()).ok_or(Fault::Missing)?)
            }
            Value::Address(address) => Self::Address(*address),
            Value::Text(text) => Self::Text(Cow::Borrowed(text)),
            Value::Bytes(bytes) => Self::Bytes(bytes),
            Value::Array(_) | Value::Struct(_) => Self::Part(value),
            // `Missing`, `Omitted`, and values that a later version adds.
            _ => return Err(Fault::Missing),
        })
    }

    /// Returns whether a condition with this value is true; `None` if it is no condition.
    pub(super) fn truth(&self) -> Option<bool> {
        match self {
            Self::Integer(number) => Some(*number != 0),
            Self::Float(number) => Some(*number != 0.0),
            Self::Character(byte) => Some(*byte != 0),
            Self::Text(_) | Self::Bytes(_) | Self::Address(_) | Self::Part(_) => None,
        }
    }

    /// Returns an integer; `None` for any other value.
    pub(super) fn integer(&self) -> Option<i128> {
        match self {
            Self::Integer(number) => Some(*number),
            Self::Character(byte) => Some((*byte).into()),
            _ => None,
        }
    }

    fn float(&self) -> Option<f64> {
        match self {
            Self::Float(number) => Some(*number),
            other => other.integer().map(|number| number as f64),
        }
    }

    /// Returns text up to its first NUL, for a comparison with text.
    fn text(&self) -> Option<Cow<'_, [u8]>> {
        let until_nul = |bytes: &[u8]| bytes.split(|&byte| byte == 0).next().unwrap_or_default().to_vec();
        match self {
            Self::Text(text) => Some(Cow::Borrowed(text)),
            Self::Bytes(bytes) => Some(until_nul(bytes).into()),
            Self::Character(byte) => Some(until_nul(&[*byte]).into()),
            _ => None,
        }
    }

    /// Returns an address; `None` for a value that is neither an address nor the text of one.
    fn address(&self) -> Option<IpAddr> {
        match self {
            Self::Address(address) => Some(*address),
            Self::Text(text) => std::str::from_utf8(text).ok()?.parse().ok(),
            _ => None,
        }
    }

    /// Describes the kind of value, for errors.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Integer(_) => "a number",
            Self::Float(_) => "a floating-point number",
            Self::Character(_) => "a character",
            Self::Text(_) => "text",
            Self::Bytes(_) => "an array of bytes",
            Self::Address(_) => "an address",
            Self::Part(Value::Struct(_)) => "a structure",
            Self::Part(_) => "an array",
        }
    }

    /// Compares two values. `Ok(None)` if one of them is not a number (NaN), and `Err` if they cannot be compared.
    fn compare(&self, other: &Self) -> Result<Option<Ordering>, ()> {
        if let (Some(left), Some(right)) = (self.integer(), other.integer()) {
            return Ok(Some(left.cmp(&right)));
        }
        if let (Some(left), Some(right)) = (self.float(), other.float()) {
            return Ok(left.partial_cmp(&right));
        }
        if let (Self::Bytes(left), Self::Bytes(right)) = (self, other) {
            return Ok(Some(left.cmp(right)));
        }
        if matches!(self, Self::Address(_)) || matches!(other, Self::Address(_)) {
            return self.address().zip(other.address()).map(|(left, right)| Some(left.cmp(&right))).ok_or(());
        }
        match (self.text(), other.text()) {
            (Some(left), Some(right)) => Ok(Some(left.cmp(&right))),
            _ => Err(()),
        }
    }
}

/// Applies a binary operator other than `&&` and `||`.
pub(super) fn apply<'v>(
    operator: Binary,
    left: &Operand<'v>,
    right: &Operand<'v>,
    column: usize,
) -> Result<Operand<'v>, Fault> {
    let truth = |truth: bool| Ok(Operand::Integer(i128::from(truth)));
    let comparison = |is: fn(Option<Ordering>) -> bool| match left.compare(right) {
        Ok(ordering) => truth(is(ordering)),
        Err(()) => {
            let mut why = format!("{} cannot be compared with {}", left.kind(), right.kind());
            if let [Operand::Part(Value::Struct(fields)), _] | [_, Operand::Part(Value::Struct(fields))] = [left, right]
                && let Some((name, _)) = fields.first()
            {
                let _ = write!(why, "; compare a member, as in `.{name}`");
            }
            if matches!(left, Operand::Address(_)) || matches!(right, Operand::Address(_)) {
                why.push_str("; write an address as text, \"127.0.0.1\"");
            }
            Err(Wrong::new(column, why).into())
        }
    };
    match operator {
        Binary::Equal => return comparison(|ordering| ordering == Some(Ordering::Equal)),
        Binary::Unequal => return comparison(|ordering| ordering != Some(Ordering::Equal)),
        Binary::Less => return comparison(|ordering| ordering == Some(Ordering::Less)),
        Binary::LessOrEqual => return comparison(|ordering| ordering.is_some_and(Ordering::is_le)),
        Binary::Greater => return comparison(|ordering| ordering == Some(Ordering::Greater)),
        Binary::GreaterOrEqual => return comparison(|ordering| ordering.is_some_and(Ordering::is_ge)),
        _ => {}
    }
    if let (Some(left), Some(right)) = (left.integer(), right.integer()) {
        return integers(operator, left, right).map(Operand::Integer).ok_or(Fault::Missing);
    }
    let float = left.float().zip(right.float()).and_then(|(left, right)| floats(operator, left, right));
    float.map(Operand::Float).ok_or_else(|| {
        let sign = operator.sign();
        let operand = if left.integer().is_some() { right } else { left };
        Wrong::new(column, format!("`{sign}` does not apply to {}", operand.kind())).into()
    })
}

/// Returns `None` if there is no result, or none of 128 bits.
fn integers(operator: Binary, left: i128, right: i128) -> Option<i128> {
    let bits = || u32::try_from(right).ok().filter(|bits| *bits < 128);
    match operator {
        Binary::BitOr => Some(left | right),
        Binary::BitXor => Some(left ^ right),
        Binary::BitAnd => Some(left & right),
        Binary::ShiftLeft => left.checked_mul(1_i128.checked_shl(bits()?).filter(|&factor| factor > 0)?),
        Binary::ShiftRight => left.checked_shr(bits()?),
        Binary::Add => left.checked_add(right),
        Binary::Subtract => left.checked_sub(right),
        Binary::Multiply => left.checked_mul(right),
        Binary::Divide => left.checked_div(right),
        Binary::Remainder => left.checked_rem(right),
        _ => None,
    }
}

fn floats(operator: Binary, left: f64, right: f64) -> Option<f64> {
    match operator {
        Binary::Add => Some(left + right),
        Binary::Subtract => Some(left - right),
        Binary::Multiply => Some(left * right),
        Binary::Divide => Some(left / right),
        _ => None,
    }
}
