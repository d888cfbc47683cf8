//! Every form of every instruction: the method call, its text, and its bytes in both orders.
//!
//! Text and bytes are LLVM's: LLVM 22's assembler translated the text to the bytes, for `bpfel` and `bpfeb`. Jumps go
//! five slots forwards.

use cutaway_programs::prelude::*;

/// The instruction set that introduced a form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Isa {
    /// Version 3 and earlier: Linux 5.12.
    V3,
    /// Version 4: Linux 6.6.
    V4,
    /// Load-acquire and store-release: Linux 6.15.
    Acquire,
}

/// One form of an instruction.
pub(crate) struct Form {
    pub(crate) isa: Isa,
    /// The method call in Rust.
    pub(crate) verb: &'static str,
    /// Appends the instruction; the label is the target of jumps.
    pub(crate) append: fn(&mut Assembler, Label),
    pub(crate) text: &'static str,
    pub(crate) little: &'static str,
    pub(crate) big: &'static str,
}

macro_rules! forms {
    ($there:ident: $($isa:ident $verb:ident($($operand:expr),*) => $text:literal, $little:literal, $big:literal;)*) => {
        [$(Form {
            isa: Isa::$isa,
            verb: stringify!($verb($($operand),*)),
            append: |asm, $there| {
                let _ = $there;
                asm.$verb($($operand),*);
            },
            text: $text,
            little: $little,
            big: $big,
        }),*]
    };
}

/// Returns all forms.
pub(crate) fn forms() -> impl Iterator<Item = Form> {
    forms! { there:
        V3 mov(R1, R2) => "r1 = r2", "bf 21 00 00 00 00 00 00", "bf 12 00 00 00 00 00 00";
        V3 mov(R3, -9) => "r3 = -9", "b7 03 00 00 f7 ff ff ff", "b7 30 00 00 ff ff ff f7";
        V3 mov(W1, W2) => "w1 = w2", "bc 21 00 00 00 00 00 00", "bc 12 00 00 00 00 00 00";
        V3 mov(W3, -9) => "w3 = -9", "b4 03 00 00 f7 ff ff ff", "b4 30 00 00 ff ff ff f7";
        V3 add(R1, R2) => "r1 += r2", "0f 21 00 00 00 00 00 00", "0f 12 00 00 00 00 00 00";
        V3 add(R3, -9) => "r3 += -9", "07 03 00 00 f7 ff ff ff", "07 30 00 00 ff ff ff f7";
        V3 add(W1, W2) => "w1 += w2", "0c 21 00 00 00 00 00 00", "0c 12 00 00 00 00 00 00";
        V3 add(W3, -9) => "w3 += -9", "04 03 00 00 f7 ff ff ff", "04 30 00 00 ff ff ff f7";
        V3 sub(R1, R2) => "r1 -= r2", "1f 21 00 00 00 00 00 00", "1f 12 00 00 00 00 00 00";
        V3 sub(R3, -9) => "r3 -= -9", "17 03 00 00 f7 ff ff ff", "17 30 00 00 ff ff ff f7";
        V3 sub(W1, W2) => "w1 -= w2", "1c 21 00 00 00 00 00 00", "1c 12 00 00 00 00 00 00";
        V3 sub(W3, -9) => "w3 -= -9", "14 03 00 00 f7 ff ff ff", "14 30 00 00 ff ff ff f7";
        V3 mul(R1, R2) => "r1 *= r2", "2f 21 00 00 00 00 00 00", "2f 12 00 00 00 00 00 00";
        V3 mul(R3, -9) => "r3 *= -9", "27 03 00 00 f7 ff ff ff", "27 30 00 00 ff ff ff f7";
        V3 mul(W1, W2) => "w1 *= w2", "2c 21 00 00 00 00 00 00", "2c 12 00 00 00 00 00 00";
        V3 mul(W3, -9) => "w3 *= -9", "24 03 00 00 f7 ff ff ff", "24 30 00 00 ff ff ff f7";
        V3 div(R1, R2) => "r1 /= r2", "3f 21 00 00 00 00 00 00", "3f 12 00 00 00 00 00 00";
        V3 div(R3, -9) => "r3 /= -9", "37 03 00 00 f7 ff ff ff", "37 30 00 00 ff ff ff f7";
        V3 div(W1, W2) => "w1 /= w2", "3c 21 00 00 00 00 00 00", "3c 12 00 00 00 00 00 00";
        V3 div(W3, -9) => "w3 /= -9", "34 03 00 00 f7 ff ff ff", "34 30 00 00 ff ff ff f7";
        V3 rem(R1, R2) => "r1 %= r2", "9f 21 00 00 00 00 00 00", "9f 12 00 00 00 00 00 00";
        V3 rem(R3, -9) => "r3 %= -9", "97 03 00 00 f7 ff ff ff", "97 30 00 00 ff ff ff f7";
        V3 rem(W1, W2) => "w1 %= w2", "9c 21 00 00 00 00 00 00", "9c 12 00 00 00 00 00 00";
        V3 rem(W3, -9) => "w3 %= -9", "94 03 00 00 f7 ff ff ff", "94 30 00 00 ff ff ff f7";
        V3 or(R1, R2) => "r1 |= r2", "4f 21 00 00 00 00 00 00", "4f 12 00 00 00 00 00 00";
        V3 or(R3, -9) => "r3 |= -9", "47 03 00 00 f7 ff ff ff", "47 30 00 00 ff ff ff f7";
        V3 or(W1, W2) => "w1 |= w2", "4c 21 00 00 00 00 00 00", "4c 12 00 00 00 00 00 00";
        V3 or(W3, -9) => "w3 |= -9", "44 03 00 00 f7 ff ff ff", "44 30 00 00 ff ff ff f7";
        V3 and(R1, R2) => "r1 &= r2", "5f 21 00 00 00 00 00 00", "5f 12 00 00 00 00 00 00";
        V3 and(R3, -9) => "r3 &= -9", "57 03 00 00 f7 ff ff ff", "57 30 00 00 ff ff ff f7";
        V3 and(W1, W2) => "w1 &= w2", "5c 21 00 00 00 00 00 00", "5c 12 00 00 00 00 00 00";
        V3 and(W3, -9) => "w3 &= -9", "54 03 00 00 f7 ff ff ff", "54 30 00 00 ff ff ff f7";
        V3 xor(R1, R2) => "r1 ^= r2", "af 21 00 00 00 00 00 00", "af 12 00 00 00 00 00 00";
        V3 xor(R3, -9) => "r3 ^= -9", "a7 03 00 00 f7 ff ff ff", "a7 30 00 00 ff ff ff f7";
        V3 xor(W1, W2) => "w1 ^= w2", "ac 21 00 00 00 00 00 00", "ac 12 00 00 00 00 00 00";
        V3 xor(W3, -9) => "w3 ^= -9", "a4 03 00 00 f7 ff ff ff", "a4 30 00 00 ff ff ff f7";
        V3 lsh(R1, R2) => "r1 <<= r2", "6f 21 00 00 00 00 00 00", "6f 12 00 00 00 00 00 00";
        V3 lsh(R3, 9) => "r3 <<= 9", "67 03 00 00 09 00 00 00", "67 30 00 00 00 00 00 09";
        V3 lsh(W1, W2) => "w1 <<= w2", "6c 21 00 00 00 00 00 00", "6c 12 00 00 00 00 00 00";
        V3 lsh(W3, 9) => "w3 <<= 9", "64 03 00 00 09 00 00 00", "64 30 00 00 00 00 00 09";
        V3 rsh(R1, R2) => "r1 >>= r2", "7f 21 00 00 00 00 00 00", "7f 12 00 00 00 00 00 00";
        V3 rsh(R3, 9) => "r3 >>= 9", "77 03 00 00 09 00 00 00", "77 30 00 00 00 00 00 09";
        V3 rsh(W1, W2) => "w1 >>= w2", "7c 21 00 00 00 00 00 00", "7c 12 00 00 00 00 00 00";
        V3 rsh(W3, 9) => "w3 >>= 9", "74 03 00 00 09 00 00 00", "74 30 00 00 00 00 00 09";
        V3 arsh(R1, R2) => "r1 s>>= r2", "cf 21 00 00 00 00 00 00", "cf 12 00 00 00 00 00 00";
        V3 arsh(R3, 9) => "r3 s>>= 9", "c7 03 00 00 09 00 00 00", "c7 30 00 00 00 00 00 09";
        V3 arsh(W1, W2) => "w1 s>>= w2", "cc 21 00 00 00 00 00 00", "cc 12 00 00 00 00 00 00";
        V3 arsh(W3, 9) => "w3 s>>= 9", "c4 03 00 00 09 00 00 00", "c4 30 00 00 00 00 00 09";
        V4 sdiv(R1, R2) => "r1 s/= r2", "3f 21 01 00 00 00 00 00", "3f 12 00 01 00 00 00 00";
        V4 sdiv(R3, -9) => "r3 s/= -9", "37 03 01 00 f7 ff ff ff", "37 30 00 01 ff ff ff f7";
        V4 sdiv(W1, W2) => "w1 s/= w2", "3c 21 01 00 00 00 00 00", "3c 12 00 01 00 00 00 00";
        V4 sdiv(W3, -9) => "w3 s/= -9", "34 03 01 00 f7 ff ff ff", "34 30 00 01 ff ff ff f7";
        V4 srem(R1, R2) => "r1 s%= r2", "9f 21 01 00 00 00 00 00", "9f 12 00 01 00 00 00 00";
        V4 srem(R3, -9) => "r3 s%= -9", "97 03 01 00 f7 ff ff ff", "97 30 00 01 ff ff ff f7";
        V4 srem(W1, W2) => "w1 s%= w2", "9c 21 01 00 00 00 00 00", "9c 12 00 01 00 00 00 00";
        V4 srem(W3, -9) => "w3 s%= -9", "94 03 01 00 f7 ff ff ff", "94 30 00 01 ff ff ff f7";
        V3 neg(R4) => "r4 = -r4", "87 04 00 00 00 00 00 00", "87 40 00 00 00 00 00 00";
        V3 neg(W4) => "w4 = -w4", "84 04 00 00 00 00 00 00", "84 40 00 00 00 00 00 00";
        V4 mov_sx(B, R1, R2) => "r1 = (s8)r2", "bf 21 08 00 00 00 00 00", "bf 12 00 08 00 00 00 00";
        V4 mov_sx(H, R1, R2) => "r1 = (s16)r2", "bf 21 10 00 00 00 00 00", "bf 12 00 10 00 00 00 00";
        V4 mov_sx(W, R1, R2) => "r1 = (s32)r2", "bf 21 20 00 00 00 00 00", "bf 12 00 20 00 00 00 00";
        V4 mov_sx(B, W1, W2) => "w1 = (s8)w2", "bc 21 08 00 00 00 00 00", "bc 12 00 08 00 00 00 00";
        V4 mov_sx(H, W1, W2) => "w1 = (s16)w2", "bc 21 10 00 00 00 00 00", "bc 12 00 10 00 00 00 00";
        V3 be(H, R5) => "r5 = be16 r5", "dc 05 00 00 10 00 00 00", "dc 50 00 00 00 00 00 10";
        V3 be(W, R5) => "r5 = be32 r5", "dc 05 00 00 20 00 00 00", "dc 50 00 00 00 00 00 20";
        V3 be(DW, R5) => "r5 = be64 r5", "dc 05 00 00 40 00 00 00", "dc 50 00 00 00 00 00 40";
        V3 le(H, R5) => "r5 = le16 r5", "d4 05 00 00 10 00 00 00", "d4 50 00 00 00 00 00 10";
        V3 le(W, R5) => "r5 = le32 r5", "d4 05 00 00 20 00 00 00", "d4 50 00 00 00 00 00 20";
        V3 le(DW, R5) => "r5 = le64 r5", "d4 05 00 00 40 00 00 00", "d4 50 00 00 00 00 00 40";
        V4 bswap(H, R5) => "r5 = bswap16 r5", "d7 05 00 00 10 00 00 00", "d7 50 00 00 00 00 00 10";
        V4 bswap(W, R5) => "r5 = bswap32 r5", "d7 05 00 00 20 00 00 00", "d7 50 00 00 00 00 00 20";
        V4 bswap(DW, R5) => "r5 = bswap64 r5", "d7 05 00 00 40 00 00 00", "d7 50 00 00 00 00 00 40";
        V3 mov(R0, R10) => "r0 = r10", "bf a0 00 00 00 00 00 00", "bf 0a 00 00 00 00 00 00";
        V3 mov(W0, W9) => "w0 = w9", "bc 90 00 00 00 00 00 00", "bc 09 00 00 00 00 00 00";
        V3 mov(R1, R10) => "r1 = r10", "bf a1 00 00 00 00 00 00", "bf 1a 00 00 00 00 00 00";
        V3 mov(W1, W8) => "w1 = w8", "bc 81 00 00 00 00 00 00", "bc 18 00 00 00 00 00 00";
        V3 mov(R2, R10) => "r2 = r10", "bf a2 00 00 00 00 00 00", "bf 2a 00 00 00 00 00 00";
        V3 mov(W2, W7) => "w2 = w7", "bc 72 00 00 00 00 00 00", "bc 27 00 00 00 00 00 00";
        V3 mov(R3, R10) => "r3 = r10", "bf a3 00 00 00 00 00 00", "bf 3a 00 00 00 00 00 00";
        V3 mov(W3, W6) => "w3 = w6", "bc 63 00 00 00 00 00 00", "bc 36 00 00 00 00 00 00";
        V3 mov(R4, R10) => "r4 = r10", "bf a4 00 00 00 00 00 00", "bf 4a 00 00 00 00 00 00";
        V3 mov(W4, W5) => "w4 = w5", "bc 54 00 00 00 00 00 00", "bc 45 00 00 00 00 00 00";
        V3 mov(R5, R10) => "r5 = r10", "bf a5 00 00 00 00 00 00", "bf 5a 00 00 00 00 00 00";
        V3 mov(W5, W4) => "w5 = w4", "bc 45 00 00 00 00 00 00", "bc 54 00 00 00 00 00 00";
        V3 mov(R6, R10) => "r6 = r10", "bf a6 00 00 00 00 00 00", "bf 6a 00 00 00 00 00 00";
        V3 mov(W6, W3) => "w6 = w3", "bc 36 00 00 00 00 00 00", "bc 63 00 00 00 00 00 00";
        V3 mov(R7, R10) => "r7 = r10", "bf a7 00 00 00 00 00 00", "bf 7a 00 00 00 00 00 00";
        V3 mov(W7, W2) => "w7 = w2", "bc 27 00 00 00 00 00 00", "bc 72 00 00 00 00 00 00";
        V3 mov(R8, R10) => "r8 = r10", "bf a8 00 00 00 00 00 00", "bf 8a 00 00 00 00 00 00";
        V3 mov(W8, W1) => "w8 = w1", "bc 18 00 00 00 00 00 00", "bc 81 00 00 00 00 00 00";
        V3 mov(R9, R10) => "r9 = r10", "bf a9 00 00 00 00 00 00", "bf 9a 00 00 00 00 00 00";
        V3 mov(W9, W0) => "w9 = w0", "bc 09 00 00 00 00 00 00", "bc 90 00 00 00 00 00 00";
        V3 mov(R0, i32::MAX) => "r0 = 2147483647", "b7 00 00 00 ff ff ff 7f", "b7 00 00 00 7f ff ff ff";
        V3 mov(R0, i32::MIN) => "r0 = -2147483648", "b7 00 00 00 00 00 00 80", "b7 00 00 00 80 00 00 00";
        V3 add(R1, 24i16) => "r1 += 24", "07 01 00 00 18 00 00 00", "07 10 00 00 00 00 00 18";
        V3 load(B, R1, R2, 8) => "r1 = *(u8 *)(r2 + 8)", "71 21 08 00 00 00 00 00", "71 12 00 08 00 00 00 00";
        V3 store(B, R10, -8, R2) => "*(u8 *)(r10 - 8) = r2", "73 2a f8 ff 00 00 00 00", "73 a2 ff f8 00 00 00 00";
        V4 store(B, R10, -8, -9) => "*(u8 *)(r10 - 8) = -9", "72 0a f8 ff f7 ff ff ff", "72 a0 ff f8 ff ff ff f7";
        V4 load_sx(B, R1, R2, 8) => "r1 = *(s8 *)(r2 + 8)", "91 21 08 00 00 00 00 00", "91 12 00 08 00 00 00 00";
        V3 load(H, R1, R2, 8) => "r1 = *(u16 *)(r2 + 8)", "69 21 08 00 00 00 00 00", "69 12 00 08 00 00 00 00";
        V3 store(H, R10, -8, R2) => "*(u16 *)(r10 - 8) = r2", "6b 2a f8 ff 00 00 00 00", "6b a2 ff f8 00 00 00 00";
        V4 store(H, R10, -8, -9) => "*(u16 *)(r10 - 8) = -9", "6a 0a f8 ff f7 ff ff ff", "6a a0 ff f8 ff ff ff f7";
        V4 load_sx(H, R1, R2, 8) => "r1 = *(s16 *)(r2 + 8)", "89 21 08 00 00 00 00 00", "89 12 00 08 00 00 00 00";
        V3 load(W, R1, R2, 8) => "r1 = *(u32 *)(r2 + 8)", "61 21 08 00 00 00 00 00", "61 12 00 08 00 00 00 00";
        V3 store(W, R10, -8, R2) => "*(u32 *)(r10 - 8) = r2", "63 2a f8 ff 00 00 00 00", "63 a2 ff f8 00 00 00 00";
        V4 store(W, R10, -8, -9) => "*(u32 *)(r10 - 8) = -9", "62 0a f8 ff f7 ff ff ff", "62 a0 ff f8 ff ff ff f7";
        V4 load_sx(W, R1, R2, 8) => "r1 = *(s32 *)(r2 + 8)", "81 21 08 00 00 00 00 00", "81 12 00 08 00 00 00 00";
        V3 load(DW, R1, R2, 8) => "r1 = *(u64 *)(r2 + 8)", "79 21 08 00 00 00 00 00", "79 12 00 08 00 00 00 00";
        V3 store(DW, R10, -8, R2) => "*(u64 *)(r10 - 8) = r2", "7b 2a f8 ff 00 00 00 00", "7b a2 ff f8 00 00 00 00";
        V4 store(DW, R10, -8, -9) => "*(u64 *)(r10 - 8) = -9", "7a 0a f8 ff f7 ff ff ff", "7a a0 ff f8 ff ff ff f7";
        V3 load(DW, R9, R10, i16::MIN) => "r9 = *(u64 *)(r10 - 32768)", "79 a9 00 80 00 00 00 00", "79 9a 80 00 00 00 00 00";
        V3 store(DW, R9, i16::MAX, R0) => "*(u64 *)(r9 + 32767) = r0", "7b 09 ff 7f 00 00 00 00", "7b 90 7f ff 00 00 00 00";
        V3 load_imm64(R1, 0) => "r1 = 0 ll", "18 01 00 00 00 00 00 00 00 00 00 00 00 00 00 00", "18 10 00 00 00 00 00 00 00 00 00 00 00 00 00 00";
        V3 load_imm64(R1, 0x1234_5678_9abc_def0) => "r1 = 1311768467463790320 ll", "18 01 00 00 f0 de bc 9a 00 00 00 00 78 56 34 12", "18 10 00 00 9a bc de f0 00 00 00 00 12 34 56 78";
        V3 load_imm64(R1, u64::MAX) => "r1 = -1 ll", "18 01 00 00 ff ff ff ff 00 00 00 00 ff ff ff ff", "18 10 00 00 ff ff ff ff 00 00 00 00 ff ff ff ff";
        V3 load_imm64(R9, 0xffff_ffff) => "r9 = 4294967295 ll", "18 09 00 00 ff ff ff ff 00 00 00 00 00 00 00 00", "18 90 00 00 ff ff ff ff 00 00 00 00 00 00 00 00";
        V3 atomic_add(DW, R1, 16, R2) => "lock *(u64 *)(r1 + 16) += r2", "db 21 10 00 00 00 00 00", "db 12 00 10 00 00 00 00";
        V3 atomic_add(W, R1, 16, R2) => "lock *(u32 *)(r1 + 16) += w2", "c3 21 10 00 00 00 00 00", "c3 12 00 10 00 00 00 00";
        V3 atomic_fetch_add(DW, R1, 16, R2) => "r2 = atomic_fetch_add((u64 *)(r1 + 16), r2)", "db 21 10 00 01 00 00 00", "db 12 00 10 00 00 00 01";
        V3 atomic_fetch_add(W, R1, 16, R2) => "w2 = atomic_fetch_add((u32 *)(r1 + 16), w2)", "c3 21 10 00 01 00 00 00", "c3 12 00 10 00 00 00 01";
        V3 atomic_or(DW, R1, 16, R2) => "lock *(u64 *)(r1 + 16) |= r2", "db 21 10 00 40 00 00 00", "db 12 00 10 00 00 00 40";
        V3 atomic_or(W, R1, 16, R2) => "lock *(u32 *)(r1 + 16) |= w2", "c3 21 10 00 40 00 00 00", "c3 12 00 10 00 00 00 40";
        V3 atomic_fetch_or(DW, R1, 16, R2) => "r2 = atomic_fetch_or((u64 *)(r1 + 16), r2)", "db 21 10 00 41 00 00 00", "db 12 00 10 00 00 00 41";
        V3 atomic_fetch_or(W, R1, 16, R2) => "w2 = atomic_fetch_or((u32 *)(r1 + 16), w2)", "c3 21 10 00 41 00 00 00", "c3 12 00 10 00 00 00 41";
        V3 atomic_and(DW, R1, 16, R2) => "lock *(u64 *)(r1 + 16) &= r2", "db 21 10 00 50 00 00 00", "db 12 00 10 00 00 00 50";
        V3 atomic_and(W, R1, 16, R2) => "lock *(u32 *)(r1 + 16) &= w2", "c3 21 10 00 50 00 00 00", "c3 12 00 10 00 00 00 50";
        V3 atomic_fetch_and(DW, R1, 16, R2) => "r2 = atomic_fetch_and((u64 *)(r1 + 16), r2)", "db 21 10 00 51 00 00 00", "db 12 00 10 00 00 00 51";
        V3 atomic_fetch_and(W, R1, 16, R2) => "w2 = atomic_fetch_and((u32 *)(r1 + 16), w2)", "c3 21 10 00 51 00 00 00", "c3 12 00 10 00 00 00 51";
        V3 atomic_xor(DW, R1, 16, R2) => "lock *(u64 *)(r1 + 16) ^= r2", "db 21 10 00 a0 00 00 00", "db 12 00 10 00 00 00 a0";
        V3 atomic_xor(W, R1, 16, R2) => "lock *(u32 *)(r1 + 16) ^= w2", "c3 21 10 00 a0 00 00 00", "c3 12 00 10 00 00 00 a0";
        V3 atomic_fetch_xor(DW, R1, 16, R2) => "r2 = atomic_fetch_xor((u64 *)(r1 + 16), r2)", "db 21 10 00 a1 00 00 00", "db 12 00 10 00 00 00 a1";
        V3 atomic_fetch_xor(W, R1, 16, R2) => "w2 = atomic_fetch_xor((u32 *)(r1 + 16), w2)", "c3 21 10 00 a1 00 00 00", "c3 12 00 10 00 00 00 a1";
        V3 atomic_xchg(DW, R1, 16, R2) => "r2 = xchg_64(r1 + 16, r2)", "db 21 10 00 e1 00 00 00", "db 12 00 10 00 00 00 e1";
        V3 atomic_xchg(W, R1, 16, R2) => "w2 = xchg32_32(r1 + 16, w2)", "c3 21 10 00 e1 00 00 00", "c3 12 00 10 00 00 00 e1";
        V3 atomic_cmpxchg(DW, R1, 16, R2) => "r0 = cmpxchg_64(r1 + 16, r0, r2)", "db 21 10 00 f1 00 00 00", "db 12 00 10 00 00 00 f1";
        V3 atomic_cmpxchg(W, R1, 16, R2) => "w0 = cmpxchg32_32(r1 + 16, w0, w2)", "c3 21 10 00 f1 00 00 00", "c3 12 00 10 00 00 00 f1";
        Acquire load_acquire(B, R1, R2, 8) => "w1 = load_acquire((u8 *)(r2 + 8))", "d3 21 08 00 00 01 00 00", "d3 12 00 08 00 00 01 00";
        Acquire store_release(B, R1, 8, R2) => "store_release((u8 *)(r1 + 8), w2)", "d3 21 08 00 10 01 00 00", "d3 12 00 08 00 00 01 10";
        Acquire load_acquire(H, R1, R2, 8) => "w1 = load_acquire((u16 *)(r2 + 8))", "cb 21 08 00 00 01 00 00", "cb 12 00 08 00 00 01 00";
        Acquire store_release(H, R1, 8, R2) => "store_release((u16 *)(r1 + 8), w2)", "cb 21 08 00 10 01 00 00", "cb 12 00 08 00 00 01 10";
        Acquire load_acquire(W, R1, R2, 8) => "w1 = load_acquire((u32 *)(r2 + 8))", "c3 21 08 00 00 01 00 00", "c3 12 00 08 00 00 01 00";
        Acquire store_release(W, R1, 8, R2) => "store_release((u32 *)(r1 + 8), w2)", "c3 21 08 00 10 01 00 00", "c3 12 00 08 00 00 01 10";
        Acquire load_acquire(DW, R1, R2, 8) => "r1 = load_acquire((u64 *)(r2 + 8))", "db 21 08 00 00 01 00 00", "db 12 00 08 00 00 01 00";
        Acquire store_release(DW, R1, 8, R2) => "store_release((u64 *)(r1 + 8), r2)", "db 21 08 00 10 01 00 00", "db 12 00 08 00 00 01 10";
        V3 jump_if(Eq, R1, R2, there) => "if r1 == r2 goto +5", "1d 21 05 00 00 00 00 00", "1d 12 00 05 00 00 00 00";
        V3 jump_if(Eq, R1, -9, there) => "if r1 == -9 goto +5", "15 01 05 00 f7 ff ff ff", "15 10 00 05 ff ff ff f7";
        V3 jump_if(Eq, W1, W2, there) => "if w1 == w2 goto +5", "1e 21 05 00 00 00 00 00", "1e 12 00 05 00 00 00 00";
        V3 jump_if(Eq, W1, -9, there) => "if w1 == -9 goto +5", "16 01 05 00 f7 ff ff ff", "16 10 00 05 ff ff ff f7";
        V3 jump_if(Ne, R1, R2, there) => "if r1 != r2 goto +5", "5d 21 05 00 00 00 00 00", "5d 12 00 05 00 00 00 00";
        V3 jump_if(Ne, R1, -9, there) => "if r1 != -9 goto +5", "55 01 05 00 f7 ff ff ff", "55 10 00 05 ff ff ff f7";
        V3 jump_if(Ne, W1, W2, there) => "if w1 != w2 goto +5", "5e 21 05 00 00 00 00 00", "5e 12 00 05 00 00 00 00";
        V3 jump_if(Ne, W1, -9, there) => "if w1 != -9 goto +5", "56 01 05 00 f7 ff ff ff", "56 10 00 05 ff ff ff f7";
        V3 jump_if(Gt, R1, R2, there) => "if r1 > r2 goto +5", "2d 21 05 00 00 00 00 00", "2d 12 00 05 00 00 00 00";
        V3 jump_if(Gt, R1, -9, there) => "if r1 > -9 goto +5", "25 01 05 00 f7 ff ff ff", "25 10 00 05 ff ff ff f7";
        V3 jump_if(Gt, W1, W2, there) => "if w1 > w2 goto +5", "2e 21 05 00 00 00 00 00", "2e 12 00 05 00 00 00 00";
        V3 jump_if(Gt, W1, -9, there) => "if w1 > -9 goto +5", "26 01 05 00 f7 ff ff ff", "26 10 00 05 ff ff ff f7";
        V3 jump_if(Ge, R1, R2, there) => "if r1 >= r2 goto +5", "3d 21 05 00 00 00 00 00", "3d 12 00 05 00 00 00 00";
        V3 jump_if(Ge, R1, -9, there) => "if r1 >= -9 goto +5", "35 01 05 00 f7 ff ff ff", "35 10 00 05 ff ff ff f7";
        V3 jump_if(Ge, W1, W2, there) => "if w1 >= w2 goto +5", "3e 21 05 00 00 00 00 00", "3e 12 00 05 00 00 00 00";
        V3 jump_if(Ge, W1, -9, there) => "if w1 >= -9 goto +5", "36 01 05 00 f7 ff ff ff", "36 10 00 05 ff ff ff f7";
        V3 jump_if(Lt, R1, R2, there) => "if r1 < r2 goto +5", "ad 21 05 00 00 00 00 00", "ad 12 00 05 00 00 00 00";
        V3 jump_if(Lt, R1, -9, there) => "if r1 < -9 goto +5", "a5 01 05 00 f7 ff ff ff", "a5 10 00 05 ff ff ff f7";
        V3 jump_if(Lt, W1, W2, there) => "if w1 < w2 goto +5", "ae 21 05 00 00 00 00 00", "ae 12 00 05 00 00 00 00";
        V3 jump_if(Lt, W1, -9, there) => "if w1 < -9 goto +5", "a6 01 05 00 f7 ff ff ff", "a6 10 00 05 ff ff ff f7";
        V3 jump_if(Le, R1, R2, there) => "if r1 <= r2 goto +5", "bd 21 05 00 00 00 00 00", "bd 12 00 05 00 00 00 00";
        V3 jump_if(Le, R1, -9, there) => "if r1 <= -9 goto +5", "b5 01 05 00 f7 ff ff ff", "b5 10 00 05 ff ff ff f7";
        V3 jump_if(Le, W1, W2, there) => "if w1 <= w2 goto +5", "be 21 05 00 00 00 00 00", "be 12 00 05 00 00 00 00";
        V3 jump_if(Le, W1, -9, there) => "if w1 <= -9 goto +5", "b6 01 05 00 f7 ff ff ff", "b6 10 00 05 ff ff ff f7";
        V3 jump_if(Sgt, R1, R2, there) => "if r1 s> r2 goto +5", "6d 21 05 00 00 00 00 00", "6d 12 00 05 00 00 00 00";
        V3 jump_if(Sgt, R1, -9, there) => "if r1 s> -9 goto +5", "65 01 05 00 f7 ff ff ff", "65 10 00 05 ff ff ff f7";
        V3 jump_if(Sgt, W1, W2, there) => "if w1 s> w2 goto +5", "6e 21 05 00 00 00 00 00", "6e 12 00 05 00 00 00 00";
        V3 jump_if(Sgt, W1, -9, there) => "if w1 s> -9 goto +5", "66 01 05 00 f7 ff ff ff", "66 10 00 05 ff ff ff f7";
        V3 jump_if(Sge, R1, R2, there) => "if r1 s>= r2 goto +5", "7d 21 05 00 00 00 00 00", "7d 12 00 05 00 00 00 00";
        V3 jump_if(Sge, R1, -9, there) => "if r1 s>= -9 goto +5", "75 01 05 00 f7 ff ff ff", "75 10 00 05 ff ff ff f7";
        V3 jump_if(Sge, W1, W2, there) => "if w1 s>= w2 goto +5", "7e 21 05 00 00 00 00 00", "7e 12 00 05 00 00 00 00";
        V3 jump_if(Sge, W1, -9, there) => "if w1 s>= -9 goto +5", "76 01 05 00 f7 ff ff ff", "76 10 00 05 ff ff ff f7";
        V3 jump_if(Slt, R1, R2, there) => "if r1 s< r2 goto +5", "cd 21 05 00 00 00 00 00", "cd 12 00 05 00 00 00 00";
        V3 jump_if(Slt, R1, -9, there) => "if r1 s< -9 goto +5", "c5 01 05 00 f7 ff ff ff", "c5 10 00 05 ff ff ff f7";
        V3 jump_if(Slt, W1, W2, there) => "if w1 s< w2 goto +5", "ce 21 05 00 00 00 00 00", "ce 12 00 05 00 00 00 00";
        V3 jump_if(Slt, W1, -9, there) => "if w1 s< -9 goto +5", "c6 01 05 00 f7 ff ff ff", "c6 10 00 05 ff ff ff f7";
        V3 jump_if(Sle, R1, R2, there) => "if r1 s<= r2 goto +5", "dd 21 05 00 00 00 00 00", "dd 12 00 05 00 00 00 00";
        V3 jump_if(Sle, R1, -9, there) => "if r1 s<= -9 goto +5", "d5 01 05 00 f7 ff ff ff", "d5 10 00 05 ff ff ff f7";
        V3 jump_if(Sle, W1, W2, there) => "if w1 s<= w2 goto +5", "de 21 05 00 00 00 00 00", "de 12 00 05 00 00 00 00";
        V3 jump_if(Sle, W1, -9, there) => "if w1 s<= -9 goto +5", "d6 01 05 00 f7 ff ff ff", "d6 10 00 05 ff ff ff f7";
        V4 jump_if(Set, R1, R2, there) => "if r1 & r2 goto +5", "4d 21 05 00 00 00 00 00", "4d 12 00 05 00 00 00 00";
        V4 jump_if(Set, R1, -9, there) => "if r1 & -9 goto +5", "45 01 05 00 f7 ff ff ff", "45 10 00 05 ff ff ff f7";
        V4 jump_if(Set, W1, W2, there) => "if w1 & w2 goto +5", "4e 21 05 00 00 00 00 00", "4e 12 00 05 00 00 00 00";
        V4 jump_if(Set, W1, -9, there) => "if w1 & -9 goto +5", "46 01 05 00 f7 ff ff ff", "46 10 00 05 ff ff ff f7";
        V3 jump_if(Eq, R10, R1, there) => "if r10 == r1 goto +5", "1d 1a 05 00 00 00 00 00", "1d a1 00 05 00 00 00 00";
        V3 jump(there) => "goto +5", "05 00 05 00 00 00 00 00", "05 00 00 05 00 00 00 00";
        V4 jump_long(there) => "gotol +5", "06 00 00 00 05 00 00 00", "06 00 00 00 00 00 00 05";
        V3 call(Helper::bpf_map_lookup_elem) => "call 1", "85 00 00 00 01 00 00 00", "85 00 00 00 00 00 00 01";
        V3 call(Helper::bpf_cgrp_storage_delete) => "call 211", "85 00 00 00 d3 00 00 00", "85 00 00 00 00 00 00 d3";
        V3 exit() => "exit", "95 00 00 00 00 00 00 00", "95 00 00 00 00 00 00 00";
    }
    .into_iter()
}
