//! The layout of `struct __bpf_usdt_spec`, a value of the map `__bpf_usdt_specs`.
//!
//! The structure belongs to libbpf's `usdt.bpf.h`, which promises no stable layout: an object has that of the header
//! with which it was compiled. The object's BTF describes it. Offsets in bytes, on little-endian machines:
//!
//! ```text
//!     struct __bpf_usdt_spec             libbpf 1.0 – 1.6          libbpf 1.7
//!         args[12]                       16 bytes each             24 bytes each
//!             val_off         64 bits    0                         0
//!             arg_type                   8 (32 bits)               8 (8 bits)
//!             idx_reg_off     12 bits    –                         10
//!             scale_bitshift   4 bits    –                         11, the high 4 bits
//!             reg_off         16 bits    12                        14
//!             arg_signed       8 bits    14                        16
//!             arg_bitshift     8 bits    15                        17
//!         usdt_cookie         64 bits    192                       288
//!         arg_cnt             16 bits    200                       296
//!     size                               208                       304
//! ```
//!
//! The header of libbpf 1.7 declares the four bit fields in 32 bits, with different types. The first one of 16 bits
//! would cross the boundary of such a unit, so compilers begin a new unit for it. An argument therefore takes 24 bytes,
//! although the header's comment speaks of compatible offsets.

use log::warn;

use crate::btf::{Btf, Kind, Type};

/// The layout of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UsdtLayout {
    /// In bytes.
    size: usize,
    /// The offset of `args` in bits.
    args: u32,
    /// Bits from one argument to the next.
    stride: u32,
    /// The length of `args`.
    count: u32,
    argument: ArgumentLayout,
    cookie: Field,
    arg_cnt: Field,
    order: Order,
    known_by: KnownBy,
}

/// The members of an argument. Their offsets are those within the argument.
#[derive(Debug, Clone, PartialEq, Eq)]
struct ArgumentLayout {
    val_off: Field,
    arg_type: Field,
    reg_off: Field,
    arg_signed: Field,
    arg_bitshift: Field,
    /// `idx_reg_off` and `scale_bitshift`
    index: Option<[Field; 2]>,
}

/// The values of one argument.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct UsdtArgument {
    pub(crate) val_off: u64,
    pub(crate) arg_type: u8,
    pub(crate) reg_off: u16,
    pub(crate) arg_signed: bool,
    pub(crate) arg_bitshift: u8,
    /// `idx_reg_off` and `scale_bitshift`
    pub(crate) index: Option<(u16, u8)>,
}

/// The source of a layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum KnownBy {
    Types,
    Size,
}

/// The order of bytes, and of bits: BTF counts from the lowest bit of the first byte on little-endian machines, from
/// the highest on big-endian ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    Little,
    Big,
}

impl Order {
    /// The order of this machine, and so of every object that is loaded.
    pub(crate) const NATIVE: Self = if cfg!(target_endian = "little") { Self::Little } else { Self::Big };
}

/// A number in the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Field {
    name: &'static str,
    /// Bits from the start of the structure.
    offset: u32,
    bits: u32,
}

impl UsdtLayout {
    /// Returns the layout of values of `size` bytes. `types` is the object's BTF, and the id of the values' type in it.
    /// The error completes the sentence "the values of its map … ".
    pub(crate) fn of(size: usize, types: Option<(&Btf<'_>, u32)>, order: Order) -> Result<Self, String> {
        match types {
            Some((btf, id)) => Self::described(size, btf, id, order),
            None => Self::released(size, order).ok_or_else(|| {
                format!(
                    "have {size} bytes and no type, so their layout is not known: without a type, libbpf's values have \
                     208 bytes (libbpf 1.0 to 1.6) or 304 (libbpf 1.7)"
                )
            }),
        }
    }

    /// Reads the layout in BTF.
    fn described(size: usize, btf: &Btf<'_>, id: u32, order: Order) -> Result<Self, String> {
        let spec = structure(btf, id, "have")?;
        if spec.size() as usize != size {
            return Err(format!("have {size} bytes, and their type `{}` has {}", spec.name(), spec.size()));
        }
        let args = spec.members().find(|member| member.name == b"args").ok_or_else(|| lacks(spec, "args"))?;
        let array = btf.resolve(args.type_id).and_then(Type::array);
        let array = array.ok_or_else(|| format!("have a member `args` in `{}` that is not an array", spec.name()))?;
        let argument = structure(btf, array.element, "have elements of `args` that have")?;
        let index = [optional(btf, argument, "idx_reg_off")?, optional(btf, argument, "scale_bitshift")?];
        let layout = Self {
            size,
            args: args.bit_offset,
            stride: argument
                .size()
                .checked_mul(8)
                .ok_or_else(|| format!("have arguments of {} bytes", argument.size()))?,
            count: array.len,
            argument: ArgumentLayout {
                val_off: required(btf, argument, "val_off")?,
                arg_type: required(btf, argument, "arg_type")?,
                reg_off: required(btf, argument, "reg_off")?,
                arg_signed: required(btf, argument, "arg_signed")?,
                arg_bitshift: required(btf, argument, "arg_bitshift")?,
                index: match index {
                    [Some(register), Some(scale)] => Some([register, scale]),
                    _ => None,
                },
            },
            cookie: required(btf, spec, "usdt_cookie")?,
            arg_cnt: required(btf, spec, "arg_cnt")?,
            order,
            known_by: KnownBy::Types,
        };
        layout.warn_of_others(spec, argument);
        Ok(layout)
    }

    /// Logs members that no released header has: they stay 0.
    fn warn_of_others(&self, spec: Type<'_>, argument: Type<'_>) {
        const SPEC: [&[u8]; 3] = [b"args", b"usdt_cookie", b"arg_cnt"];
        const INDEX: [&[u8]; 2] = [b"idx_reg_off", b"scale_bitshift"];
        const ARGUMENT: [&[u8]; 6] =
            [b"val_off", b"arg_type", b"reg_off", b"arg_signed", b"arg_bitshift", b"__reserved"];
        let has_index = self.argument.index.is_some();
        let known = |name: &[u8]| ARGUMENT.contains(&name) || (has_index && INDEX.contains(&name));
        let others = spec.members().filter(|member| !SPEC.contains(&member.name));
        for member in others.chain(argument.members().filter(|member| !known(member.name))) {
            warn!(
                "the arguments of USDT probes have a member `{}`, which no release of libbpf's usdt.bpf.h up to 1.7 has; it \
                 stays 0",
                String::from_utf8_lossy(member.name)
            );
        }
    }

    /// Returns the layout of a released header, by the size of its values alone.
    fn released(size: usize, order: Order) -> Option<Self> {
        const COUNT: u32 = 12;
        let little = order == Order::Little;
        let field = |name, offset, bits| Field { name, offset, bits };
        // The older header reads one word as `arg_type`. Ports to other languages pack the four bit fields of the newer
        // header into that word, without the compiler's gap. So an index is written there: such a port reads it, and
        // the older header does not recognize the word and returns EINVAL.
        let (stride, arg_type, index, reg_off) = match (size, little) {
            (208, true) => (128, 64, [72, 84], 96),
            (208, false) => (128, 88, [72, 84], 96),
            (304, true) => (192, 64, [80, 92], 112),
            (304, false) => (192, 96, [80, 92], 112),
            _ => return None,
        };
        let [register, scale] = index;
        Some(Self {
            size,
            args: 0,
            stride,
            count: COUNT,
            argument: ArgumentLayout {
                val_off: field("val_off", 0, 64),
                arg_type: field("arg_type", arg_type, 8),
                reg_off: field("reg_off", reg_off, 16),
                arg_signed: field("arg_signed", reg_off + 16, 8),
                arg_bitshift: field("arg_bitshift", reg_off + 24, 8),
                index: Some([field("idx_reg_off", register, 12), field("scale_bitshift", scale, 4)]),
            },
            cookie: field("usdt_cookie", stride * COUNT, 64),
            arg_cnt: field("arg_cnt", stride * COUNT + 64, 16),
            order,
            known_by: KnownBy::Size,
        })
    }

    /// Returns why programs cannot, or may not be able to, read an argument with an index register; `None` if they can.
    pub(crate) fn index_doubt(&self) -> Option<&'static str> {
        match (self.known_by, &self.argument.index) {
            (KnownBy::Types, None) => Some(
                "the program gets EINVAL for it, because its object was compiled with a usdt.bpf.h without index \
                 registers, as before libbpf 1.7; compile it with a newer one",
            ),
            (KnownBy::Size, _) if self.size == 208 => Some(
                "the program probably gets EINVAL for it, because its map has the size of a usdt.bpf.h without index \
                 registers, as before libbpf 1.7, and no type that would say more; compile it with a newer one",
            ),
            _ => None,
        }
    }

    /// Returns whether an argument with an index register can be written.
    pub(crate) fn has_index(&self) -> bool {
        self.argument.index.is_some()
    }

    /// Returns the bytes of a value. The error is a sentence.
    pub(crate) fn value(&self, arguments: &[UsdtArgument], cookie: u64) -> Result<Vec<u8>, String> {
        if arguments.len() > self.count as usize {
            return Err(format!(
                "the probe has {} arguments, and libbpf's layout has room for {}",
                arguments.len(),
                self.count
            ));
        }
        let mut bytes = vec![0; self.size];
        let mut put = |field: Field, base: u32, value: u64| field.put(&mut bytes, base, value, self.order);
        let layout = &self.argument;
        let mut base = self.args;
        for argument in arguments {
            put(layout.val_off, base, argument.val_off)?;
            put(layout.arg_type, base, argument.arg_type.into())?;
            put(layout.reg_off, base, argument.reg_off.into())?;
            put(layout.arg_signed, base, argument.arg_signed.into())?;
            put(layout.arg_bitshift, base, argument.arg_bitshift.into())?;
            if let (Some([register, scale]), Some((index, power))) = (layout.index, argument.index) {
                put(register, base, index.into())?;
                put(scale, base, power.into())?;
            }
            base = base.saturating_add(self.stride);
        }
        put(self.cookie, 0, cookie)?;
        put(self.arg_cnt, 0, arguments.len() as u64)?;
        Ok(bytes)
    }
}

impl Field {
    /// Writes a number. The field's structure is `base` bits from the start of `bytes`.
    fn put(self, bytes: &mut [u8], base: u32, value: u64, order: Order) -> Result<(), String> {
        let Self { name, offset, bits } = self;
        if bits < 64 && value >> bits != 0 {
            return Err(format!("the member `{name}` of libbpf's layout has {bits} bits, too few for {value:#x}"));
        }
        for bit in 0..bits {
            let from_start = match order {
                Order::Little => bit,
                Order::Big => bits - 1 - bit,
            };
            let at = u64::from(base) + u64::from(offset) + u64::from(from_start);
            let mask = match order {
                Order::Little => 1 << (at % 8),
                Order::Big => 0x80 >> (at % 8),
            };
            let byte = usize::try_from(at / 8).ok().and_then(|at| bytes.get_mut(at));
            let byte = byte.ok_or_else(|| format!("the member `{name}` of libbpf's layout is outside its value"))?;
            *byte = if value >> bit & 1 == 1 { *byte | mask } else { *byte & !mask };
        }
        Ok(())
    }
}

/// Returns the structure that a type is.
fn structure<'b>(btf: &'b Btf<'_>, id: u32, verb: &str) -> Result<Type<'b>, String> {
    let ty = btf.resolve(id).filter(|ty| ty.kind() == Kind::Struct);
    ty.ok_or_else(|| {
        format!("{verb} a type that is not a structure, and libbpf's usdt.bpf.h has `struct __bpf_usdt_spec`")
    })
}

fn required(btf: &Btf<'_>, ty: Type<'_>, name: &'static str) -> Result<Field, String> {
    optional(btf, ty, name)?.ok_or_else(|| lacks(ty, name))
}

/// Finds a number among the members of a structure. `Ok(None)` if it has no such member.
fn optional(btf: &Btf<'_>, ty: Type<'_>, name: &'static str) -> Result<Option<Field>, String> {
    let Some(member) = ty.members().find(|member| member.name == name.as_bytes()) else { return Ok(None) };
    let number = btf.resolve(member.type_id).is_some_and(|ty| ty.kind() == Kind::Int || ty.kind().is_enum());
    match btf.bits_of(member).filter(|_| number) {
        Some((offset, bits @ 1..=64)) if u64::from(offset) + u64::from(bits) <= u64::from(ty.size()) * 8 => {
            Ok(Some(Field { name, offset, bits }))
        }
        _ => Err(format!("have a member `{name}` in `{}` that is not a number of up to 64 bits within it", ty.name())),
    }
}

fn lacks(ty: Type<'_>, name: &str) -> String {
    format!(
        "have a type `{}` without the member `{name}`, so it is not one of libbpf's usdt.bpf.h (1.0 to 1.7)",
        ty.name()
    )
}

#[cfg(test)]
mod tests;
