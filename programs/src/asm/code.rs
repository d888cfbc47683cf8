//! Finished code: labels replaced by distances.

use cutaway_sys::{ByteOrder, Instruction, instruction::Text};

use super::{
    assembler::{Assembler, LabelState},
    statement::{Reference, Statement},
};
use crate::error::{At, Error};

/// A finished function: the distance of every jump is filled in. The addresses of maps, variables and other functions
/// are still open, because only a linker knows them.
#[derive(Clone, Debug)]
pub struct Code {
    statements: Vec<Statement>,
    /// The labels in the order of their creation: the index of the statement that each precedes, and its name.
    labels: Vec<(usize, &'static str)>,
    /// The Rust line that bound a label at the end of the function, if a jump goes to it: no instruction follows it.
    pub(crate) open_end: Option<At>,
}

impl Code {
    /// Returns the function's instruction slots in order. A load of a 64-bit immediate takes two.
    pub fn instructions(&self) -> impl Iterator<Item = Instruction> {
        self.statements.iter().flat_map(|statement| [Some(statement.instruction), statement.second]).flatten()
    }

    /// Returns the text of each instruction in order, as `llvm-objdump` prints it.
    pub fn texts(&self) -> impl Iterator<Item = Text> {
        self.statements.iter().map(Statement::text)
    }

    /// Returns the function as bytes, eight for each slot, in the given byte order.
    pub fn encode(&self, order: ByteOrder) -> Vec<u8> {
        self.instructions().flat_map(|slot| slot.encode(order)).collect()
    }

    /// Returns the function's length in slots of eight bytes.
    pub fn slots(&self) -> usize {
        self.statements.iter().map(Statement::slots).sum()
    }

    /// Returns the statements, each with the index of its first slot.
    pub(crate) fn statements(&self) -> impl Iterator<Item = (usize, &Statement)> {
        self.statements.iter().scan(0, |next, statement| {
            let slot = *next;
            *next += statement.slots();
            Some((slot, statement))
        })
    }

    /// Returns the statements, each with the index of its first slot and the names of the labels in front of it.
    pub(crate) fn labeled(&self) -> impl Iterator<Item = (usize, &Statement, Vec<&'static str>)> {
        let labels_at = |index: usize| {
            let here = self.labels.iter().filter(move |&&(at, _)| at == index);
            here.map(|&(_, name)| name).collect()
        };
        let statements = self.statements().enumerate();
        statements.map(move |(index, (slot, statement))| (slot, statement, labels_at(index)))
    }
}

impl Assembler {
    /// Fills in the distances of all jumps.
    ///
    /// # Errors
    ///
    /// [`Error::LabelUnbound`], [`Error::LabelBoundTwice`], [`Error::ForeignLabel`] and [`Error::JumpTooFar`]. Each
    /// names the label and the Rust line.
    pub fn finish(self) -> Result<Code, Error> {
        let Self { owner, mut statements, labels, fault } = self;
        if let Some(fault) = fault {
            return Err(fault);
        }

        // The first slot of each statement; the last entry is the function's end.
        let mut starts = vec![0];
        for statement in &statements {
            let last = starts.last().copied().unwrap_or_default();
            starts.push(last + statement.slots() as i64);
        }

        let (count, mut open_end) = (statements.len(), None);
        for (statement, end) in statements.iter_mut().zip(starts.iter().skip(1)) {
            let Statement { instruction, reference, at, .. } = statement;
            let (Some(Reference::Jump(label)) | Some(Reference::LongJump(label))) = *reference else {
                continue;
            };
            let state = labels.get(label.index).filter(|_| label.owner == owner);
            let state = state.ok_or(Error::ForeignLabel { label: label.name, at })?;
            let (target, bound_at) = state.bound.ok_or(Error::LabelUnbound { label: label.name, at })?;
            if target == count {
                open_end.get_or_insert(bound_at);
            }
            // A distance counts from the instruction after the jump.
            let distance = starts.get(target).copied().unwrap_or_default() - end;
            let too_far = |_| Error::JumpTooFar { label: label.name, distance, at };
            if let Some(Reference::LongJump(_)) = reference {
                instruction.imm = i32::try_from(distance).map_err(too_far)?;
            } else {
                instruction.offset = i16::try_from(distance).map_err(too_far)?;
            }
        }

        let labels = labels.into_iter().map(|LabelState { name, created, bound }| match bound {
            Some((statement, _)) => Ok((statement, name)),
            None => Err(Error::LabelUnbound { label: name, at: created }),
        });
        Ok(Code { statements, labels: labels.collect::<Result<_, _>>()?, open_end })
    }
}
