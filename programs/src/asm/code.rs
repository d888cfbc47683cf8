//! Finishing: labels become distances.

use super::{Assembler, At, Reference};
use crate::{
    error::Error,
    handle::Label,
    instruction::{ByteOrder, Instruction, SLOT},
};

/// An instruction, what it refers to, and the Rust line it came from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Statement {
    pub(crate) instruction: Instruction,
    pub(crate) reference: Option<Reference>,
    pub(crate) at: At,
}

/// A finished function: every jump knows its distance. What only a linker can know, the places of maps, variables and other
/// functions, is still open.
#[derive(Clone, Debug)]
pub struct Code {
    statements: Vec<Statement>,
    /// The labels in the order of their making: the statement that each stands in front of, and its name.
    labels: Vec<(usize, &'static str)>,
    /// A label that is jumped to but has no instruction after it.
    pub(crate) open_end: Option<At>,
}

impl Code {
    /// The instructions in order.
    pub fn instructions(&self) -> impl ExactSizeIterator<Item = &Instruction> {
        self.statements.iter().map(|statement| &statement.instruction)
    }

    /// The instructions as bytes, eight for each slot.
    pub fn encode(&self, order: ByteOrder) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.slots() * SLOT);
        for instruction in self.instructions() {
            instruction.encode(order, &mut bytes);
        }
        bytes
    }

    /// Its length in slots of eight bytes.
    pub fn slots(&self) -> usize {
        self.instructions().map(Instruction::slots).sum()
    }

    /// The statements, each with the slot that it begins at.
    pub(crate) fn statements(&self) -> impl Iterator<Item = (usize, &Statement)> {
        self.statements.iter().scan(0, |next, statement| {
            let slot = *next;
            *next += statement.instruction.slots();
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
    /// [`Error::LabelUnbound`], [`Error::LabelBoundTwice`], [`Error::ForeignLabel`] and [`Error::JumpTooFar`]; each names the
    /// label and the Rust line.
    pub fn finish(self) -> Result<Code, Error> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }

        // Where each statement begins, and behind the last one, where the function ends.
        let mut starts = vec![0];
        for statement in &self.statements {
            let last = starts.last().copied().unwrap_or_default();
            starts.push(last + statement.instruction.slots() as i64);
        }

        let mut statements = self.statements.clone();
        let mut open_end = None;
        for (statement, end) in statements.iter_mut().zip(starts.iter().skip(1)) {
            let (Some(Reference::Jump(label)) | Some(Reference::LongJump(label))) = statement.reference else {
                continue;
            };
            let (target, bound_at) = self.target(label, statement.at)?;
            if target == self.statements.len() {
                open_end.get_or_insert(bound_at);
            }
            // A distance counts from the next instruction.
            let distance = starts.get(target).copied().unwrap_or_default() - end;
            let too_far = |_| Error::JumpTooFar { label: label.name, distance, at: statement.at };
            if let Some(Reference::LongJump(_)) = statement.reference {
                statement.instruction.imm = i32::try_from(distance).map_err(too_far)?;
            } else {
                statement.instruction.offset = i16::try_from(distance).map_err(too_far)?;
            }
        }

        let mut labels = Vec::with_capacity(self.labels.len());
        for label in self.labels {
            let unbound = Error::LabelUnbound { label: label.name, at: label.created };
            let (index, _) = label.bound.ok_or(unbound)?;
            labels.push((index, label.name));
        }

        Ok(Code { statements, labels, open_end })
    }

    /// The statement that a label stands in front of, and the line that bound it.
    fn target(&self, label: Label, at: At) -> Result<(usize, At), Error> {
        let own = label.owner == self.owner;
        let state = self.labels.get(label.index).filter(|_| own);
        let state = state.ok_or(Error::ForeignLabel { label: label.name, at })?;
        state.bound.ok_or(Error::LabelUnbound { label: label.name, at })
    }
}
