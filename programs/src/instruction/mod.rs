//! One instruction: its parts, its bytes, its text.
//!
//! An eBPF instruction is a slot of eight bytes:
//!
//! ```text
//!   byte 0     byte 1            bytes 2, 3       bytes 4 to 7
//! ┌──────────┬─────────────────┬────────────────┬──────────────────────┐
//! │ opcode   │ registers       │ offset (i16)   │ immediate (i32)      │
//! └──────────┴─────────────────┴────────────────┴──────────────────────┘
//!              low nibble: destination, high nibble: source (swapped on a big-endian machine)
//! ```
//!
//! Only the load of a 64-bit immediate takes two slots: the second holds the upper half in its own immediate, and zeroes.
//! An [`Instruction`] is a whole one, of one slot or two.
//!
//! Kernel: `Documentation/bpf/standardization/instruction-set.rst`, `include/uapi/linux/bpf.h` (`struct bpf_insn`).

mod display;
pub(crate) mod opcode;

/// The order of bytes in the numbers of a program and its object file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ByteOrder {
    /// Least significant byte first, as on x86-64 and most 64-bit ARM.
    Little,
    /// Most significant byte first, as on s390x.
    Big,
}

impl ByteOrder {
    /// The order of the machine this code runs on.
    pub const HOST: Self = if cfg!(target_endian = "big") { Self::Big } else { Self::Little };

    pub(crate) fn u16(self, value: u16) -> [u8; 2] {
        match self {
            Self::Little => value.to_le_bytes(),
            Self::Big => value.to_be_bytes(),
        }
    }

    pub(crate) fn u32(self, value: u32) -> [u8; 4] {
        match self {
            Self::Little => value.to_le_bytes(),
            Self::Big => value.to_be_bytes(),
        }
    }

    fn read(self, bytes: [u8; 4]) -> u32 {
        match self {
            Self::Little => u32::from_le_bytes(bytes),
            Self::Big => u32::from_be_bytes(bytes),
        }
    }

    fn read_offset(self, bytes: [u8; 2]) -> i16 {
        match self {
            Self::Little => i16::from_le_bytes(bytes),
            Self::Big => i16::from_be_bytes(bytes),
        }
    }
}

/// One eBPF instruction, decoded into its fields. `Display` prints it as `llvm-objdump` does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Instruction {
    /// Class, operation and source of the second operand.
    pub code: u8,
    /// Number of the destination register, 0 to 10.
    pub dst: u8,
    /// Number of the source register, 0 to 10, or what kind of thing the immediate stands for.
    pub src: u8,
    /// Distance of a jump in slots or of a memory access in bytes; some operations keep a variant here.
    pub offset: i16,
    /// The immediate operand.
    pub imm: i32,
    /// The upper half of a 64-bit immediate, from the second slot; `None` for an instruction of one slot.
    pub high: Option<i32>,
}

/// Bytes in one slot.
pub const SLOT: usize = 8;

impl Instruction {
    pub(crate) const fn new(code: u8, dst: u8, src: u8, offset: i16, imm: i32) -> Self {
        Self { code, dst, src, offset, imm, high: None }
    }

    /// How many slots of eight bytes it takes: 2 for the load of a 64-bit immediate, else 1.
    pub const fn slots(&self) -> usize {
        if self.high.is_some() { 2 } else { 1 }
    }

    /// Appends its 8 or 16 bytes.
    pub fn encode(&self, order: ByteOrder, bytes: &mut Vec<u8>) {
        let registers = match order {
            ByteOrder::Little => self.src << 4 | self.dst & 0xf,
            ByteOrder::Big => self.dst << 4 | self.src & 0xf,
        };
        bytes.extend([self.code, registers]);
        bytes.extend(order.u16(self.offset.cast_unsigned()));
        bytes.extend(order.u32(self.imm.cast_unsigned()));
        if let Some(high) = self.high {
            bytes.extend([0; 4]);
            bytes.extend(order.u32(high.cast_unsigned()));
        }
    }

    /// The instruction at the start of `bytes`; `None` if a slot is cut short. Unknown opcodes are decoded like any other.
    pub fn decode(order: ByteOrder, bytes: &[u8]) -> Option<Self> {
        let (slot, rest) = bytes.split_first_chunk::<SLOT>()?;
        let &[code, registers, o0, o1, i0, i1, i2, i3] = slot;
        let (dst, src) = match order {
            ByteOrder::Little => (registers & 0xf, registers >> 4),
            ByteOrder::Big => (registers >> 4, registers & 0xf),
        };
        let high = if code == opcode::LD_IMM64 {
            let &[.., h0, h1, h2, h3] = rest.first_chunk::<SLOT>()?;
            Some(order.read([h0, h1, h2, h3]).cast_signed())
        } else {
            None
        };
        Some(Self {
            code,
            dst,
            src,
            offset: order.read_offset([o0, o1]),
            imm: order.read([i0, i1, i2, i3]).cast_signed(),
            high,
        })
    }
}
