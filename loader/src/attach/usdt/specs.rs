//! Writes the arguments of a probe as `bpf_usdt_arg()` of libbpf's `usdt.bpf.h` reads them.

use super::arguments::{ArgLocation, Argument};
use crate::{
    Error,
    program::{SpecsInUse, UsdtArgument, UsdtSpecs},
};

use super::super::detach::Detach;

/// The values of `enum __bpf_usdt_arg_type`.
mod arg_type {
    pub(super) const CONST: u8 = 0;
    pub(super) const REG: u8 = 1;
    pub(super) const REG_DEREF: u8 = 2;
    pub(super) const SIB: u8 = 3;
    /// `bpf_usdt_arg()` does not know it and returns EINVAL.
    pub(super) const NONE: u8 = 0xff;
}

impl Detach for SpecsInUse {
    fn keep(&self) {
        Self::keep(self);
    }
}

/// Encodes the arguments of one site, with the caller's cookie, as a value of the map `__bpf_usdt_specs`.
pub(super) fn encode(specs: &UsdtSpecs, arguments: &[Argument], cookie: u64) -> Result<Vec<u8>, Error> {
    let layout = specs.layout()?;
    let arguments: Vec<_> = arguments.iter().map(|argument| members(argument, layout.has_index())).collect();
    layout.value(&arguments, cookie).map_err(|why| specs.unfit(why))
}

/// Returns the members of `struct __bpf_usdt_arg_spec`. Without `has_index`, the structure has none for an index
/// register, and such an argument is unreadable.
fn members(argument: &Argument, has_index: bool) -> UsdtArgument {
    let members = UsdtArgument {
        arg_signed: argument.signed,
        arg_bitshift: 64_u8.saturating_sub(argument.size.saturating_mul(8)),
        ..UsdtArgument::default()
    };
    match argument.location {
        ArgLocation::Constant(value) => {
            UsdtArgument { arg_type: arg_type::CONST, val_off: value.cast_unsigned(), ..members }
        }
        ArgLocation::Register(register) => UsdtArgument { arg_type: arg_type::REG, reg_off: register, ..members },
        ArgLocation::Memory { index: Some(_), .. } if !has_index => {
            UsdtArgument { arg_type: arg_type::NONE, ..members }
        }
        ArgLocation::Memory { base, distance, index } => UsdtArgument {
            arg_type: if index.is_some() { arg_type::SIB } else { arg_type::REG_DEREF },
            val_off: distance.cast_unsigned(),
            reg_off: base,
            index,
            ..members
        },
        ArgLocation::Unreadable => UsdtArgument { arg_type: arg_type::NONE, ..members },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(location: ArgLocation, has_index: bool) -> UsdtArgument {
        members(&Argument { location, size: 4, signed: true }, has_index)
    }

    #[test]
    fn locations_become_members() {
        let common = UsdtArgument { arg_signed: true, arg_bitshift: 32, ..UsdtArgument::default() };
        let minus_two = u64::MAX - 1;
        assert_eq!(of(ArgLocation::Constant(-2), false), UsdtArgument { val_off: minus_two, ..common });
        assert_eq!(of(ArgLocation::Register(80), false), UsdtArgument { arg_type: 1, reg_off: 80, ..common });
        let memory = |index| ArgLocation::Memory { base: 32, distance: -2, index };
        let plain = UsdtArgument { arg_type: 2, val_off: minus_two, reg_off: 32, ..common };
        assert_eq!(of(memory(None), false), plain);
        assert_eq!(of(memory(Some((80, 3))), true), UsdtArgument { arg_type: 3, index: Some((80, 3)), ..plain });
        // A header without index registers would read the memory at the base.
        let unreadable = UsdtArgument { arg_type: 0xff, ..common };
        assert_eq!(of(memory(Some((80, 3))), false), unreadable);
        assert_eq!(of(ArgLocation::Unreadable, true), unreadable);
    }

    #[test]
    fn size_becomes_a_shift() {
        for (size, shift) in [(1, 56), (2, 48), (4, 32), (8, 0)] {
            let argument = Argument { location: ArgLocation::Register(0), size, signed: false };
            assert_eq!(members(&argument, true).arg_bitshift, shift);
        }
    }
}
