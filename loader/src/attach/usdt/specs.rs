//! Encodes the arguments of a probe as `usdt.bpf.h` of libbpf reads them (`struct __bpf_usdt_spec`).
//!
//! ```text
//!     args[12]  value or distance u64 │ how u8 … │ register i16 │ signed u8 │ shift u8      16 bytes each
//!     cookie    u64                                                                         the user's own
//!     arg_cnt   i16
//! ```

use super::arguments::{ArgLocation, Argument};
use crate::{
    Error,
    program::{SpecsInUse, UsdtSpecs},
};

use super::super::detach::Detach;

/// Size of `struct __bpf_usdt_arg_spec`.
const ARGUMENT: usize = 16;
/// Bytes after the arguments: the cookie, the number of arguments, and padding.
const BEHIND: usize = 16;

impl Detach for SpecsInUse {
    fn keep(&self) {
        Self::keep(self);
    }
}

/// Encodes the arguments of one site, with the caller's cookie, as a value of the map `__bpf_usdt_specs`.
pub(super) fn encode(specs: &UsdtSpecs, arguments: &[Argument], cookie: u64) -> Result<Vec<u8>, Error> {
    let size = specs.map().value_size();
    let room = size.checked_sub(BEHIND).filter(|room| room.is_multiple_of(ARGUMENT)).map(|room| room / ARGUMENT);
    let room = room.ok_or_else(|| {
        specs.unfit(format!(
            "the values of its map `{}` have {size} bytes, which is not libbpf's layout",
            specs.map().name()
        ))
    })?;
    if arguments.len() > room {
        let count = arguments.len();
        return Err(specs.unfit(format!("the probe has {count} arguments, and libbpf's layout has room for {room}")));
    }
    let mut bytes: Vec<u8> = arguments.iter().flat_map(argument).collect();
    bytes.resize(room * ARGUMENT, 0);
    bytes.extend(cookie.to_ne_bytes());
    bytes.extend((arguments.len() as u16).to_ne_bytes());
    bytes.resize(size, 0);
    Ok(bytes)
}

/// Encodes `struct __bpf_usdt_arg_spec`. Since libbpf 1.7 the 32-bit `arg_type` word holds `arg_type:8`,
/// `idx_reg_off:12` and `scale_bitshift:4`. Older headers read the whole word as `arg_type`, do not recognize it, and
/// `bpf_usdt_arg()` fails.
fn argument(argument: &Argument) -> [u8; ARGUMENT] {
    const CONSTANT: u32 = 0;
    const REGISTER: u32 = 1;
    const MEMORY: u32 = 2;
    const MEMORY_INDEXED: u32 = 3;
    /// `bpf_usdt_arg()` returns EINVAL.
    const NONE: u32 = 0xff;
    let (value, how, register) = match argument.location {
        ArgLocation::Constant(value) => (value, CONSTANT, 0),
        ArgLocation::Register(register) => (0, REGISTER, register),
        ArgLocation::Memory { base, distance, index: None } => (distance, MEMORY, base),
        ArgLocation::Memory { base, distance, index: Some((index, power)) } => {
            (distance, MEMORY_INDEXED | index_bits(index, power, cfg!(target_endian = "little")), base)
        }
        ArgLocation::Unreadable => (0, NONE, 0),
    };
    let mut bytes = [0; ARGUMENT];
    let shift = 64 - argument.size * 8;
    let parts = value.to_ne_bytes().into_iter().chain(how.to_ne_bytes()).chain(register.to_ne_bytes());
    for (byte, part) in bytes.iter_mut().zip(parts.chain([u8::from(argument.signed), shift])) {
        *byte = part;
    }
    bytes
}

/// Returns `idx_reg_off:12` and `scale_bitshift:4`, which follow `arg_type:8` on little-endian machines. On big-endian
/// ones, where a structure's first bitfield has the highest bits, the header declares the four fields in reverse.
fn index_bits(index: u16, power: u8, little_endian: bool) -> u32 {
    match little_endian {
        true => u32::from(index) << 8 | u32::from(power) << 20,
        false => u32::from(power) << 8 | u32::from(index) << 12,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn index_has_its_bits_in_both_byte_orders() {
        // One word: `arg_type` is its lowest byte in both orders.
        assert_eq!((3 | index_bits(0x50, 3, true)).to_le_bytes(), [3, 0x50, 0x30, 0]);
        assert_eq!((3 | index_bits(0x50, 3, false)).to_be_bytes(), [0, 0x05, 0x03, 3]);
    }

    #[test]
    #[cfg(target_endian = "big")]
    fn register_has_the_form_of_big_endian_libbpf() {
        let register = Argument { location: ArgLocation::Register(0x28), size: 4, signed: true };
        assert_eq!(argument(&register), [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0x28, 1, 32]);
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn arguments_have_libbpfs_form() {
        let memory = ArgLocation::Memory { base: 0x20, distance: -2, index: Some((0x50, 3)) };
        assert_eq!(
            argument(&Argument { location: memory, size: 4, signed: true }),
            [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 3, 0x50, 0x30, 0, 0x20, 0, 1, 32]
        );
        let constant = Argument { location: ArgLocation::Constant(7), size: 8, signed: false };
        assert_eq!(argument(&constant), [7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        let register = Argument { location: ArgLocation::Register(0x50), size: 1, signed: false };
        assert_eq!(argument(&register), [0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0x50, 0, 0, 56]);
    }
}
