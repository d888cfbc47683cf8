//! Inserts instructions into a linked program, and corrects everything that counts instructions.
//!
//! ```text
//!      before(3, [a, b])                             after(1, [c])
//!
//!      0                                             0
//!      1  if r1 == 0 goto 3 ──┐                      1  call reserve
//!      2                      ▼                         c             only control that falls through from 1
//!         a   b               jumps to 3 lead here   2  ◀──────────── jumps to 2 lead here
//!      3
//! ```
//!
//! These count instructions, and are corrected: the distances of jumps, of `may_goto`, of calls of subprograms and of
//! loads of their addresses; `func_info` and `line_info`; the starts of the functions. A line that began at an
//! instruction begins at the instructions inserted before it, because the kernel wants a line at the first instruction
//! of each function.
//!
//! **Long distances.** All jumps but one encode the distance in 16 bits. A jump whose distance becomes too long turns
//! into one with 32 bits, `gotol` (Linux 6.6). A condition then jumps to such a jump:
//!
//! ```text
//!      if r1 == 0 goto far         ─▶        if r1 == 0 goto +1
//!                                            goto +1
//!                                            gotol far
//! ```
//!
//! A program with `gotox` is refused: its tables are maps of instruction numbers, which programs share.

use std::collections::{BTreeMap, BTreeSet};

use cutaway_sys::{Instruction, instruction::opcode};

use super::code::{self, Encoding, Flow, JUMP, LONG_JUMP};
use crate::{
    Error,
    link::{Linked, MAX_INSNS},
    sorted::sort,
};

/// Instructions to insert into one linked program. Slots are those of the linked program.
#[derive(Debug, Clone, Default)]
pub(super) struct Insertions {
    before: BTreeMap<usize, Vec<Instruction>>,
    after: BTreeMap<usize, Vec<Instruction>>,
}

impl Insertions {
    /// Inserts `code` before the instruction at `slot`. It runs whenever control reaches `slot`, by a jump or call too.
    ///
    /// `code` may jump only within itself and to its end.
    pub(super) fn before(&mut self, slot: usize, code: impl IntoIterator<Item = Instruction>) {
        self.before.entry(slot).or_default().extend(code);
    }

    /// Inserts `code` after the instruction at `slot`. It runs only if control falls through from that instruction.
    ///
    /// `code` may jump only within itself and to its end.
    pub(super) fn after(&mut self, slot: usize, code: impl IntoIterator<Item = Instruction>) {
        self.after.entry(slot).or_default().extend(code);
    }

    /// Returns whether nothing is to be inserted.
    pub(super) fn is_empty(&self) -> bool {
        self.before.is_empty() && self.after.is_empty()
    }

    /// Returns the insertions, ascending by slot: the slot, whether they are inserted before it, and the instructions.
    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, bool, &[Instruction])> {
        let before = self.before.iter().map(|(slot, code)| (*slot, true, code.as_slice()));
        let after = self.after.iter().map(|(slot, code)| (*slot, false, code.as_slice()));
        let mut all: Vec<_> = before.chain(after).collect();
        sort(&mut all, |one, other| (one.0, !one.1).cmp(&(other.0, !other.1)));
        all.into_iter()
    }

    /// Returns the program with the insertions. Without insertions, the result is the program itself.
    ///
    /// # Errors
    ///
    /// [`Error::Object`] if the program has `gotox`, if a jump leads out of it, if it becomes longer than a million
    /// instructions, or if a slot is in the middle of an instruction.
    pub(super) fn apply(&self, linked: &Linked) -> Result<Linked, Error> {
        if self.is_empty() {
            return Ok(linked.clone());
        }
        let instructions: Vec<_> = code::by_slot(&linked.instructions).collect();
        if instructions.iter().any(|&(slot, insn)| code::flow(slot, insn) == Flow::Table) {
            return Err(refused("it has `gotox`, whose tables are maps of instruction numbers"));
        }
        let starts: BTreeSet<usize> = instructions.iter().map(|(slot, _)| *slot).collect();
        if let Some(slot) = self.before.keys().chain(self.after.keys()).find(|slot| !starts.contains(slot)) {
            return Err(refused(&format!("no instruction starts at {slot}")));
        }
        let (long, layout) = self.layout(&instructions, linked.instructions.len())?;
        if layout.length > MAX_INSNS {
            return Err(refused(&format!("it would have more than {MAX_INSNS} instructions")));
        }
        self.write(linked, &instructions, &layout, &long)
    }

    /// Finds the jumps that must get 32 bits, and the new slots of all instructions.
    fn layout(&self, instructions: &[(usize, Instruction)], slots: usize) -> Result<(BTreeSet<usize>, Layout), Error> {
        // Longer jumps move other instructions, so more jumps can become too long, and in a hostile program only one
        // in each round. After some rounds a jump counts as too long if it would be with all jumps lengthened that it
        // spans.
        const ROUNDS: usize = 4;
        let is_short = |&(slot, insn): &(usize, Instruction)| match code::reference(slot, insn) {
            Some((target, Encoding::Offset)) => Some((slot, target)),
            _ => None,
        };
        let jumps: Vec<_> = instructions.iter().filter_map(is_short).collect();
        let mut long = BTreeSet::new();
        for round in 0.. {
            let layout = Layout::of(self, instructions, slots, &long);
            let known = long.len();
            for &(slot, target) in &jumps {
                let spanned = || {
                    let before = |end: i64| jumps.partition_point(|(slot, _)| (*slot as i64) < end);
                    before(target).abs_diff(before(slot as i64)) + 1
                };
                let growth = if round < ROUNDS { 0 } else { 2 * spanned() as i64 };
                if i16::try_from(layout.distance(slot, target)?.abs() + growth).is_err() {
                    long.insert(slot);
                }
            }
            if long.len() == known {
                return Ok((long, layout));
            }
        }
        Err(Error::bug("the search for long jumps has ended"))
    }

    /// Writes the program in its new layout.
    fn write(
        &self,
        linked: &Linked,
        instructions: &[(usize, Instruction)],
        layout: &Layout,
        long: &BTreeSet<usize>,
    ) -> Result<Linked, Error> {
        let mut written = Vec::with_capacity(layout.length);
        for &(slot, insn) in instructions {
            written.extend(self.before.get(&slot).into_iter().flatten());
            match code::reference(slot, insn) {
                None => written.push(insn),
                Some((target, encoding)) => {
                    let distance = layout.distance(slot, target)?;
                    write_reference(insn, encoding, distance, long.contains(&slot), &mut written)?;
                }
            }
            if insn.slots() == 2 {
                written.extend(linked.instructions.get(slot + 1));
            }
            written.extend(self.after.get(&slot).into_iter().flatten());
        }
        if written.len() != layout.length {
            return Err(Error::bug("inserted instructions do not fit their layout"));
        }
        let moved = |slot: u32| layout.entry(i64::from(slot)).map(|slot| slot as u32);
        let mut result = Linked { instructions: written, ..linked.clone() };
        for info in &mut result.func_info {
            info.insn_off = moved(info.insn_off)?;
        }
        for info in &mut result.line_info {
            info.insn_off = moved(info.insn_off)?;
        }
        for (_, start) in &mut result.functions {
            *start = layout.entry(*start as i64)?;
        }
        Ok(result)
    }
}

/// The new slots of instructions, by their slots in the linked program.
struct Layout {
    /// Where the instructions inserted before it begin. The last entry is the program's end.
    entries: Vec<usize>,
    /// Where the instruction itself begins.
    places: Vec<usize>,
    length: usize,
}

impl Layout {
    fn of(
        insertions: &Insertions,
        instructions: &[(usize, Instruction)],
        slots: usize,
        long: &BTreeSet<usize>,
    ) -> Self {
        let inserted = |at: &BTreeMap<usize, Vec<Instruction>>, slot: usize| at.get(&slot).map_or(0, Vec::len);
        let (mut entries, mut places) = (Vec::with_capacity(slots + 1), Vec::with_capacity(slots + 1));
        let mut next = 0;
        for &(slot, insn) in instructions {
            entries.push(next);
            next += inserted(&insertions.before, slot);
            places.push(next);
            if insn.slots() == 2 && slot + 1 < slots {
                // Nothing refers to the second slot, except records that the kernel refuses.
                entries.push(next + 1);
                places.push(next + 1);
                next += 1;
            }
            next += if long.contains(&slot) && insn.code != JUMP { 3 } else { 1 };
            next += inserted(&insertions.after, slot);
        }
        entries.push(next);
        places.push(next);
        Self { entries, places, length: next }
    }

    /// Returns the new slot that control reaches when it is led to `slot`.
    fn entry(&self, slot: i64) -> Result<usize, Error> {
        let entry = usize::try_from(slot).ok().and_then(|slot| self.entries.get(slot));
        entry.copied().ok_or_else(|| refused(&format!("an instruction refers to {slot}, outside the program")))
    }

    /// Returns the distance from the instruction after the one at `slot` to `target`.
    fn distance(&self, slot: usize, target: i64) -> Result<i64, Error> {
        let place = self.places.get(slot).ok_or_else(|| Error::bug("an instruction has no new slot"))?;
        Ok(self.entry(target)? as i64 - *place as i64 - 1)
    }
}

/// Appends an instruction that refers to another one, `distance` slots after the next one.
fn write_reference(
    insn: Instruction,
    encoding: Encoding,
    distance: i64,
    long: bool,
    to: &mut Vec<Instruction>,
) -> Result<(), Error> {
    let immediate = |distance: i64| i32::try_from(distance).map_err(|_| refused("a distance exceeds 32 bits"));
    let gotol = |distance: i64| immediate(distance).map(|imm| Instruction::new(LONG_JUMP, 0, 0, 0, imm));
    match encoding {
        Encoding::Immediate | Encoding::Call | Encoding::Address => to.push(insn.with_imm(immediate(distance)?)),
        Encoding::Offset if !long => {
            let offset = i16::try_from(distance).map_err(|_| Error::bug("a short jump is too long"))?;
            to.push(insn.with_code_and_offset(insn.code, offset));
        }
        Encoding::Offset if insn.code == JUMP => to.push(gotol(distance)?),
        Encoding::Offset => {
            to.push(insn.with_code_and_offset(insn.code, 1));
            to.push(Instruction::new(opcode::JMP | opcode::JA, 0, 0, 1, 0));
            to.push(gotol(distance - 2)?);
        }
    }
    Ok(())
}

fn refused(why: &str) -> Error {
    Error::Object { why: format!("instructions cannot be inserted into the program: {why}") }
}

#[cfg(test)]
mod tests;
