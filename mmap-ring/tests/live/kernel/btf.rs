//! BTF types for a program with a callback. The verifier requires them: it allows only static functions as callbacks
//! (`check_ld_imm` in `kernel/bpf/verifier.c`).

/// The type ids of the program and of the callback.
pub(crate) const PROGRAM: u32 = 4;
pub(crate) const CALLBACK: u32 = 6;

/// Returns a `.BTF` section with `static int program(void)` and `static int callback(void *what, void *context)`.
pub(crate) fn of_program_and_callback() -> Vec<u8> {
    const STRINGS: &[u8] = b"\0int\0program\0callback\0what\0context\0";
    // `info` of `struct btf_type`: the kind in the upper bits; in the lower bits the number of parameters, or the
    // linkage, here static.
    const INT: u32 = 1 << 24;
    const POINTER: u32 = 2 << 24;
    const FUNCTION: u32 = 12 << 24;
    const PROTOTYPE: u32 = 13 << 24;
    let name = |name: &[u8]| STRINGS.windows(name.len()).position(|at| at == name).map_or(0, |at| at as u32);
    let types = [
        // 1: int, four bytes, signed; 2: void *
        &[name(b"int\0"), INT, 4, 1 << 24 | 32][..],
        &[0, POINTER, 0],
        // 3: int (void); 4: the function of that
        &[0, PROTOTYPE, 1],
        &[name(b"program\0"), FUNCTION, 3],
        // 5: int (void *what, void *context); 6: the function of that
        &[0, PROTOTYPE | 2, 1, name(b"what\0"), 2, name(b"context\0"), 2],
        &[name(b"callback\0"), FUNCTION, 5],
    ]
    .concat();
    let length = size_of_val(types.as_slice()) as u32;
    let [m0, m1] = 0xeb9f_u16.to_ne_bytes();
    // Magic, version 1, no flags; the header's length; the offsets and lengths of types and strings after it.
    let header = [u32::from_ne_bytes([m0, m1, 1, 0]), 24, 0, length, length, STRINGS.len() as u32];
    let words = header.iter().chain(&types).flat_map(|word| word.to_ne_bytes());
    words.chain(STRINGS.iter().copied()).collect()
}
