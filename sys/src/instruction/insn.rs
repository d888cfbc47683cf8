//! [`Instruction`], `struct bpf_insn`, and its two encodings.

use super::{byte_order::ByteOrder, opcode};

/// One slot of a program, `struct bpf_insn`, in this machine's byte order.
#[doc(alias = "bpf_insn")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct Instruction {
    /// Opcode: the class, and bits whose meaning depends on the class ([`opcode`]).
    pub code: u8,
    /// Two bit fields of four bits, whose order depends on the machine's byte order.
    registers: u8,
    /// Distance of a jump in slots, or offset of a memory access in bytes. Some operations encode a variant here.
    pub offset: i16,
    /// The immediate operand.
    pub imm: i32,
}

impl Instruction {
    /// Size of a slot in bytes.
    pub const SIZE: usize = 8;

    /// Creates an instruction. Only the lower four bits of `dst` and `src` are used.
    #[must_use]
    pub const fn new(code: u8, dst: u8, src: u8, offset: i16, imm: i32) -> Self {
        Self { code, registers: registers(ByteOrder::HOST, dst, src), offset, imm }
    }

    /// Creates the two slots that load a 64-bit immediate. `src` is the meaning of the immediate (`BPF_PSEUDO_…`).
    #[must_use]
    pub const fn load_imm64(dst: u8, src: u8, value: u64) -> [Self; 2] {
        let (low, high) = (value as u32, (value >> 32) as u32);
        [Self::new(opcode::LD_IMM64, dst, src, 0, low.cast_signed()), Self::new(0, 0, 0, 0, high.cast_signed())]
    }

    /// Returns the number of the destination register, 0 to 15.
    #[must_use]
    pub const fn dst(self) -> u8 {
        if cfg!(target_endian = "little") { self.registers & 0xf } else { self.registers >> 4 }
    }

    /// Returns the number of the source register, 0 to 15, or the meaning of the immediate (`BPF_PSEUDO_…`).
    #[must_use]
    pub const fn src(self) -> u8 {
        if cfg!(target_endian = "little") { self.registers >> 4 } else { self.registers & 0xf }
    }

    /// Sets the source register.
    pub const fn set_src(&mut self, src: u8) {
        self.registers = registers(ByteOrder::HOST, self.dst(), src);
    }

    /// Returns the instruction with another immediate.
    #[must_use]
    pub const fn with_imm(self, imm: i32) -> Self {
        Self { imm, ..self }
    }

    /// Returns the instruction with another opcode and offset.
    #[must_use]
    pub const fn with_code_and_offset(self, code: u8, offset: i16) -> Self {
        Self { code, offset, ..self }
    }

    /// Returns the class, the lowest three bits of the opcode (`BPF_CLASS`).
    #[must_use]
    pub const fn class(self) -> u8 {
        self.code & 0x07
    }

    /// Returns whether this is the first slot of a load of a 64-bit immediate.
    #[must_use]
    pub const fn is_load_imm64(self) -> bool {
        self.code == opcode::LD_IMM64
    }

    /// Returns whether the instruction calls a helper, a subprogram or a kfunc.
    #[must_use]
    pub const fn is_call(self) -> bool {
        self.code == opcode::JMP_CALL
    }

    /// Returns the number of slots of the instruction that begins here: 2 for the load of a 64-bit immediate, otherwise
    /// 1.
    #[must_use]
    pub const fn slots(self) -> usize {
        if self.is_load_imm64() { 2 } else { 1 }
    }

    /// Reads a slot in this machine's byte order.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; Self::SIZE]) -> Self {
        Self::decode(ByteOrder::HOST, bytes)
    }

    /// Returns the bytes in this machine's byte order.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; Self::SIZE] {
        self.encode(ByteOrder::HOST)
    }

    /// Reads a slot in a given byte order. Every opcode is accepted.
    #[must_use]
    pub const fn decode(order: ByteOrder, bytes: [u8; Self::SIZE]) -> Self {
        let [code, both, o0, o1, i0, i1, i2, i3] = bytes;
        let (dst, src) = match order {
            ByteOrder::Little => (both & 0xf, both >> 4),
            ByteOrder::Big => (both >> 4, both & 0xf),
        };
        let offset = order.read_u16([o0, o1]).cast_signed();
        Self::new(code, dst, src, offset, order.read_u32([i0, i1, i2, i3]).cast_signed())
    }

    /// Returns the bytes in a given byte order.
    #[must_use]
    pub const fn encode(self, order: ByteOrder) -> [u8; Self::SIZE] {
        let [o0, o1] = order.u16(self.offset.cast_unsigned());
        let [i0, i1, i2, i3] = order.u32(self.imm.cast_unsigned());
        [self.code, registers(order, self.dst(), self.src()), o0, o1, i0, i1, i2, i3]
    }
}

const fn registers(order: ByteOrder, dst: u8, src: u8) -> u8 {
    match order {
        ByteOrder::Little => src << 4 | dst & 0xf,
        ByteOrder::Big => dst << 4 | src & 0xf,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn registers_match_the_kernel_layout() {
        let mut insn = Instruction::new(0x7b, 10, 1, -8, -2);
        assert_eq!((insn.dst(), insn.src()), (10, 1));
        insn.set_src(6);
        assert_eq!((insn.dst(), insn.src()), (10, 6));
        let theirs = aya_obj::generated::bpf_insn::new_bitfield_1(10, 6);
        assert_eq!(theirs.get(0, 8), u64::from(insn.registers));
        assert_eq!(size_of::<Instruction>(), size_of::<aya_obj::generated::bpf_insn>());
        assert_eq!(insn.encode(ByteOrder::Little), [0x7b, 0x6a, 0xf8, 0xff, 0xfe, 0xff, 0xff, 0xff]);
        assert_eq!(insn.encode(ByteOrder::Big), [0x7b, 0xa6, 0xff, 0xf8, 0xff, 0xff, 0xff, 0xfe]);
        assert_eq!(u32::from(opcode::PSEUDO_BTF_ID), aya_obj::generated::BPF_PSEUDO_BTF_ID);
        assert_eq!(u32::from(opcode::PSEUDO_FUNC), aya_obj::generated::BPF_PSEUDO_FUNC);
        assert_eq!(u32::from(opcode::PSEUDO_KFUNC_CALL), aya_obj::generated::BPF_PSEUDO_KFUNC_CALL);
    }

    #[test]
    fn immediate_of_64_bits_takes_two_slots() {
        let [first, second] = Instruction::load_imm64(1, 0, 0xffff_fffe_8000_0001);
        assert_eq!((first.slots(), second.slots()), (2, 1));
        assert_eq!(first.text(Some(second)).to_string(), "r1 = -6442450943 ll");
        assert_eq!(first.text(None).to_string(), "<unknown>");
    }

    proptest! {
        #[test]
        fn bytes_round_trip(bytes: [u8; 8]) {
            for order in [ByteOrder::Little, ByteOrder::Big] {
                prop_assert_eq!(Instruction::decode(order, bytes).encode(order), bytes);
            }
        }
    }
}
