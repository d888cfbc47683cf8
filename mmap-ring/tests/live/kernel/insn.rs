//! The instructions of the test programs, one function each. The codes are those of the kernel's
//! `Documentation/bpf/standardization/instruction-set.rst`. Jumps count from the instruction after them.

use std::os::fd::{AsRawFd, BorrowedFd};

/// Encodes one instruction, `struct bpf_insn`.
pub(crate) fn insn(code: u8, dst: u8, src: u8, off: i16, imm: i32) -> u64 {
    let [o0, o1] = off.to_ne_bytes();
    let [i0, i1, i2, i3] = imm.to_ne_bytes();
    let registers = if cfg!(target_endian = "little") { dst | src << 4 } else { dst << 4 | src };
    u64::from_ne_bytes([code, registers, o0, o1, i0, i1, i2, i3])
}

/// dst = src
pub(crate) fn mov(dst: u8, src: u8) -> u64 {
    insn(0xbf, dst, src, 0, 0)
}
/// dst = imm
pub(crate) fn mov_imm(dst: u8, imm: i32) -> u64 {
    insn(0xb7, dst, 0, 0, imm)
}
/// dst += imm
pub(crate) fn add_imm(dst: u8, imm: i32) -> u64 {
    insn(0x07, dst, 0, 0, imm)
}
/// dst += src
pub(crate) fn add(dst: u8, src: u8) -> u64 {
    insn(0x0f, dst, src, 0, 0)
}
/// dst -= src
pub(crate) fn sub(dst: u8, src: u8) -> u64 {
    insn(0x1f, dst, src, 0, 0)
}
/// dst *= src
pub(crate) fn mul(dst: u8, src: u8) -> u64 {
    insn(0x2f, dst, src, 0, 0)
}
/// dst *= imm
pub(crate) fn mul_imm(dst: u8, imm: i32) -> u64 {
    insn(0x27, dst, 0, 0, imm)
}
/// dst |= src
pub(crate) fn or(dst: u8, src: u8) -> u64 {
    insn(0x4f, dst, src, 0, 0)
}
/// dst &= imm
pub(crate) fn and_imm(dst: u8, imm: i32) -> u64 {
    insn(0x57, dst, 0, 0, imm)
}
/// dst <<= imm
pub(crate) fn lsh_imm(dst: u8, imm: i32) -> u64 {
    insn(0x67, dst, 0, 0, imm)
}
/// dst >>= imm, without sign
pub(crate) fn rsh_imm(dst: u8, imm: i32) -> u64 {
    insn(0x77, dst, 0, 0, imm)
}
/// dst = htole64(dst)
pub(crate) fn to_le(dst: u8) -> u64 {
    insn(0xd4, dst, 0, 0, 64)
}
/// dst = *(u64 *)(src + off)
pub(crate) fn load(dst: u8, src: u8, off: i16) -> u64 {
    insn(0x79, dst, src, off, 0)
}
/// *(u64 *)(dst + off) = src
pub(crate) fn store(dst: u8, off: i16, src: u8) -> u64 {
    insn(0x7b, dst, src, off, 0)
}
/// *(u32 *)(dst + off) = src
pub(crate) fn store_u32(dst: u8, off: i16, src: u8) -> u64 {
    insn(0x63, dst, src, off, 0)
}
/// r0 = the helper with this id, called with r1 to r5
pub(crate) fn call(helper: i32) -> u64 {
    insn(0x85, 0, 0, 0, helper)
}
/// if dst == imm goto off
pub(crate) fn jeq_imm(dst: u8, imm: i32, off: i16) -> u64 {
    insn(0x15, dst, 0, off, imm)
}
/// if dst != imm goto off
pub(crate) fn jne_imm(dst: u8, imm: i32, off: i16) -> u64 {
    insn(0x55, dst, 0, off, imm)
}
/// if dst > imm goto off
pub(crate) fn jgt_imm(dst: u8, imm: i32, off: i16) -> u64 {
    insn(0x25, dst, 0, off, imm)
}
/// if dst < imm goto off
pub(crate) fn jlt_imm(dst: u8, imm: i32, off: i16) -> u64 {
    insn(0xa5, dst, 0, off, imm)
}
/// if dst >= src goto off
pub(crate) fn jge(dst: u8, src: u8, off: i16) -> u64 {
    insn(0x3d, dst, src, off, 0)
}
/// dst = a 64-bit imm
pub(crate) fn load_imm64(dst: u8, imm: u64) -> [u64; 2] {
    [insn(0x18, dst, 0, 0, imm as i32), insn(0, 0, 0, 0, (imm >> 32) as i32)]
}
/// r1 = the map of `fd`
pub(crate) fn map(fd: BorrowedFd<'_>) -> [u64; 2] {
    [insn(0x18, 1, 1, 0, fd.as_raw_fd()), 0]
}
/// dst = the function that begins `distance` instructions after the first slot of this one, not counting that slot
pub(crate) fn function(dst: u8, distance: i32) -> [u64; 2] {
    [insn(0x18, dst, 4, 0, distance), 0]
}
/// return r0
pub(crate) fn exit() -> u64 {
    insn(0x95, 0, 0, 0, 0)
}
