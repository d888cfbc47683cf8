//! Decodes bytes by their BTF type: a record of a ring, a variable, a map's value.
//!
//! ```text
//!     struct event { u32 pid; char comm[8]; enum why why; }        the type, from BTF
//!     2a 10 00 00  62 61 73 68 00 .. .. ..  02 00 00 00            the bytes
//!     {pid: 4138, comm: "bash", why: EXITED}                       the value
//! ```
//!
//! Neither is trusted: types may contain themselves or lie outside the bytes, and there may be fewer bytes than the
//! type has. Missing bytes decode as [`Value::Missing`].
//!
//! Depth and number of values are bounded. A structure of two empty structures of two empty structures … has twice as
//! many members at each level, in 0 bytes. A record may have [`FREE`] values and [`EACH`] more for each of its bytes,
//! but at most [`MOST`]. The rest decodes as [`Value::Omitted`].

use std::borrow::Cow;

use super::{
    kind::Kind,
    network,
    ty::{EnumValue, Member, Type},
    value::{OMITTED, Value},
    view::Btf,
};

/// The depth of nested structures that no real type reaches: beyond it, types form a circle.
const DEEPEST: u32 = 64;

/// The number of values that every record may have, however short: empty structures, and the variants of unions.
const FREE: u32 = 1 << 10;

/// The number of values that each byte may add: one for each bit.
const EACH: u32 = 8;

/// The highest number of values that are decoded from one record.
const MOST: u32 = 1 << 16;

impl Btf<'_> {
    /// Decodes `bytes` as a value of the type `id`. Bytes after its end are ignored, unless it ends with a flexible
    /// array, which takes them ([`Btf::ends_flexibly`]). Any other array without elements is empty.
    ///
    /// Never fails: [`Value`] has variants for what cannot be decoded. Decodes at most 1,024 values and 8 more for each
    /// byte, and never more than 65,536: members, elements, and the structures that contain them. The rest is
    /// [`Value::Omitted`]. Structures are decoded to a depth of 64.
    ///
    /// Numbers and addresses in network byte order are decoded by the names of the kernel's types: `__be16`, `__be32`
    /// and `__be64` are numbers in this machine's byte order, `struct in_addr` and `struct in6_addr` are
    /// [`Value::Address`]. A member of the type `__be32` is an address if its name has `addr` in it, or the word `ip`.
    #[must_use]
    #[doc(alias = "btf_dump__dump_type_data")]
    pub fn value<'a>(&'a self, id: u32, bytes: &'a [u8]) -> Value<'a> {
        let each = u32::try_from(bytes.len()).unwrap_or(u32::MAX).saturating_mul(EACH);
        let left = FREE.saturating_add(each).min(MOST);
        Reading { btf: self, bytes, left }.value(id, Position { at: 0, depth: 0, is_last: true })
    }

    /// Returns whether a value of the type `id` ends with a flexible array, which takes all bytes that follow. That is
    /// an array declared without elements that is the type itself, the last member of a structure, or any member of a
    /// union. Such a structure or union must itself be last: the last member, and no element of an array.
    #[must_use]
    pub fn ends_flexibly(&self, id: u32) -> bool {
        let mut left = MOST;
        ends_flexibly(self, id, 0, &mut left)
    }
}

/// Visits at most `left` types: nested unions could branch at every level.
fn ends_flexibly(btf: &Btf<'_>, id: u32, depth: u32, left: &mut u32) -> bool {
    *left = left.saturating_sub(1);
    let Some(ty) = btf.resolve(id).filter(|_| depth <= DEEPEST && *left > 0) else { return false };
    if let Some(array) = ty.array() {
        return array.len == 0 && btf.size_of(array.element).is_some_and(|size| size > 0);
    }
    ty.members()
        .enumerate()
        .any(|(index, member)| is_last(ty, index) && ends_flexibly(btf, member.type_id, depth.saturating_add(1), left))
}

/// Returns whether no other member of the structure or union lies after the one with this index.
fn is_last(ty: Type<'_>, index: usize) -> bool {
    ty.kind() == Kind::Union || index + 1 == ty.len() as usize
}

struct Reading<'a> {
    btf: &'a Btf<'a>,
    bytes: &'a [u8],
    /// The number of values that may still be decoded.
    left: u32,
}

/// The position of a value in the type tree and in the bytes.
#[derive(Debug, Clone, Copy)]
struct Position {
    /// Bytes from the start of the outermost value.
    at: usize,
    /// The number of structures and arrays that contain it.
    depth: u32,
    /// Whether it is the last value of all that contain it.
    is_last: bool,
}

impl Position {
    /// Returns the position of a part that is `bytes` from its start.
    fn part(self, bytes: usize, is_last: bool) -> Self {
        Self {
            at: self.at.saturating_add(bytes),
            depth: self.depth.saturating_add(1),
            is_last: self.is_last && is_last,
        }
    }
}

impl<'a> Reading<'a> {
    /// Decodes the value of the type `id` at a position.
    fn value(&mut self, id: u32, position: Position) -> Value<'a> {
        if position.depth > DEEPEST || !self.may_go_on() {
            return Value::Omitted;
        }
        let Some(ty) = self.btf.resolve(id) else { return Value::Missing };
        if let Some(value) = self.network(id, b"", position) {
            return value;
        }
        match ty.kind() {
            Kind::Struct | Kind::Union => {
                let mut fields = Vec::new();
                self.fields(ty, position, &mut fields);
                Value::Struct(fields)
            }
            Kind::Array => self.array(ty, position),
            _ => self.scalar(ty, position.at),
        }
    }

    /// Decodes a value in network byte order; `None` if its type is another.
    fn network(&self, id: u32, name: &[u8], position: Position) -> Option<Value<'a>> {
        let network = self.btf.network_type(id)?;
        let size = self.btf.size_of(id)? as usize;
        Some(network::decode(network, size, name, self.bytes.get(position.at..).unwrap_or_default()))
    }

    /// Counts one value; returns false if no more may be decoded.
    fn may_go_on(&mut self) -> bool {
        let left = self.left.checked_sub(1);
        self.left = left.unwrap_or(0);
        left.is_some()
    }

    fn fields(&mut self, ty: Type<'a>, position: Position, fields: &mut Vec<(Cow<'a, str>, Value<'a>)>) {
        for (number, member) in ty.members().enumerate() {
            let part = position.part(member.bit_offset as usize / 8, is_last(ty, number));
            let inner = self.btf.resolve(member.type_id);
            let unnamed = inner.filter(|inner| member.name.is_empty() && inner.kind().is_composite());
            if self.left == 0 || (unnamed.is_some() && position.depth >= DEEPEST) {
                // Added once, however many levels of unnamed structures end here.
                if !matches!(fields.last(), Some((_, Value::Omitted))) {
                    fields.push((OMITTED.into(), Value::Omitted));
                }
                return;
            }
            if let Some(inner) = unnamed {
                self.left = self.left.saturating_sub(1);
                self.fields(inner, part, fields);
                continue;
            }
            let value = match inner {
                Some(inner) if member.bits != 0 || odd_bits(inner) => {
                    self.left = self.left.saturating_sub(1);
                    self.bit_field(inner, position.at, member)
                }
                _ => match self.network(member.type_id, member.name, part) {
                    Some(value) => {
                        self.left = self.left.saturating_sub(1);
                        value
                    }
                    None => self.value(member.type_id, part),
                },
            };
            fields.push((String::from_utf8_lossy(member.name), value));
        }
    }

    fn array(&mut self, ty: Type<'a>, position: Position) -> Value<'a> {
        let Some(array) = ty.array() else { return Value::Missing };
        let rest = self.bytes.get(position.at..).unwrap_or_default();
        let size = self.btf.size_of(array.element).unwrap_or(0) as usize;
        let element = self.btf.resolve(array.element);
        let len = match array.len as usize {
            // A flexible array takes the remaining bytes. An array without elements that is not last is empty.
            0 if position.is_last => rest.len().checked_div(size).unwrap_or(0),
            len => len,
        };
        if let Some(element) = element.filter(|element| element.kind() == Kind::Int && size == 1) {
            let bytes = rest.get(..len.min(rest.len())).unwrap_or_default();
            if bytes.is_empty() && len > 0 {
                return Value::Missing;
            }
            if is_char(element) {
                return Value::Text(until_nul(bytes));
            }
            if !element.is_signed() && element.int().is_some_and(|int| !int.bool) {
                return Value::Bytes(bytes);
            }
        }
        let mut values = Vec::new();
        for index in 0..len {
            let part = position.part(index.saturating_mul(size), false);
            if part.at > self.bytes.len() {
                break;
            }
            if self.left == 0 {
                values.push(Value::Omitted);
                break;
            }
            values.push(self.value(array.element, part));
        }
        Value::Array(values)
    }

    /// Decodes a value that has no parts.
    fn scalar(&self, ty: Type<'a>, at: usize) -> Value<'a> {
        let Some(size) = self.btf.size_of(ty.id()) else { return Value::Missing };
        let end = at.saturating_add(size as usize);
        let Some(bytes) = self.bytes.get(at..end) else { return Value::Missing };
        if ty.kind() == Kind::Int && is_char(ty) {
            return Value::Text(until_nul(bytes));
        }
        if ty.kind() == Kind::Float {
            return match (<[u8; 4]>::try_from(bytes), <[u8; 8]>::try_from(bytes)) {
                (Ok(bytes), _) => Value::Float(f32::from_ne_bytes(bytes).into()),
                (_, Ok(bytes)) => Value::Float(f64::from_ne_bytes(bytes)),
                _ => Value::Bytes(bytes),
            };
        }
        match size {
            1..=16 => number(ty, word(bytes), size.saturating_mul(8)),
            _ => Value::Bytes(bytes),
        }
    }

    /// Decodes a bit field of the structure at byte `at`.
    fn bit_field(&self, ty: Type<'a>, at: usize, member: Member<'a>) -> Value<'a> {
        let Some((offset, bits @ 1..=64)) = self.btf.bits_of(member) else { return Value::Missing };
        let (first, shift) = (at.saturating_add(offset as usize / 8), offset % 8);
        let count = shift.saturating_add(bits).div_ceil(8);
        let Some(bytes) = self.bytes.get(first..first.saturating_add(count as usize)) else { return Value::Missing };
        let shift = if cfg!(target_endian = "little") {
            shift
        } else {
            // The first bit is the most significant one.
            count.saturating_mul(8).saturating_sub(shift).saturating_sub(bits)
        };
        let value = word(bytes) >> shift & ((1 << bits) - 1);
        number(ty, value, bits)
    }
}

/// Returns whether an integer takes fewer bits than its bytes have. Only old compilers write such types.
fn odd_bits(ty: Type<'_>) -> bool {
    ty.int().is_some_and(|int| int.offset != 0 || int.bits != ty.size().saturating_mul(8))
}

/// Returns whether the type is a character. Compilers call it `char`, but not all set its encoding to it.
fn is_char(ty: Type<'_>) -> bool {
    ty.size() == 1 && (ty.name_bytes() == b"char" || ty.int().is_some_and(|int| int.char))
}

fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|&byte| byte == 0).next().unwrap_or_default()
}

/// Reads at most 16 bytes in this machine's order as a number.
fn word(bytes: &[u8]) -> u128 {
    let append = |(value, byte): (u128, &u8)| value << 8 | u128::from(*byte);
    if cfg!(target_endian = "little") {
        bytes.iter().rev().fold(0, |value, byte| append((value, byte)))
    } else {
        bytes.iter().fold(0, |value, byte| append((value, byte)))
    }
}

/// Interprets a number of `bits` bits by its type.
fn number<'a>(ty: Type<'a>, raw: u128, bits: u32) -> Value<'a> {
    let spare = 128_u32.saturating_sub(bits);
    let signed = (raw << spare).cast_signed() >> spare;
    match ty.kind() {
        Kind::Enum | Kind::Enum64 => enumerator(ty, raw, signed, bits),
        Kind::Ptr => Value::Pointer(raw as u64),
        Kind::Int if ty.int().is_some_and(|int| int.bool) => Value::Bool(raw != 0),
        Kind::Int if ty.is_signed() => Value::Signed(signed),
        _ => Value::Unsigned(raw),
    }
}

/// Returns the name of an enumerator, or the names of the enumerators whose bits are set.
fn enumerator<'a>(ty: Type<'a>, raw: u128, signed: i128, bits: u32) -> Value<'a> {
    // Enumerators are extended to 64 bits, with or without their sign. Only the bits that the value has are compared.
    let mask = if bits >= 64 { u128::from(u64::MAX) } else { (1 << bits) - 1 };
    let same = |value: &EnumValue<'_>| u128::from(value.value) & mask == raw & mask;
    let name = |value: EnumValue<'a>| String::from_utf8_lossy(value.name);
    let shown = if ty.is_signed() { signed } else { raw.cast_signed() };
    if let Some(value) = ty.values().find(same) {
        return Value::Enum(name(value), shown);
    }
    let is_bit = |value: &EnumValue<'_>| value.value == 0 || (u128::from(value.value) & mask).is_power_of_two();
    // Values 0, 1, 2 are more likely consecutive numbers than bits.
    let beyond_two = ty.values().any(|value| u128::from(value.value) & mask > 2);
    if raw != 0 && beyond_two && ty.values().all(|value| is_bit(&value)) {
        let (mut names, mut rest) = (Vec::new(), raw & mask);
        for value in ty.values() {
            let bit = u128::from(value.value) & mask;
            if bit != 0 && rest & bit != 0 {
                names.push(name(value));
                rest &= !bit;
            }
        }
        if !names.is_empty() {
            return Value::Flags(names, rest);
        }
    }
    if ty.is_signed() { Value::Signed(signed) } else { Value::Unsigned(raw) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Builds BTF of a structure of two structures of two …, `levels` deep. The innermost is empty; the outermost ends
    /// with a member of one byte. Members are named or unnamed.
    fn doubled(levels: u32, named: bool) -> (Vec<u8>, u32) {
        let strings = b"\0m\0u8\0";
        let (member, u8_name) = (u32::from(named), 3);
        let mut words: Vec<u32> = vec![u8_name, 1 << 24, 1, 8, 0, 4 << 24, 0];
        for level in 0..levels {
            words.extend([0, 4 << 24 | 2, 0, member, 2 + level, 0, member, 2 + level, 0]);
        }
        words.extend([1, 4 << 24 | 2, 1, member, 2 + levels, 0, 1, 1, 0]);
        let types = words.len() as u32 * 4;
        let header = [0x0001_eb9f, 24, 0, types, types, strings.len() as u32];
        let bytes = header.iter().chain(&words).flat_map(|word| word.to_le_bytes()).chain(strings.iter().copied());
        (bytes.collect(), 3 + levels)
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn breadth_is_bounded_and_the_rest_is_omitted() {
        for named in [true, false] {
            let (bytes, id) = doubled(50, named);
            let btf = Btf::parse(&bytes).unwrap();
            let value = btf.value(id, &[7]);
            assert!(value.has_omitted(), "{named}");
            assert!(value.to_string().ends_with("…}") && value.to_string().len() < 16 << 10, "{value}");
            // A value within the limits is decoded completely.
            let (bytes, id) = doubled(8, named);
            let value = Btf::parse(&bytes).unwrap().value(id, &[7]).to_string();
            assert!(value.ends_with("m: 7}") && !value.contains('…'), "{value}");
        }
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn depth_is_bounded_and_the_rest_is_omitted() {
        // A structure whose only member is itself.
        let strings = b"\0m\0";
        let words = [1_u32, 4 << 24 | 1, 1, 1, 1, 0];
        let header = [0x0001_eb9f, 24, 0, 24, 24, strings.len() as u32];
        let bytes = header.iter().chain(&words).flat_map(|word| word.to_le_bytes()).chain(strings.iter().copied());
        let bytes: Vec<u8> = bytes.collect();
        let btf = Btf::parse(&bytes).unwrap();
        let text = btf.value(1, &[0; 4]).to_string();
        assert_eq!(text.matches('{').count(), 65, "{text}");
        assert!(text.contains("m: …"), "{text}");
    }
}
