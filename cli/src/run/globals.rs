//! Converts the text of `--set NAME=VALUE` to the bytes of a global variable, by the type of the variable.
//!
//! | type of the variable | value |
//! | --- | --- |
//! | an integer | `42`, `-1`, `0xff`, `'x'` |
//! | an enumeration | an enumerator's name, or a number |
//! | `bool` | `true`, `false`, 1, 0 |
//! | `float`, `double` | `1.5` |
//! | an array of `char` | the text, at most as long as the array |
//! | any other array | values separated by commas; the other elements are 0 |
//! | `__be16`, `__be32`, `__be64` | a number as in this machine's byte order; `__be32` also `127.0.0.1` |
//! | `struct in_addr`, `struct in6_addr` | an address |
//! | any type | its bytes: `hex:0a0b0c` |
//!
//! NAME can be followed by the path of a part: `cfg.level`, `table[1][2]` (`part.rs`). The other parts keep their
//! values. Without BTF a variable of 1, 2, 4 or 8 bytes is an integer.

mod bits;
mod part;

use std::net::{Ipv4Addr, Ipv6Addr};

use cutaway::{
    Object, VariableSpec,
    btf::{Btf, Kind, NetworkType, Type},
};

use self::part::Part;
use crate::{decode, error::CliError};

/// Sets the variables of all `NAME=VALUE` in `options`.
pub(crate) fn apply(object: &mut Object, options: &[String], btf: Option<&Btf<'_>>) -> Result<(), CliError> {
    for option in options {
        // clap has checked the form.
        let (name, text) = option.split_once('=').unwrap_or((option, ""));
        let (name, path) = part::split(name, |name| object.variables().iter().any(|variable| variable.name == name));
        let found = object.variables().iter().find(|variable| variable.name == name);
        let set = |variable: &VariableSpec| match path {
            "" => bytes(variable, text, btf),
            path => with_part(variable, path, text, btf, object.initial_value(name).unwrap_or_default()),
        };
        let bytes = match found {
            Some(variable) => set(variable).map_err(|why| {
                let part = if path.is_empty() { String::new() } else { format!("{path} of ") };
                CliError::new(format!("cannot set {part}the variable {variable} to `{text}`: {why}"))
            })?,
            // An unknown variable: `set_variable` returns the error.
            None => Vec::new(),
        };
        object.set_variable(name, bytes.as_slice())?;
    }
    Ok(())
}

fn bytes(variable: &VariableSpec, text: &str, btf: Option<&Btf<'_>>) -> Result<Vec<u8>, String> {
    match btf.zip(variable.type_id) {
        Some((btf, id)) => of_type(btf, id, variable.size as usize, text),
        None => match text.strip_prefix("hex:") {
            Some(digits) => from_hex(digits),
            None => integer(text, variable.size as usize, None),
        },
    }
}

/// Returns `whole`, the variable's value, with a new value of the part at `path`.
fn with_part(
    variable: &VariableSpec,
    path: &str,
    text: &str,
    btf: Option<&Btf<'_>>,
    mut whole: Vec<u8>,
) -> Result<Vec<u8>, String> {
    let Some((btf, id)) = btf.zip(variable.type_id) else {
        return Err("the object does not describe its type; set the whole variable".to_owned());
    };
    let Part { type_id, offset, bits } = part::find(btf, id, path)?;
    let size = btf.size_of(type_id).ok_or("its type has no size")? as usize;
    let bytes = of_type(btf, type_id, size, text)?;
    const OUTSIDE: &str = "it reaches beyond the end of the variable";
    if let Some((first, width)) = bits {
        let signed = btf.resolve(type_id).is_some_and(Type::is_signed);
        let structure = whole.get_mut(offset..).ok_or(OUTSIDE)?;
        bits::set(structure, first, width, &bytes, signed)?;
    } else {
        whole.get_mut(offset..offset.saturating_add(bytes.len())).ok_or(OUTSIDE)?.copy_from_slice(&bytes);
    }
    Ok(whole)
}

/// Parses a value of the type `id`. The result has as many bytes as the type, unless they are given as hex.
fn of_type(btf: &Btf<'_>, id: u32, size: usize, text: &str) -> Result<Vec<u8>, String> {
    if let Some(digits) = text.strip_prefix("hex:") {
        return match from_hex(digits)? {
            bytes if bytes.len() == size => Ok(bytes),
            bytes => Err(format!("it has {size} bytes, and {} are given", bytes.len())),
        };
    }
    if let Some(network) = btf.network_type(id) {
        return in_network_order(network, size, text);
    }
    match btf.resolve(id) {
        Some(ty) => value(btf, ty, size, text),
        None => integer(text, size, None),
    }
}

fn from_hex(digits: &str) -> Result<Vec<u8>, String> {
    decode::from_hex(digits).ok_or_else(|| "hex: requires two hexadecimal digits for each byte".to_owned())
}

/// Parses a number or an address in network byte order.
fn in_network_order(network: NetworkType, size: usize, text: &str) -> Result<Vec<u8>, String> {
    match (network, text.parse::<Ipv4Addr>(), text.parse::<Ipv6Addr>()) {
        (NetworkType::Ipv6, _, Ok(address)) => Ok(address.octets().to_vec()),
        (NetworkType::Ipv6, Ok(address), _) => Ok(address.to_ipv6_mapped().octets().to_vec()),
        (NetworkType::Ipv6, ..) => Err("it is an IPv6 address".to_owned()),
        (NetworkType::Ipv4, Ok(address), _) => Ok(address.octets().to_vec()),
        (NetworkType::Ipv4, ..) => Err("it is an IPv4 address".to_owned()),
        (_, Ok(address), _) if size == 4 => Ok(address.octets().to_vec()),
        _ => {
            let mut bytes = integer(text, size, Some(false))?;
            if cfg!(target_endian = "little") {
                bytes.reverse();
            }
            Ok(bytes)
        }
    }
}

fn value(btf: &Btf<'_>, ty: Type<'_>, size: usize, text: &str) -> Result<Vec<u8>, String> {
    match ty.kind() {
        Kind::Array => array(btf, ty, size, text),
        Kind::Int if ty.int().is_some_and(|int| int.bool) => match text {
            "true" | "1" => integer("1", size, None),
            "false" | "0" => integer("0", size, None),
            _ => Err("it is a bool: true or false".to_owned()),
        },
        Kind::Enum | Kind::Enum64 => {
            let found = ty.values().find(|value| value.name == text.as_bytes());
            match found {
                Some(value) => Ok(lowest(value.value.into(), size)),
                None => integer(text, size, None).map_err(|_| {
                    let names: Vec<_> = ty.values().map(|value| String::from_utf8_lossy(value.name)).collect();
                    format!("its values are {}", crate::error::listed(&names))
                }),
            }
        }
        Kind::Float => {
            let number: f64 = text.parse().map_err(|_| "it is a floating-point number".to_owned())?;
            Ok(if size == 4 { (number as f32).to_ne_bytes().to_vec() } else { number.to_ne_bytes().to_vec() })
        }
        Kind::Int if ty.name_bytes() == b"char" => integer(text, size, None),
        Kind::Int => integer(text, size, Some(ty.is_signed())),
        Kind::Ptr => integer(text, size, Some(false)),
        _ => {
            let member = ty.members().find(|member| !member.name.is_empty());
            let member =
                member.map(|member| format!("set a member, as in .{}=…, or ", String::from_utf8_lossy(member.name)));
            let advice = member.unwrap_or_default();
            Err(format!("it is a {}: {advice}give its {size} bytes as hex:…", ty.to_string().trim()))
        }
    }
}

fn array(btf: &Btf<'_>, ty: Type<'_>, size: usize, text: &str) -> Result<Vec<u8>, String> {
    let array_element = ty.array().map_or(0, |array| array.element);
    let element = btf.resolve(array_element).ok_or("the type of its elements cannot be read")?;
    let each = btf.size_of(element.id()).unwrap_or(0) as usize;
    let mut all = if element.kind() == Kind::Int && element.name_bytes() == b"char" {
        text.as_bytes().to_vec()
    } else {
        let values = text.split(',').filter(|_| !text.is_empty());
        values.map(|text| of_type(btf, array_element, each, text.trim())).collect::<Result<Vec<_>, _>>()?.concat()
    };
    if all.len() > size {
        return Err(format!("it has {size} bytes, and {} are given", all.len()));
    }
    all.resize(size, 0);
    Ok(all)
}

/// Parses an integer of `size` bytes. If `signed` is `None`, both signed and unsigned numbers are accepted.
fn integer(text: &str, size: usize, signed: Option<bool>) -> Result<Vec<u8>, String> {
    let expected = || match signed {
        Some(true) => format!("it is a signed integer of {size} bytes"),
        Some(false) => format!("it is an unsigned integer of {size} bytes"),
        None => format!("it is an integer of {size} bytes"),
    };
    if !(1..=16).contains(&size) {
        return Err(format!("it has {size} bytes: give them as hex:…"));
    }
    let character = text.strip_prefix('\'').and_then(|text| text.strip_suffix('\'')).filter(|text| text.len() == 1);
    let number = match (character, text.strip_prefix("0x")) {
        (Some(character), _) => character.bytes().next().map(i128::from),
        (None, Some(digits)) => i128::from_str_radix(digits, 16).ok(),
        (None, None) => text.parse().ok(),
    };
    // A number that does not fit into an `i128` may fit into a `u128`.
    if number.is_none() && size == 16 && signed != Some(true) {
        let number = text.strip_prefix("0x").map_or_else(|| text.parse(), |digits| u128::from_str_radix(digits, 16));
        return number.map(|number| lowest(number, size)).map_err(|_| expected());
    }
    let number: i128 = number.ok_or_else(expected)?;
    // The largest numbers of this size, at most those of an `i128`: larger ones are parsed above.
    let signed_most = i128::MAX >> (128 - 8 * size);
    let unsigned_most = signed_most.saturating_mul(2).saturating_add(1);
    let (least, most) = match signed {
        Some(true) => (!signed_most, signed_most),
        Some(false) => (0, unsigned_most),
        None => (!signed_most, unsigned_most),
    };
    if (least..=most).contains(&number) { Ok(lowest(number.cast_unsigned(), size)) } else { Err(expected()) }
}

/// Returns the lowest `size` bytes of a number, in this machine's byte order.
fn lowest(number: u128, size: usize) -> Vec<u8> {
    let bytes = number.to_ne_bytes();
    let range = if cfg!(target_endian = "little") { 0..size } else { 16_usize.saturating_sub(size)..16 };
    bytes.get(range).unwrap_or_default().to_vec()
}

#[cfg(test)]
mod settings_tests;
#[cfg(test)]
mod tests {
    use super::*;

    fn set(name: &str, text: &str) -> Result<Vec<u8>, String> {
        let object = Object::parse(include_bytes!("../../../tests/corpus/data/variables.o")).unwrap();
        let types = object.btf().unwrap();
        let btf = Btf::parse(&types).unwrap();
        let variable = object.variables().iter().find(|variable| variable.name == name).unwrap();
        bytes(variable, text, Some(&btf))
    }

    #[test]
    fn value_is_parsed_by_the_type_of_the_variable() {
        assert_eq!(set("limit", "0x10"), Ok(16_u32.to_ne_bytes().to_vec()));
        assert_eq!(set("offset", "-7"), Ok((-7_i32).to_ne_bytes().to_vec()));
        assert_eq!(set("enabled", "true"), Ok(vec![1]));
        assert_eq!(set("colour", "BLUE"), Ok(2_u32.to_ne_bytes().to_vec()));
        assert_eq!(set("name", "x"), Ok([&b"x"[..], &[0; 15]].concat()));
        let ports = [1_u16, 65535, 0, 0].map(u16::to_ne_bytes).concat();
        assert_eq!(set("ports", "1, 65535"), Ok(ports));
        assert_eq!(set("small", "'a'"), Ok(vec![b'a']));
        assert_eq!(set("small", "hex:7f"), Ok(vec![0x7f]));
    }

    #[test]
    fn value_that_does_not_fit_is_refused() {
        for (name, text, part) in [
            ("limit", "-1", "unsigned integer of 4 bytes"),
            ("limit", "4294967296", "unsigned"),
            ("offset", "2147483648", "signed integer of 4 bytes"),
            ("small", "256", "1 bytes"),
            ("enabled", "maybe", "true or false"),
            ("colour", "GREEN", "RED, BLUE"),
            ("name", "a name of more than sixteen", "16 bytes, and 27"),
            ("ports", "1,2,3,4,5", "8 bytes, and 10"),
            ("pair", "1", "struct pair"),
            ("limit", "hex:0", "two hexadecimal digits"),
            ("limit", "", "4 bytes"),
        ] {
            let why = set(name, text).unwrap_err();
            assert!(why.contains(part), "{name}={text}: {why}");
        }
        assert_eq!(integer("-1", 8, None), Ok(vec![0xff; 8]));
        for (text, fits) in [("170141183460469231731687303715884105727", true), ("-1", false)] {
            assert_eq!(integer(text, 16, Some(false)).is_ok(), fits, "{text}");
        }
        let least = i128::MIN;
        assert_eq!(integer(&least.to_string(), 16, Some(true)), Ok(least.to_ne_bytes().to_vec()));
        for most in ["340282366920938463463374607431768211455", "0xffffffffffffffffffffffffffffffff"] {
            assert_eq!(integer(most, 16, Some(false)), Ok(vec![0xff; 16]), "{most}");
            assert!(integer(most, 16, Some(true)).is_err(), "{most}");
        }
        assert!(integer("340282366920938463463374607431768211456", 16, None).is_err());
    }
}
