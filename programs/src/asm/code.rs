//! Finishing: labels become distances.

use cutaway_sys::{ByteOrder, Instruction, instruction::Text};

use super::{
    assembler::{Assembler, LabelState},
    statement::{Reference, Statement},
};
use crate::error::{At, Error};

/// A finished function: every jump knows its distance. What only a linker can know, the addresses of maps, variables
/// and other functions, is still open.
#[derive(Clone, Debug)]
pub struct Code {
    statements: Vec<Statement>,
    /// The labels in the order of their making: the statement that each stands in front of, and its name.
    labels: Vec<(usize, &'static str)>,
    /// A label that is jumped to but has no instruction after it.
    pub(crate) open_end: Option<At>,
}

impl Code {
    /// Returns the function's slots in order. A load of a 64-bit immediate takes two.
    pub fn instructions(&self) -> impl Iterator<Item = Instruction> {
        self.statements.iter().flat_map(|statement| [Some(statement.instruction), statement.second]).flatten()
    }

    /// Returns the text of each instruction in order, as `llvm-objdump` prints it.
    pub fn texts(&self) -> impl Iterator<Item = Text> {
        self.statements.iter().map(Statement::text)
    }

    /// Returns the function as bytes, eight for each slot.
    pub fn encode(&self, order: ByteOrder) -> Vec<u8> {
        self.instructions().flat_map(|slot| slot.encode(order)).collect()
    }

    /// Returns the function's length in slots of eight bytes.
    pub fn slots(&self) -> usize {
        self.statements.iter().map(Statement::slots).sum()
    }

    /// The statements, each with the slot that it begins at.
    pub(crate) fn statements(&self) -> impl Iterator<Item = (usize, &Statement)> {
        self.statements.iter().scan(0, |next, statement| {
            let slot = *next;
            *next += statement.slots();
            Some((slot, statement))
        })
    }

    /// The statements, each with its slot and the names of the labels in front of it.
    pub(crate) fn labelled(&self) -> impl Iterator<Item = (usize, &Statement, Vec<&'static str>)> {
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
    /// [`Error::LabelUnbound`], [`Error::LabelBoundTwice`], [`Error::ForeignLabel`] and [`Error::JumpTooFar`]; each
    /// names the label and the Rust line.
    pub fn finish(self) -> Result<Code, Error> {
        let Self { owner, mut statements, labels, fault } = self;
        if let Some(fault) = fault {
            return Err(fault);
        }

        // Where each statement begins, and behind the last one, where the function ends.
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
            // A distance counts from the next instruction.
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
