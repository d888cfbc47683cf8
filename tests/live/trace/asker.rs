//! A program that calls `getaddrinfo` once for each byte on its stdin, and writes a byte when the call is done. The
//! test writes its machine code byte by byte, so that it runs with any C library and needs no compiler.
//!
//! It has no C startup code before `main`. Both glibc's and musl's dynamic loader leave the library in a state in which
//! a numeric host can be looked up.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

/// The address of the file in memory.
const BASE: u64 = 0x40_0000;
/// Offsets in the file.
const HEADERS: usize = 64 + 4 * 56;
const DYNAMIC: usize = HEADERS;
const SYMBOLS: usize = DYNAMIC + 12 * 16;
const HASH: usize = SYMBOLS + 2 * 24;
const RELOCATION: usize = HASH + 5 * 4 + 4;
const SLOT: usize = RELOCATION + 24;
const CODE: usize = SLOT + 8;
const STRINGS: usize = CODE + 96;

/// Returns the reason why the program cannot run here.
pub(crate) fn obstacle() -> Option<String> {
    (!cfg!(target_arch = "x86_64")).then(|| "the program of these tests is written for x86-64".to_owned())
}

/// Writes a program that looks up `node` with the library `needed`, which the dynamic loader `loader` finds.
pub(crate) fn write(path: &Path, loader: &str, needed: &str, node: &str) {
    let mut strings = vec![0];
    let mut string = |text: &str| {
        let at = strings.len();
        strings.extend(text.bytes());
        strings.push(0);
        at
    };
    let (loader, needed, function, node) = (string(loader), string(needed), string("getaddrinfo"), string(node));
    let length = STRINGS + strings.len();
    let address = |at: usize| BASE + at as u64;

    let mut file = Bytes::default();
    file.add(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
    // ET_EXEC, EM_X86_64, version; entry, program headers, no sections, flags; sizes and counts.
    file.halves(&[2, 62]).words(&[1]).longs(&[address(CODE), 64, 0]).words(&[0]).halves(&[64, 56, 4, 64, 0, 0]);
    let string_size = |at: usize| strings[at..].iter().position(|byte| *byte == 0).unwrap() as u64 + 1;
    let loader_size = string_size(loader);
    // Type and flags; offset, address twice, size twice, alignment.
    let mut segment = |kind: u32, flags: u32, at: usize, size: u64, align: u64| {
        let values = [at as u64, address(at), address(at), size, size, align];
        file.words(&[kind, flags]).longs(&values);
    };
    segment(3, 4, STRINGS + loader, loader_size, 1); // PT_INTERP
    segment(1, 7, 0, length as u64, 4096); // PT_LOAD
    segment(2, 6, DYNAMIC, 12 * 16, 8); // PT_DYNAMIC
    segment(0x6474_e551, 6, 0, 0, 16); // PT_GNU_STACK
    let strings_at = address(STRINGS);
    for (tag, value) in [
        (1, needed as u64),
        (4, address(HASH)),
        (5, strings_at),
        (6, address(SYMBOLS)),
        (10, strings.len() as u64),
        (11, 24),
        (7, address(RELOCATION)),
        (8, 24),
        (9, 24),
        (24, 0), // DT_BIND_NOW
        (0, 0),
        (0, 0),
    ] {
        file.longs(&[tag, value]);
    }
    file.add(&[0; 24]);
    file.words(&[function as u32]).add(&[0x12, 0]).halves(&[0]).longs(&[0, 0]); // a global function, undefined here
    file.words(&[1, 2, 0, 0, 0, 0]); // one bucket, which is empty; two chains
    file.longs(&[address(SLOT), 1 << 32 | 6, 0]); // R_X86_64_GLOB_DAT
    file.longs(&[0]);
    assert_eq!(file.0.len(), CODE);

    let far = |from: usize, to: usize| ((to as i64 - from as i64) as i32).to_le_bytes();
    let mut code = Bytes::default();
    code.add(&[0x48, 0x83, 0xe4, 0xf0]); // and rsp, -16
    code.add(&[0x48, 0x83, 0xec, 0x20]); // sub rsp, 32
    let next = code.0.len();
    code.add(&[0x31, 0xc0, 0x31, 0xff]); // eax = 0 (read), edi = 0
    code.add(&[0x48, 0x89, 0xe6, 0xba, 1, 0, 0, 0, 0x0f, 0x05]); // rsi = rsp, edx = 1, syscall
    code.add(&[0x83, 0xf8, 0x01, 0x75, 0]); // if eax != 1 goto end
    let to_end = code.0.len();
    code.add(&[0x48, 0x8d, 0x3d]); // rdi = node
    let from = CODE + code.0.len() + 4;
    code.add(&far(from, STRINGS + node));
    code.add(&[0x31, 0xf6, 0x31, 0xd2]); // esi = 0, edx = 0
    code.add(&[0x48, 0x8d, 0x4c, 0x24, 0x08]); // rcx = rsp + 8
    code.add(&[0xff, 0x15]); // call *slot
    let from = CODE + code.0.len() + 4;
    code.add(&far(from, SLOT));
    code.add(&[0xb8, 1, 0, 0, 0, 0xbf, 1, 0, 0, 0]); // eax = 1 (write), edi = 1
    code.add(&[0x48, 0x89, 0xe6, 0xba, 1, 0, 0, 0, 0x0f, 0x05]); // rsi = rsp, edx = 1, syscall
    let from = code.0.len() as i64 + 2;
    code.add(&[0xeb, (next as i64 - from) as u8]); // goto next
    let end = code.0.len();
    code.0[to_end - 1] = (end - to_end) as u8;
    code.add(&[0xb8, 231, 0, 0, 0, 0x31, 0xff, 0x0f, 0x05]); // end: eax = 231 (exit_group), edi = 0, syscall
    assert!(code.0.len() <= STRINGS - CODE);
    code.0.resize(STRINGS - CODE, 0x90);
    file.add(&code.0).add(&strings);
    fs::write(path, &file.0).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[derive(Default)]
struct Bytes(Vec<u8>);

impl Bytes {
    fn add(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend(bytes);
        self
    }

    fn halves(&mut self, numbers: &[u16]) -> &mut Self {
        numbers.iter().for_each(|number| self.0.extend(number.to_le_bytes()));
        self
    }

    fn words(&mut self, numbers: &[u32]) -> &mut Self {
        numbers.iter().for_each(|number| self.0.extend(number.to_le_bytes()));
        self
    }

    fn longs(&mut self, numbers: &[u64]) -> &mut Self {
        numbers.iter().for_each(|number| self.0.extend(number.to_le_bytes()));
        self
    }
}
