//! The values of the registers and of the stack, as far as they matter for addresses of maps.
//!
//! The verifier allows the address of a map only in a register, or in 8 aligned bytes of the stack that one store of 8
//! bytes wrote (`check_stack_write_fixed_off`, `kernel/bpf/verifier.c`, Linux 6.18). A store finds these bytes through
//! r10, or through an address computed from r10. So the state also has these addresses. A store through an address that
//! may be one of these, with an unknown offset, may write to any part of the stack.

use cutaway_sys::{Instruction, instruction::opcode};

/// The value of a register or of 8 bytes of the stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value {
    /// The address of the map with this index.
    Map(usize),
    /// r10 plus this many bytes: an address in the stack frame of the function.
    Frame(i32),
    /// Unknown, but not an address in this stack frame.
    Unknown,
    /// Unknown, and possibly an address in this stack frame.
    Anything,
}

impl Value {
    /// Returns the value of a register that has either of these.
    pub(super) fn join(self, other: Self) -> Self {
        match (self, other) {
            (one, other) if one == other => one,
            (one, other) if one.may_be_frame() || other.may_be_frame() => Self::Anything,
            _ => Self::Unknown,
        }
    }

    fn may_be_frame(self) -> bool {
        matches!(self, Self::Frame(_) | Self::Anything)
    }

    /// Returns the sum of the value and a constant.
    fn plus(self, constant: Option<i32>) -> Self {
        match self {
            Self::Frame(offset) => {
                constant.and_then(|constant| offset.checked_add(constant)).map_or(Self::Anything, Self::Frame)
            }
            Self::Map(_) | Self::Unknown => Self::Unknown,
            Self::Anything => Self::Anything,
        }
    }
}

/// The values of r1 to r5 at a function's start.
pub(super) type Parameters = [Value; 5];

/// The addresses of maps that a called function may write to the stack frame of its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Writes {
    Nothing,
    /// Any, if an argument register has an address in the frame.
    ByArgument,
    /// Any.
    Anywhere,
}

/// `MAX_BPF_STACK` (`include/linux/filter.h`): the size of a stack frame in bytes.
const STACK: i32 = 512;

const ATOMIC: u8 = opcode::STX | opcode::ATOMIC;
const MODE: u8 = 0xe0;
const OPERATION: u8 = 0xf0;

/// The values of r0 to r9 and of the stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct State {
    registers: [Value; 10],
    /// The parts of the stack that are not [`Value::Unknown`], 8 bytes each, by their offset from r10, ascending.
    stack: Vec<(i32, Value)>,
}

impl State {
    /// Returns the state at a function's start.
    pub(super) fn at_entry([r1, r2, r3, r4, r5]: Parameters) -> Self {
        let u = Value::Unknown;
        Self { registers: [u, r1, r2, r3, r4, r5, u, u, u, u], stack: Vec::new() }
    }

    /// Returns the state in which nothing is known.
    pub(super) fn anything() -> Self {
        let mut state = Self { registers: [Value::Anything; 10], stack: Vec::new() };
        state.store_anywhere(Value::Anything);
        state
    }

    /// Returns the number of values that the state has.
    pub(super) fn values(&self) -> usize {
        self.registers.len() + self.stack.len()
    }

    /// Returns the value of a register.
    pub(super) fn get(&self, register: u8) -> Value {
        if register == 10 {
            return Value::Frame(0);
        }
        self.registers.get(usize::from(register)).copied().unwrap_or(Value::Anything)
    }

    pub(super) fn set(&mut self, register: u8, value: Value) {
        if let Some(known) = self.registers.get_mut(usize::from(register)) {
            *known = value;
        }
    }

    /// Returns the values of r1 to r5 as a called function sees them.
    pub(super) fn parameters(&self) -> Parameters {
        [1, 2, 3, 4, 5].map(|register| match self.get(register) {
            Value::Map(map) => Value::Map(map),
            _ => Value::Unknown,
        })
    }

    /// Adds the values of another path. Returns whether the state changed.
    pub(super) fn join(&mut self, other: &Self) -> bool {
        let mut joined = self.clone();
        for (known, other) in joined.registers.iter_mut().zip(other.registers) {
            *known = known.join(other);
        }
        joined.stack.clear();
        let (mut ones, mut others) = (self.stack.as_slice(), other.stack.as_slice());
        loop {
            let next = ones.first().into_iter().chain(others.first()).map(|(offset, _)| *offset).min();
            let Some(next) = next else { break };
            let value = take(&mut ones, next).join(take(&mut others, next));
            if value != Value::Unknown {
                joined.stack.push((next, value));
            }
        }
        let changed = joined != *self;
        *self = joined;
        changed
    }

    /// Changes the state by an instruction that is neither a 64-bit load nor a call.
    pub(super) fn step(&mut self, insn: Instruction) {
        let (dst, src, offset) = (insn.dst(), insn.src(), insn.offset);
        match insn.class() {
            // Legacy loads from a packet change the registers that a call changes.
            opcode::LD => self.lose_scratch_registers(),
            opcode::LDX => {
                let loaded = self.load(src, offset, insn.code);
                self.set(dst, loaded);
            }
            opcode::ST => self.store(dst, offset, insn.code, Value::Unknown),
            opcode::STX if insn.code & (MODE | 0x07) == ATOMIC => self.atomic(insn),
            opcode::STX => self.store(dst, offset, insn.code, self.get(src)),
            opcode::ALU | opcode::ALU64 => {
                let result = self.arithmetic(insn);
                self.set(dst, result);
            }
            _ => {}
        }
    }

    /// Changes the state by a call.
    pub(super) fn call(&mut self, writes: Writes) {
        let may_write = match writes {
            Writes::Nothing => false,
            Writes::ByArgument => (1..=5).any(|register| self.get(register).may_be_frame()),
            Writes::Anywhere => true,
        };
        // The verifier refuses a store of an address in a stack frame to a caller's frame.
        if may_write {
            self.store_anywhere(Value::Unknown);
        }
        self.lose_scratch_registers();
    }

    fn lose_scratch_registers(&mut self) {
        for register in 0..=5 {
            self.set(register, Value::Unknown);
        }
    }

    fn arithmetic(&self, insn: Instruction) -> Value {
        let (wide, operation) = (insn.class() == opcode::ALU64, insn.code & OPERATION);
        let (dst, by_register) = (self.get(insn.dst()), insn.code & opcode::X != 0);
        match operation {
            opcode::MOV if !by_register => Value::Unknown,
            // A move with an offset sign-extends, or changes the address space.
            opcode::MOV if wide && insn.offset == 0 => self.get(insn.src()),
            opcode::MOV => self.get(insn.src()).plus(None),
            opcode::ADD if wide && !by_register => dst.plus(Some(insn.imm)),
            opcode::SUB if wide && !by_register => dst.plus(insn.imm.checked_neg()),
            _ if by_register => dst.plus(None).join(self.get(insn.src()).plus(None)),
            _ => dst.plus(None),
        }
    }

    fn atomic(&mut self, insn: Instruction) {
        let (dst, src, offset) = (insn.dst(), insn.src(), insn.offset);
        match insn.imm {
            opcode::LOAD_ACQ => {
                let loaded = self.load(src, offset, insn.code);
                self.set(dst, loaded);
            }
            opcode::STORE_REL => self.store(dst, offset, insn.code, self.get(src)),
            operation => {
                let before = self.load(dst, offset, insn.code);
                self.store(dst, offset, insn.code, Value::Unknown);
                match operation {
                    opcode::CMPXCHG => self.set(0, before),
                    _ if operation & opcode::FETCH != 0 => self.set(src, before),
                    _ => {}
                }
            }
        }
    }

    /// Returns the value that a load of the size in `code` gives.
    fn load(&self, base: u8, offset: i16, code: u8) -> Value {
        match self.get(base) {
            _ if size(code) != 8 => Value::Unknown,
            Value::Frame(frame) => match frame.checked_add(offset.into()) {
                Some(at) if is_aligned(at) => self.at(at),
                _ => Value::Anything,
            },
            Value::Anything => Value::Anything,
            Value::Map(_) | Value::Unknown => Value::Unknown,
        }
    }

    /// Stores a value of the size in `code`.
    fn store(&mut self, base: u8, offset: i16, code: u8, value: Value) {
        let size = size(code);
        match self.get(base) {
            Value::Frame(frame) => {
                let Some(at) = frame.checked_add(offset.into()) else { return };
                if size == 8 && is_aligned(at) {
                    return self.put(at, value);
                }
                // A part of an address is a number.
                for offset in [at, at.saturating_add(size - 1)].map(|at| at.div_euclid(8).saturating_mul(8)) {
                    self.put(offset, Value::Unknown);
                }
            }
            Value::Anything if size == 8 => self.store_anywhere(value),
            Value::Anything | Value::Map(_) | Value::Unknown => {}
        }
    }

    /// Stores a value in an unknown part of the stack.
    fn store_anywhere(&mut self, value: Value) {
        if value.may_be_frame() {
            self.stack = (-STACK..0).step_by(8).map(|offset| (offset, Value::Anything)).collect();
            return;
        }
        self.stack.retain_mut(|(_, known)| {
            *known = known.join(value);
            *known != Value::Unknown
        });
    }

    fn at(&self, offset: i32) -> Value {
        let index = self.stack.binary_search_by_key(&offset, |(offset, _)| *offset);
        index.ok().and_then(|index| self.stack.get(index)).map_or(Value::Unknown, |(_, value)| *value)
    }

    fn put(&mut self, offset: i32, value: Value) {
        match (self.stack.binary_search_by_key(&offset, |(offset, _)| *offset), value) {
            (Ok(index), Value::Unknown) => {
                self.stack.remove(index);
            }
            (Ok(index), _) => {
                if let Some((_, known)) = self.stack.get_mut(index) {
                    *known = value;
                }
            }
            (Err(_), Value::Unknown) => {}
            (Err(index), _) if is_aligned(offset) => self.stack.insert(index, (offset, value)),
            (Err(_), _) => {}
        }
    }
}

/// Takes the value at `offset` from the start of a part of the stack, which has no smaller offset.
fn take(stack: &mut &[(i32, Value)], offset: i32) -> Value {
    match stack.split_first() {
        Some((&(at, value), rest)) if at == offset => {
            *stack = rest;
            value
        }
        _ => Value::Unknown,
    }
}

/// Returns whether an offset from r10 is that of 8 aligned bytes of the stack.
fn is_aligned(offset: i32) -> bool {
    (-STACK..0).contains(&offset) && offset % 8 == 0
}

/// Returns the number of bytes of a memory access.
fn size(code: u8) -> i32 {
    match code & 0x18 {
        opcode::SIZE_B => 1,
        opcode::SIZE_H => 2,
        opcode::SIZE_W => 4,
        _ => 8,
    }
}
