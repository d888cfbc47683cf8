//! Finds types by name, and formats decoded values as JSON. [`Value`]'s `Display` formats them as text.

use cutaway::btf::{Btf, Kind, Type, Value};
use serde_json::{Map, Value as Json};

/// Finds the type with this name: a structure, union, typedef, enumeration or integer. `struct x` does not match a
/// union.
pub(crate) fn find<'b>(btf: &'b Btf<'_>, name: &str) -> Option<Type<'b>> {
    let name = name.trim();
    let kinds = [Kind::Struct, Kind::Union, Kind::Typedef, Kind::Enum, Kind::Enum64, Kind::Int];
    kinds.into_iter().find_map(|kind| {
        let plain = match name.strip_prefix(kind.keyword()) {
            Some(plain) => plain,
            None if name.contains(' ') && kind != Kind::Int => return None,
            None => name,
        };
        btf.find(kind, plain)
    })
}

/// Lists the first 8 structures and the number of the others, for an error about a wrong name.
pub(crate) fn structures(btf: &Btf<'_>) -> String {
    let all = btf.types().filter(|ty| ty.kind() == Kind::Struct && !ty.name_bytes().is_empty());
    let names: Vec<_> = all.map(|ty| ty.name().into_owned()).collect();
    match names.get(..8) {
        _ if names.is_empty() => "; it has no structures".to_owned(),
        Some(first) if names.len() > 8 => {
            format!("; its structures are {} and {} more", first.join(", "), names.len() - 8)
        }
        _ => format!("; its structures are {}", names.join(", ")),
    }
}

/// Returns whether the last member of a structure is a flexible array, which extends to the end of the record.
pub(crate) fn ends_flexibly(btf: &Btf<'_>, id: u32) -> bool {
    btf.ends_flexibly(id)
}

/// Formats a value as JSON.
///
/// Numbers are numbers, or text if they do not fit into 64 bits. Enumerators are names, and flags lists of names. IP
/// addresses are text; pointers and bytes are hexadecimal text. Missing values are null. A last element `"…"` replaces
/// omitted members and elements ([`Value::Omitted`]).
pub(crate) fn json(value: &Value<'_>) -> Json {
    match value {
        Value::Unsigned(number) => u64::try_from(*number).map_or_else(|_| number.to_string().into(), Json::from),
        Value::Signed(number) => i64::try_from(*number).map_or_else(|_| number.to_string().into(), Json::from),
        Value::Bool(truth) => (*truth).into(),
        // JSON numbers include neither infinity nor NaN.
        Value::Float(number) if !number.is_finite() => number.to_string().into(),
        Value::Float(number) => (*number).into(),
        Value::Pointer(address) => format!("{address:#x}").into(),
        Value::Address(address) => address.to_string().into(),
        Value::Enum(name, _) => name.as_ref().into(),
        Value::Flags(names, rest) => {
            let mut all: Vec<Json> = names.iter().map(|name| name.as_ref().into()).collect();
            if *rest != 0 {
                all.push(format!("{rest:#x}").into());
            }
            all.into()
        }
        Value::Text(bytes) => String::from_utf8_lossy(bytes).into(),
        Value::Bytes(bytes) => hex(bytes).into(),
        Value::Array(values) => values.iter().map(json).collect::<Vec<_>>().into(),
        Value::Omitted => "…".into(),
        Value::Struct(fields) => {
            let mut object = Map::new();
            for (name, value) in fields {
                object.insert(name.clone().into_owned(), json(value));
            }
            object.into()
        }
        // `Missing`, and values that a later version adds.
        _ => Json::Null,
    }
}

/// Formats bytes as hexadecimal text, two digits a byte.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect()
}

/// Parses hexadecimal text; `None` if it is not hexadecimal.
pub(crate) fn from_hex(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    if !rest.is_empty() {
        return None;
    }
    pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_is_formatted_and_parsed() {
        assert_eq!(hex(&[0, 0x5a, 0xff]), "005aff");
        assert_eq!(from_hex("005aFF"), Some(vec![0, 0x5a, 0xff]));
        assert_eq!((from_hex("0"), from_hex("zz"), from_hex("é")), (None, None, None));
    }

    #[test]
    fn values_are_formatted_as_json() {
        let value = Value::Struct(vec![
            ("n".into(), Value::Unsigned(u128::MAX)),
            ("i".into(), Value::Signed(-1)),
            ("f".into(), Value::Float(f64::NAN)),
            ("why".into(), Value::Flags(vec!["A".into()], 8)),
            ("at".into(), Value::Pointer(255)),
            ("list".into(), Value::Array(vec![Value::Bool(true), Value::Missing])),
            ("cut".into(), Value::Array(vec![Value::Omitted])),
        ]);
        assert_eq!(
            json(&value).to_string(),
            format!(
                r#"{{"n":"{}","i":-1,"f":"NaN","why":["A","0x8"],"at":"0xff","list":[true,null],"cut":["…"]}}"#,
                u128::MAX
            )
        );
    }
}
