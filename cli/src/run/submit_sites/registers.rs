//! The values of registers, as far as they are known: constants, addresses of maps, map values, reserved records.

use cutaway::{Helper, Instruction, instruction::opcode};

use super::code::Code;

/// The value of a register.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RegValue<'f> {
    Unknown,
    Number(i64),
    /// The address of the map or data with this name.
    Symbol(&'f str),
    /// The result of a lookup in the map with this name: the address of a value, or null.
    Value(&'f str),
    /// The result of a reservation in the ring with this name: the address of a record, or null.
    Record(&'f str),
}

const REGISTERS: usize = 11;

const MOV_IMM: u8 = opcode::MOV | opcode::K;
const MOV_REG: u8 = opcode::MOV | opcode::X;

/// The registers r0 to r10.
#[derive(Debug, Clone, Copy)]
pub(super) struct Registers<'f>([RegValue<'f>; REGISTERS]);

impl<'f> Registers<'f> {
    /// Returns registers with unknown values.
    pub(super) fn unknown() -> Self {
        Self([RegValue::Unknown; REGISTERS])
    }

    /// Returns the value of a register by its number.
    pub(super) fn get(&self, number: u8) -> RegValue<'f> {
        self.0.get(usize::from(number)).copied().unwrap_or(RegValue::Unknown)
    }

    /// Updates the registers by the instruction at `slot` of `function`.
    pub(super) fn step(&mut self, slot: usize, instruction: &Instruction, function: &'f Code) {
        let (code, dst, src, imm) = (instruction.code, instruction.dst(), instruction.src(), instruction.imm);
        let operation = code & !0x07;
        let result = match instruction.class() {
            opcode::LD if instruction.is_load_imm64() => {
                let symbol = function.symbols.iter().find(|(at, _)| *at == slot);
                let high = function.instructions.get(slot + 1).map_or(0, |next| i64::from(next.imm));
                let number = RegValue::Number(high << 32 | i64::from(imm.cast_unsigned()));
                symbol.map_or(number, |(_, name)| RegValue::Symbol(name))
            }
            opcode::LD | opcode::LDX => RegValue::Unknown,
            // Moves of 64 and 32 bits. A move with an offset sign-extends, so its result is unknown.
            opcode::ALU64 if operation == MOV_IMM => RegValue::Number(imm.into()),
            opcode::ALU if operation == MOV_IMM => RegValue::Number(imm.cast_unsigned().into()),
            opcode::ALU64 if operation == MOV_REG && instruction.offset == 0 => self.get(src),
            opcode::ALU if operation == MOV_REG && instruction.offset == 0 => match self.get(src) {
                RegValue::Number(number) => RegValue::Number(number & 0xffff_ffff),
                _ => RegValue::Unknown,
            },
            opcode::ALU | opcode::ALU64 => RegValue::Unknown,
            opcode::JMP if instruction.is_call() => {
                let result = match (helper(instruction), self.get(1)) {
                    (Some(Helper::bpf_map_lookup_elem), RegValue::Symbol(map)) => RegValue::Value(map),
                    (Some(Helper::bpf_ringbuf_reserve), RegValue::Symbol(map)) => RegValue::Record(map),
                    _ => RegValue::Unknown,
                };
                if let Some(lost) = self.0.get_mut(..=5) {
                    lost.fill(RegValue::Unknown);
                }
                if let Some(first) = self.0.first_mut() {
                    *first = result;
                }
                return;
            }
            // An atomic instruction may return the old value: in its source, in r0, or in its destination if it is a
            // load.
            opcode::STX => {
                for number in [src, dst, 0] {
                    if let Some(register) = self.0.get_mut(usize::from(number)).filter(|_| code & 0xe0 == 0xc0) {
                        *register = RegValue::Unknown;
                    }
                }
                return;
            }
            _ => return,
        };
        if let Some(register) = self.0.get_mut(usize::from(dst)) {
            *register = result;
        }
    }
}

/// Returns the helper that an instruction calls by its id.
pub(super) fn helper(instruction: &Instruction) -> Option<Helper> {
    (instruction.is_call() && instruction.src() == 0).then(|| Helper::from_id(instruction.imm)).flatten()
}
