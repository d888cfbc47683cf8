//! Probes in this test binary, and a program that reports their arguments.
#![expect(unsafe_code, reason = "the probes are inline assembly")]

use std::{arch::asm, hint::black_box, sync::atomic::AtomicU16};

use cutaway::{Link, Loaded, Object, Usdt, features};

/// Assembles in the syntax that compilers use for the arguments of probes.
#[cfg(target_arch = "x86_64")]
macro_rules! assemble {
    ($($all:tt)*) => { asm!($($all)* options(att_syntax, nostack, preserves_flags)) };
}
#[cfg(not(target_arch = "x86_64"))]
macro_rules! assemble {
    ($($all:tt)*) => { asm!($($all)* options(nostack, preserves_flags)) };
}

/// Puts a probe here: its name, its semaphore's symbol or 0, its arguments, and their operands.
macro_rules! probe {
    ($name:literal, $semaphore:literal, $arguments:literal, $($operands:tt)*) => {
        assemble!(
            "990: nop",
            ".pushsection .note.stapsdt, \"\", \"note\"",
            ".balign 4",
            ".4byte 992f-991f, 994f-993f, 3",
            "991: .asciz \"stapsdt\"",
            "992: .balign 4",
            concat!("993: .8byte 990b, _.stapsdt.base, ", $semaphore),
            concat!(".asciz \"cutaway\", \"", $name, "\", \"", $arguments, "\""),
            "994: .balign 4",
            ".popsection",
            ".ifndef _.stapsdt.base",
            ".pushsection .stapsdt.base, \"aG\", \"progbits\", .stapsdt.base, comdat",
            ".weak _.stapsdt.base",
            ".hidden _.stapsdt.base",
            "_.stapsdt.base: .space 1",
            ".size _.stapsdt.base, 1",
            ".popsection",
            ".endif",
            $($operands)*
        )
    };
}

static COUNTER: u32 = 77;

/// Has arguments of every form that compilers write.
#[inline(never)]
pub(super) fn many(number: i32, text: &[u8; 8], index: usize) {
    // The note alone does not keep a variable alive.
    black_box(&COUNTER);
    // SAFETY: a `nop`, and a note that is not code.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        probe!("many", "0", "-4@{number:e} 8@{text} -1@-1({text},{index},4) 2@3({text}) -8@$-9 4@$0x10 4@{counter}(%rip) 8f@%xmm0",
            number = in(reg) number, text = in(reg) text, index = in(reg) index, counter = sym COUNTER,
        );
    }
    // SAFETY: as above.
    #[cfg(target_arch = "aarch64")]
    unsafe {
        probe!("many", "0", "-4@{number:w} 8@{text} -1@[{next},-1] 2@[{text}, 3] -8@-9 4@16 4@[{counter}] 8f@d0",
            number = in(reg) number, text = in(reg) text, next = in(reg) text.as_ptr().wrapping_add(4 * index),
            counter = in(reg) &raw const COUNTER,
        );
    }
}

/// Has arguments in memory with an index register: each scale, without a scale, and without a base. On arm64 compilers
/// write no index register; there the same values are at a base.
#[inline(never)]
#[cfg(target_arch = "aarch64")]
pub(super) fn indexed(table: &[u64; 4], index: usize) {
    let at = |bytes: usize| table.as_ptr().cast::<u8>().wrapping_add(bytes * index);
    // SAFETY: as above.
    unsafe {
        probe!("indexed", "0", "1@[{one}] -1@[{one}, 0] 2@[{two},2] -4@[{four},-4] 8@[{eight}] 8@[{table},8] 8@[{table}, 16] 8f@d1 16@v1.4s 4@{index:w} 8@[{table}] -2@-7",
            one = in(reg) at(1), two = in(reg) at(2), four = in(reg) at(4), eight = in(reg) at(8),
            table = in(reg) table, index = in(reg) index,
        );
    }
}

/// Has arguments in memory with an index register: each scale, without a scale, and without a base.
#[inline(never)]
#[cfg(target_arch = "x86_64")]
pub(super) fn indexed(table: &[u64; 4], index: usize) {
    let half = table.as_ptr() as usize / 2;
    // SAFETY: as above.
    unsafe {
        probe!("indexed", "0", "1@({table},{index},1) -1@({table},{index}) 2@2({table},{index},2) -4@-4( {table} , {index} , 4 ) 8@({table},{index},8) 8@8(,{table},1) 8@16(,{half},2) 8@(,{index},8) 1@%fs:0 4@{index:e} 8@({table}) -2@$-7",
            table = in(reg) table, index = in(reg) index, half = in(reg) half,
        );
    }
}

#[inline(always)]
fn twice(value: u64) {
    // SAFETY: as above.
    unsafe { probe!("twice", "0", "8@{0}", in(reg) value,) }
}

#[inline(never)]
pub(super) fn first() {
    twice(black_box(1));
}

#[inline(never)]
pub(super) fn second() {
    twice(black_box(2));
}

/// The probe's semaphore: the number of attached probes, written by the kernel.
#[unsafe(link_section = ".probes")]
pub(super) static LISTENERS: AtomicU16 = AtomicU16::new(0);

#[inline(never)]
pub(super) fn counted() {
    // SAFETY: as above.
    unsafe { probe!("counted", "{listeners}", "", listeners = sym LISTENERS,) }
}

/// The event that the program sends.
#[derive(Debug, PartialEq)]
pub(super) struct Event {
    pub(super) cookie: u64,
    pub(super) arguments: Vec<i64>,
    pub(super) errors: Vec<i64>,
}

pub(super) const OBJECT_1_7: &[u8] = include_bytes!("../../../corpus/kinds/usdt.o");

/// Objects with the maps of each layout: the header's version, and whether it can read an index register.
pub(super) const LAYOUTS: &[(&str, bool, &[u8])] = &[
    ("libbpf 1.7", true, OBJECT_1_7),
    ("libbpf 1.7, without the type of values", true, include_bytes!("../../../corpus/kinds/usdt_untyped.o")),
    ("libbpf 1.0", false, include_bytes!("../../../corpus/kinds/usdt_before_1_7.o")),
    ("libbpf 1.0, maps without types", false, include_bytes!("../../../corpus/kinds/usdt_legacy.o")),
    ("libbpf 1.0, without BTF", false, include_bytes!("../../../corpus/kinds/usdt_legacy_no_btf.o")),
];

pub(super) fn object() -> Object {
    Object::parse(OBJECT_1_7).unwrap()
}

/// Returns the object, and its program that suits this kernel.
pub(super) fn suitable() -> (Object, &'static str) {
    suitable_of(OBJECT_1_7)
}

pub(super) fn suitable_of(bytes: &[u8]) -> (Object, &'static str) {
    let mut object = Object::parse(bytes).unwrap();
    if features::perf_link().is_yes() {
        return (object, "by_cookie");
    }
    object.program_mut("by_cookie").unwrap().section.autoload = false;
    object.program_mut("by_address").unwrap().section.autoload = true;
    (object, "by_address")
}

pub(super) fn listening() -> (Loaded, &'static str) {
    let (object, name) = suitable();
    (object.load().unwrap(), name)
}

pub(super) fn own(name: &str) -> Usdt {
    Usdt::new("/proc/self/exe", "cutaway", name).pid(std::process::id())
}

pub(super) fn attach(loaded: &(Loaded, &str), probe: &Usdt) -> Link {
    probe.attach(loaded.0.program(loaded.1).unwrap()).unwrap()
}

pub(super) fn events(loaded: &Loaded) -> Vec<Event> {
    let mut ring = loaded.map("events").unwrap().ring().unwrap();
    let mut batch = ring.batch().unwrap();
    let events = batch.records().map(|record| {
        let words: Vec<_> = record.as_chunks().0.iter().map(|word| i64::from_ne_bytes(*word)).collect();
        let [cookie, count, rest @ ..] = words.as_slice() else { panic!("{words:?}") };
        let (arguments, errors) = rest.split_at(12);
        let count = usize::try_from(*count).unwrap();
        Event {
            cookie: cookie.cast_unsigned(),
            arguments: arguments[..count].to_vec(),
            errors: errors[..count].to_vec(),
        }
    });
    events.collect()
}
