//! The marks: a byte for each basic block of an object, and the instructions that set it.
//!
//! ```text
//!     r0 = &marks[17] ll                    *(u64 *)(r10 - 40) = r9
//!     *(u8 *)(r0 + 0) = 1                   r9 = &marks[17] ll
//!                                           *(u8 *)(r9 + 0) = 1
//!                                           r9 = *(u64 *)(r10 - 40)
//!     a register is dead                    all registers are live
//! ```
//!
//! A store of a constant is enough: all CPUs store the same byte, so no mark is lost, and it needs no atomic operation.

use cutaway_sys::{Instruction, instruction::opcode};

use super::{
    blocks::{Block, blocks},
    liveness::Liveness,
    needless::needless,
    scratch::free_slot,
};
use crate::{
    Error, Object,
    elf::Start,
    instrument::{code::by_slot, insertions::Insertions, map::load_address},
    link::Linked,
    sorted::Sorted,
};

/// The registers that a mark may overwrite, in order of preference. Calls overwrite r0 to r5, so the address of a mark
/// does not stay in them for long. It would make otherwise equal states differ before Linux 6.16, whose verifier
/// knows the dead registers of loops.
const PREFERRED: [u8; 10] = [0, 1, 2, 3, 4, 5, 9, 8, 7, 6];

/// The register that a mark saves if all are live. Only instructions that name it read it, so it has been written:
/// no call has it as an argument.
const SAVED: u8 = 9;

/// The marks of an object.
#[derive(Debug)]
pub(in crate::instrument) struct Marks {
    functions: Sorted<Start, FunctionMarks>,
    length: usize,
}

/// The marks of one function.
#[derive(Debug)]
pub(in crate::instrument) struct FunctionMarks {
    /// The basic blocks, or the reason why the function cannot be marked.
    pub(in crate::instrument) blocks: Result<Vec<Block>, String>,
    /// The index of the first block's byte. The bytes of the others follow.
    pub(in crate::instrument) first: usize,
    /// The number of slots.
    slots: usize,
    /// For each block whether it gets no mark, because the marks of other blocks stand for it.
    needless: Vec<bool>,
}

/// The blocks of one program without a mark: those that need none, because [`inferred`](super::inference::inferred)
/// finds out whether they ran, and those that could not be marked. Indices of functions in [`Object::function_table`],
/// each with the index of a block.
pub(in crate::instrument) type Unmarked = Vec<(usize, usize)>;

impl Marks {
    /// Assigns the marks of an object.
    pub(in crate::instrument) fn of(object: &Object) -> Self {
        Self::of_functions(
            object.function_table().iter().map(|(start, function)| (*start, function.instructions.as_slice())),
        )
    }

    /// Assigns the marks of functions, which are sorted.
    pub(super) fn of_functions<'a>(functions: impl Iterator<Item = (Start, &'a [Instruction])>) -> Self {
        let mut length = 0;
        let marks = functions.map(|(start, code)| {
            let blocks = blocks(code);
            let first = length;
            length += blocks.as_ref().map_or(0, Vec::len);
            let needless = blocks.as_ref().map_or_else(|_| Vec::new(), |blocks| needless(blocks));
            (start, FunctionMarks { blocks, first, slots: code.len(), needless })
        });
        let functions = Sorted::in_order(marks.collect());
        Self { functions, length }
    }

    /// Returns the index of the function that starts there; `None` if the object has no such function.
    pub(in crate::instrument) fn position(&self, function: Start) -> Option<usize> {
        self.functions.position(&function)
    }

    /// Returns the number of marks, each a byte.
    pub(in crate::instrument) fn len(&self) -> usize {
        self.length
    }

    /// Returns the marks of a function, by its index in [`Object::function_table`].
    pub(in crate::instrument) fn function(&self, index: usize) -> Option<&FunctionMarks> {
        self.functions.at(index)
    }

    /// Returns the functions in the order of [`Object::function_table`].
    #[cfg(test)]
    pub(in crate::instrument) fn functions(&self) -> impl ExactSizeIterator<Item = &FunctionMarks> {
        self.functions.iter().map(|(_, marks)| marks)
    }

    /// Inserts the marks of the blocks of a program. Returns the blocks without a mark, except those of functions whose
    /// blocks are unknown. Without `saving`, no mark saves a register on the stack.
    ///
    /// # Errors
    ///
    /// [`Error::Bug`] if the program has functions that the object does not have.
    pub(in crate::instrument) fn insert(
        &self,
        linked: &Linked,
        map_fd: i32,
        saving: bool,
        into: &mut Insertions,
    ) -> Result<Unmarked, Error> {
        let mut unmarked = Vec::new();
        for (start, first_slot) in &linked.functions {
            let unknown = || Error::bug("a linked function differs from the object's");
            let index = self.functions.position(start).ok_or_else(unknown)?;
            let marks = self.functions.at(index).ok_or_else(unknown)?;
            let Ok(blocks) = &marks.blocks else { continue };
            let code = linked.instructions.get(*first_slot..first_slot + marks.slots).ok_or_else(unknown)?;
            let places = Places::of(code, blocks, saving);
            for (number, block) in blocks.iter().enumerate() {
                let is_needless = marks.needless.get(number) == Some(&true);
                let mark = if is_needless { None } else { places.mark(block, map_fd, marks.first + number) };
                match mark {
                    Some((slot, mark)) => into.before(first_slot + slot, mark),
                    None => unmarked.push((index, number)),
                }
            }
        }
        Ok(unmarked)
    }
}

/// The slots where the marks of a function go.
struct Places<'a> {
    code: &'a [Instruction],
    liveness: Liveness,
    free_slot: Option<i16>,
}

impl<'a> Places<'a> {
    fn of(code: &'a [Instruction], blocks: &[Block], saving: bool) -> Self {
        let liveness = Liveness::of(code, blocks);
        let free_slot = if saving { free_slot(code, blocks, &liveness) } else { None };
        Self { code, liveness, free_slot }
    }

    /// Returns the instructions that mark a block, and the slot before which they belong. Returns `None` if all
    /// registers are live and the stack has no free slot.
    fn mark(&self, block: &Block, map_fd: i32, offset: usize) -> Option<(usize, Vec<Instruction>)> {
        let code = self.code.get(block.start..block.end)?;
        // The instructions of a block run together, so each slot in it is as good as the first.
        let dead = by_slot(code).find_map(|(slot, _)| {
            let live = self.liveness.before(block.start + slot);
            PREFERRED.into_iter().find(|&register| !live.has(register)).map(|register| (block.start + slot, register))
        });
        if let Some((slot, register)) = dead {
            return Some((slot, mark(register, map_fd, offset)?));
        }
        let saved = self.free_slot?;
        let (store, load) = (opcode::STX | opcode::MEM | opcode::SIZE_DW, opcode::LDX | opcode::MEM | opcode::SIZE_DW);
        let mut code = vec![Instruction::new(store, 10, SAVED, saved, 0)];
        code.extend(mark(SAVED, map_fd, offset)?);
        code.push(Instruction::new(load, SAVED, 10, saved, 0));
        Some((block.start, code))
    }
}

/// Returns the instructions that set the byte at `offset`. Returns `None` if it is beyond the size of any map.
fn mark(register: u8, map_fd: i32, offset: usize) -> Option<Vec<Instruction>> {
    let [first, second] = load_address(register, map_fd, u32::try_from(offset).ok()?);
    let store = Instruction::new(opcode::ST | opcode::MEM | opcode::SIZE_B, register, 0, 0, 1);
    Some(vec![first, second, store])
}

#[cfg(test)]
mod tests;
