//! Jumps, calls and `exit`.

use cutaway_sys::Helper;
use cutaway_sys::{Instruction, instruction::opcode::*};

use super::{Assembler, Reference};
use crate::{
    handle::{FunctionRef, Label},
    register::{Operand, Register, Value, Width},
};

/// The condition of a conditional jump. The `S` of the signed ones comes first, as in the kernel's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Condition {
    /// `==`
    Eq = 0x10,
    /// `>`, unsigned.
    Gt = 0x20,
    /// `>=`, unsigned.
    Ge = 0x30,
    /// `&`: any bit of the second operand is set in the first.
    Set = 0x40,
    /// `!=`
    Ne = 0x50,
    /// `>`, signed.
    Sgt = 0x60,
    /// `>=`, signed.
    Sge = 0x70,
    /// `<`, unsigned.
    Lt = 0xa0,
    /// `<=`, unsigned.
    Le = 0xb0,
    /// `<`, signed.
    Slt = 0xc0,
    /// `<=`, signed.
    Sle = 0xd0,
}

impl Assembler {
    /// Appends `goto label`, which reaches at most 32,767 slots forwards or 32,768 backwards.
    #[track_caller]
    pub fn jump(&mut self, label: Label) {
        let instruction = Instruction::new(JMP | JA, 0, 0, 0, 0);
        self.push_reference(instruction, Some(Reference::Jump(label)));
    }

    /// Appends `gotol label`, a jump of any distance. Needs Linux 6.6.
    #[track_caller]
    pub fn jump_long(&mut self, label: Label) {
        let instruction = Instruction::new(JMP32 | JA, 0, 0, 0, 0);
        self.push_reference(instruction, Some(Reference::LongJump(label)));
    }

    /// Appends `if left == right goto label`, or the same with another [condition](Condition). Compares whole registers
    /// or lower halves, depending on the type of its operands.
    #[track_caller]
    pub fn jump_if<L: Register>(&mut self, condition: Condition, left: L, right: impl Operand<L::Width>, label: Label) {
        let _ = left;
        let code = L::Width::JMP | condition as u8;
        let instruction = match right.value() {
            Value::Register(right) => Instruction::new(code | X, L::NUMBER, right, 0, 0),
            Value::Immediate(imm) => Instruction::new(code | K, L::NUMBER, 0, 0, imm),
        };
        self.push_reference(instruction, Some(Reference::Jump(label)));
    }

    /// Calls a kernel helper. Its arguments are `R1` to `R5`, which it destroys; the return value is in `R0`.
    #[track_caller]
    pub fn call(&mut self, helper: Helper) {
        self.push(Instruction::new(JMP | CALL, 0, 0, 0, helper.id()));
    }

    /// Calls a function of the same object. Its arguments are `R1` to `R5`, which it destroys; the return value is in
    /// `R0`.
    #[track_caller]
    pub fn call_function(&mut self, function: FunctionRef) {
        // The linker adds the distance to the function. It starts at -1 because distances count from the next
        // instruction.
        let instruction = Instruction::new(JMP | CALL, 0, PSEUDO_CALL, 0, -1);
        self.push_reference(instruction, Some(Reference::Call(function)));
    }

    /// Returns `R0` to the caller, or ends the program with it.
    #[track_caller]
    pub fn exit(&mut self) {
        self.push(Instruction::new(JMP | EXIT, 0, 0, 0, 0));
    }
}
