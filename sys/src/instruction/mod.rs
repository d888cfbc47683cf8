//! One slot of a BPF program: `struct bpf_insn`.
//!
//! ```text
//!   byte 0     byte 1            bytes 2, 3       bytes 4 to 7
//! ┌──────────┬─────────────────┬────────────────┬──────────────────────┐
//! │ opcode   │ registers       │ offset (i16)   │ immediate (i32)      │
//! └──────────┴─────────────────┴────────────────┴──────────────────────┘
//!              low nibble: destination, high nibble: source (swapped on a big-endian machine)
//! ```
//!
//! The load of a 64-bit immediate takes two slots. The second holds the upper half as its immediate; its other bytes
//! are 0.
//!
//! Kernel: `Documentation/bpf/standardization/instruction-set.rst`, `include/uapi/linux/bpf.h` (`struct bpf_insn`).

mod byte_order;
mod display;
mod insn;
pub mod opcode;

pub use byte_order::ByteOrder;
pub use display::Text;
pub use insn::Instruction;
