//! Constants of the kernel's configuration as an object declares them: type, offset in the section `.kconfig`, and how
//! the value is encoded there.

use crate::{
    Error,
    btf::{Btf, Kind, Type},
    sorted::sort,
};

/// The offset, size and encoding of a constant in the section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Slot {
    form: Form,
    pub(crate) offset: u32,
    /// Bytes.
    size: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Bool,
    /// One byte: a small number, or one of `y`, `m` and `n`.
    Char,
    /// `enum libbpf_tristate`
    Tristate,
    Integer {
        signed: bool,
    },
    /// An array of characters.
    Text,
}

/// The largest section of constants that is accepted, in bytes. (A name in the kernel's configuration takes 40 bytes.)
const LONGEST: u32 = 1 << 20;

impl Slot {
    /// Returns the encoding of a constant of this type, without an offset yet; `None` if no constant has such a type.
    pub(crate) fn of(btf: &Btf<'_>, ty: Type<'_>) -> Option<Self> {
        let is_char = |ty: Type<'_>| ty.size() == 1 && ty.int().is_some_and(|int| !int.bool);
        let (form, size) = match ty.kind() {
            Kind::Int => match (ty.int()?, ty.size()) {
                (int, size) if int.bool => (size == 1).then_some((Form::Bool, 1))?,
                (_, 1) => (Form::Char, 1),
                (int, size @ (2 | 4 | 8)) => (Form::Integer { signed: int.signed }, size),
                _ => return None,
            },
            Kind::Enum | Kind::Enum64 if ty.size() == 4 && ty.name_bytes() == b"libbpf_tristate" => (Form::Tristate, 4),
            Kind::Array => {
                let array = ty.array().filter(|array| array.len != 0)?;
                btf.resolve(array.element).filter(|&element| is_char(element))?;
                (Form::Text, array.len)
            }
            _ => return None,
        };
        Some(Self { form, offset: 0, size })
    }

    fn align(&self) -> u32 {
        if self.form == Form::Text { 1 } else { self.size }
    }

    /// Returns its offset and size in bytes.
    pub(crate) fn location(&self) -> (u32, u32) {
        (self.offset, self.size)
    }

    /// Returns the offset of the first byte after it.
    pub(crate) fn end(&self) -> u32 {
        self.offset.saturating_add(self.size)
    }

    /// Encodes the text that the configuration has for the constant.
    pub(crate) fn write(&self, text: &str) -> Result<Vec<u8>, String> {
        let unfit = || format!("the kernel's configuration has {text}, which does not fit into {self}");
        let number = match (self.form, text) {
            (Form::Text, _) => {
                let text = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).ok_or_else(unfit)?;
                // As `strncpy` that keeps room for the NUL: a longer text is cut.
                let room = self.size as usize;
                let mut bytes: Vec<u8> = text.bytes().take(room.saturating_sub(1)).collect();
                if bytes.len() < text.len() {
                    log::warn!("{text:?} is cut to {} bytes, since it has to fit into {self}", bytes.len());
                }
                bytes.resize(room, 0);
                return Ok(bytes);
            }
            (Form::Bool, "y") | (Form::Tristate, "y") => 1,
            (Form::Bool, "n") | (Form::Tristate, "n") => 0,
            (Form::Tristate, "m") => 2,
            (Form::Char, "y") => b'y'.into(),
            (Form::Char, "m") => b'm'.into(),
            (Form::Char, "n") => b'n'.into(),
            (Form::Integer { .. } | Form::Char, _) => number(text).ok_or_else(unfit)?,
            (Form::Bool | Form::Tristate, _) => return Err(unfit()),
        };
        self.number(number).ok_or_else(unfit)
    }

    /// Encodes a number; `None` if it does not fit.
    pub(crate) fn number(&self, number: i128) -> Option<Vec<u8>> {
        let bits = self.size * 8;
        let fits = match self.form {
            // In 64 bits the sign does not matter, since the configuration also has addresses.
            Form::Integer { .. } if bits == 64 => (-(1 << 63)..1 << 64).contains(&number),
            Form::Integer { signed: true } => (-(1 << (bits - 1))..1 << (bits - 1)).contains(&number),
            Form::Integer { signed: false } | Form::Tristate | Form::Bool => (0..1 << bits).contains(&number),
            Form::Char => (-128..256).contains(&number),
            Form::Text => false,
        };
        let bytes = (number as u64).to_le_bytes();
        let mut bytes = bytes.get(..self.size as usize)?.to_vec();
        if cfg!(target_endian = "big") {
            bytes.reverse();
        }
        fits.then_some(bytes)
    }
}

impl std::fmt::Display for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.form {
            Form::Bool => f.write_str("a bool"),
            Form::Char => f.write_str("a char"),
            Form::Tristate => f.write_str("an enum libbpf_tristate"),
            Form::Integer { signed: true } => write!(f, "a signed integer of {} bits", self.size * 8),
            Form::Integer { signed: false } => write!(f, "an unsigned integer of {} bits", self.size * 8),
            Form::Text => write!(f, "a char[{}]", self.size),
        }
    }
}

/// Parses a number as C writes it: decimal, hexadecimal or octal.
fn number(text: &str) -> Option<i128> {
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |digits| (true, digits));
    let magnitude = if let Some(hexadecimal) = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        u64::from_str_radix(hexadecimal, 16)
    } else if digits.len() > 1 && digits.starts_with('0') {
        u64::from_str_radix(digits, 8)
    } else {
        digits.parse()
    };
    let magnitude = i128::from(magnitude.ok()?);
    Some(if negative { -magnitude } else { magnitude })
}

/// Gives each constant its offset, in descending order of alignment; with the same alignment in ascending order of
/// size, then of name.
pub(super) fn lay_out<'a>(slots: impl Iterator<Item = (&'a String, &'a mut Slot)>) -> Result<(), Error> {
    let mut slots: Vec<_> = slots.collect();
    sort(&mut slots, |(one, a), (other, b)| (b.align(), a.size, one).cmp(&(a.align(), b.size, other)));
    let mut end = 0_u32;
    for (name, slot) in slots {
        slot.offset = end.next_multiple_of(slot.align().max(1));
        end = slot.end();
        if end > LONGEST {
            let why = format!("with `{name}`, its constants of the kernel's configuration take {end} bytes");
            return Err(Error::Object { why });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(form: Form, size: u32) -> Slot {
        Slot { form, offset: 0, size }
    }

    const SIGNED: Form = Form::Integer { signed: true };
    const UNSIGNED: Form = Form::Integer { signed: false };

    #[test]
    fn each_form_takes_the_values_that_fit() {
        let number = |bytes: Vec<u8>| bytes.iter().rev().fold(0_u64, |number, &byte| number << 8 | u64::from(byte));
        for (form, size, text, expected) in [
            (Form::Bool, 1, "y", Some(1)),
            (Form::Bool, 1, "n", Some(0)),
            (Form::Bool, 1, "m", None),
            (Form::Bool, 1, "1", None),
            (Form::Tristate, 4, "m", Some(2)),
            (Form::Tristate, 4, "y", Some(1)),
            (Form::Tristate, 4, "2", None),
            (Form::Char, 1, "m", Some(u64::from(b'm'))),
            (Form::Char, 1, "200", Some(200)),
            (Form::Char, 1, "256", None),
            (UNSIGNED, 4, "250", Some(250)),
            (UNSIGNED, 4, "-1", None),
            (SIGNED, 4, "-1", Some(0xffff_ffff)),
            (SIGNED, 4, "0x80000000", None),
            (UNSIGNED, 4, "0x80000000", Some(0x8000_0000)),
            (UNSIGNED, 4, "0x100000000", None),
            (SIGNED, 8, "0xffffffff81000000", Some(0xffff_ffff_8100_0000)),
            (UNSIGNED, 2, "010", Some(8)),
            (UNSIGNED, 4, "y", None),
            (UNSIGNED, 4, "\"3\"", None),
            (UNSIGNED, 4, "", None),
        ] {
            assert_eq!(slot(form, size).write(text).ok().map(number), expected, "{form:?} of {size}: {text}");
        }
    }

    #[test]
    fn texts_are_cut_to_fit_and_end_with_nul() {
        let text = |size, text| slot(Form::Text, size).write(text);
        assert_eq!(text(8, "\"abc\"").unwrap(), b"abc\0\0\0\0\0");
        assert_eq!(text(4, "\"abcdef\"").unwrap(), b"abc\0");
        assert_eq!(text(1, "\"abcdef\"").unwrap(), b"\0");
        assert_eq!(text(4, "\"\"").unwrap(), b"\0\0\0\0");
        for wrong in ["y", "12", "\"abc", "\""] {
            let error = text(8, wrong).unwrap_err();
            assert!(error.contains(wrong) && error.contains("a char[8]"), "{error}");
        }
    }
}
