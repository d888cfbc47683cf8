//! The maps and functions that the instructions of an object refer to.

use cutaway_sys::{Helper, Instruction, instruction::opcode};

use crate::{
    elf::{Elf, Location, Start, Symbol},
    object::{Functions, Object},
    sorted::Sorted,
};

/// The callee of an instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Called {
    Helper(Helper),
    /// A function of the object, by its index in [`Object::function_table`].
    Function(usize),
}

/// The references of an object, resolved as the linker does it.
pub(super) struct References<'o> {
    elf: &'o Elf,
    functions: &'o Functions,
    /// The indices of the maps in [`Object::maps`].
    maps: Sorted<Location, usize>,
}

impl<'o> References<'o> {
    pub(super) fn of(object: &'o Object) -> Self {
        let maps = object.maps().iter().enumerate().map(|(index, map)| (map.location, index));
        Self { elf: object.elf(), functions: object.function_table(), maps: Sorted::of(maps) }
    }

    /// Returns the map whose address a 64-bit load at `slot` loads; `None` if it loads something else.
    pub(super) fn map(&self, start: Start, slot: usize) -> Option<usize> {
        let (number, _) = self.elf.reference(start.0, offset(start, slot))?;
        self.maps.get(&Location::Symbol(number)).copied()
    }

    /// Returns the function whose address a 64-bit load at `slot` loads.
    pub(super) fn function(&self, start: Start, slot: usize, insn: Instruction) -> Option<Start> {
        let (_, symbol) = self.elf.reference(start.0, offset(start, slot))?;
        let section = symbol.section.filter(|section| self.elf.section(*section).executable)?;
        Some((section, symbol.address.wrapping_add_signed(i64::from(insn.imm) / 8 * 8)))
    }

    /// Returns what the instruction at `slot` calls; `None` if it calls nothing, a kernel function, or something
    /// unknown.
    pub(super) fn call(&self, start: Start, slot: usize, insn: Instruction) -> Option<Called> {
        if !insn.is_call() {
            return None;
        }
        let (at, distance) = (offset(start, slot), (i64::from(insn.imm) + 1) * 8);
        let callee = match (self.elf.reference(start.0, at), insn.src()) {
            (Some((_, &Symbol { section: Some(section), address, .. })), _) => {
                (section, address.wrapping_add_signed(distance))
            }
            (Some(_), _) => return None,
            (None, opcode::PSEUDO_CALL) => (start.0, at.wrapping_add_signed(distance)),
            (None, 0) => return Helper::from_id(insn.imm).map(Called::Helper),
            (None, _) => return None,
        };
        self.functions.position(&callee).map(Called::Function)
    }
}

/// Returns the offset of a slot in the function's section, in bytes.
fn offset(start: Start, slot: usize) -> u64 {
    start.1.wrapping_add(slot as u64 * 8)
}
