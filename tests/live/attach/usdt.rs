//! USDT probes in this test binary, written by hand: a `nop`, and a note that describes it.
#![expect(unsafe_code, reason = "the probes are inline assembly")]
#![expect(clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::{
    arch::asm,
    fs,
    hint::black_box,
    path::PathBuf,
    process::{Command, Stdio},
    sync::atomic::{AtomicU16, Ordering::Relaxed},
};

use cutaway::{Link, LoadOptions, Loaded, Object, Pinning, Program, Uprobe, Usdt, features};

use crate::{
    crafted::{CODE, Crafted, DATA, LOCAL, NOTE, OBJECT, probe as note},
    harness::{Test, test},
    mapped::Mapped,
    pins::file_system,
    sample::{self, Also, load, runs},
    unsupported,
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test!(usdt_probe_reads_its_arguments).unless(unsupported::usdt),
        test!(usdt_arguments_are_read_in_every_layout).unless(unsupported::usdt),
        test!(usdt_specs_of_unknown_layout_are_refused).unless(unsupported::usdt),
        test!(shared_usdt_specs_are_refused).unless(unsupported::usdt),
        test!(opened_usdt_program_is_refused).unless(unsupported::usdt),
        test!(usdt_probe_attaches_at_every_location).unless(unsupported::usdt),
        test!(usdt_semaphore_counts_attachments).unless(unsupported::usdt),
        test!(usdt_probe_is_attached_by_its_section).unless(unsupported::usdt),
        test!(usdt_probe_is_attached_in_one_process).unless(unsupported::usdt),
        test!(usdt_probe_works_without_cookies).unless(unsupported::usdt),
        test!(usdt_specs_are_released).unless(unsupported::usdt),
        test!(pinned_usdt_specs_are_refused).unless(unsupported::usdt),
        test!(missing_usdt_probe_is_refused).unless(unsupported::usdt),
        test!(usdt_argument_with_an_ambiguous_symbol_is_unreadable).unless(unsupported::usdt),
        test!(usdt_without_libbpf_maps_gets_registers_and_cookie).unless(unsupported::usdt_cookies),
    ]
}

/// Puts a probe here: its name, its semaphore's symbol or 0, its arguments, and their operands.
macro_rules! probe {
    ($name:literal, $semaphore:literal, $arguments:literal, $($operands:tt)*) => {
        asm!(
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
            options(att_syntax, nostack, preserves_flags)
        )
    };
}

static COUNTER: u32 = 77;

/// Has arguments of every form that compilers write.
#[inline(never)]
fn many(number: i32, text: &[u8; 8], index: usize) {
    // The note alone does not keep a variable alive.
    black_box(&COUNTER);
    // SAFETY: a `nop`, and a note that is not code.
    unsafe {
        probe!("many", "0", "-4@{number:e} 8@{text} -1@-1({text},{index},4) 2@3({text}) -8@$-9 4@$0x10 4@{counter}(%rip) 8f@%xmm0",
            number = in(reg) number, text = in(reg) text, index = in(reg) index, counter = sym COUNTER,
        );
    }
}

/// Has arguments in memory with an index register: each scale, without a scale, and without a base.
#[inline(never)]
fn indexed(table: &[u64; 4], index: usize) {
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
fn first() {
    twice(black_box(1));
}

#[inline(never)]
fn second() {
    twice(black_box(2));
}

/// The probe's semaphore: the number of attached probes, written by the kernel.
#[unsafe(link_section = ".probes")]
static LISTENERS: AtomicU16 = AtomicU16::new(0);

#[inline(never)]
fn counted() {
    // SAFETY: as above.
    unsafe { probe!("counted", "{listeners}", "", listeners = sym LISTENERS,) }
}

/// The event that the program sends.
#[derive(Debug, PartialEq)]
struct Event {
    cookie: u64,
    arguments: Vec<i64>,
    errors: Vec<i64>,
}

const OBJECT_1_7: &[u8] = include_bytes!("../../corpus/kinds/usdt.o");

/// Objects with the maps of each layout: the header's version, and whether it can read an index register.
const LAYOUTS: &[(&str, bool, &[u8])] = &[
    ("libbpf 1.7", true, OBJECT_1_7),
    ("libbpf 1.7, without the type of values", true, include_bytes!("../../corpus/kinds/usdt_untyped.o")),
    ("libbpf 1.0", false, include_bytes!("../../corpus/kinds/usdt_before_1_7.o")),
    ("libbpf 1.0, maps without types", false, include_bytes!("../../corpus/kinds/usdt_legacy.o")),
    ("libbpf 1.0, without BTF", false, include_bytes!("../../corpus/kinds/usdt_legacy_no_btf.o")),
];

fn object() -> Object {
    Object::parse(OBJECT_1_7).unwrap()
}

/// Returns the object, and its program that suits this kernel.
fn suitable() -> (Object, &'static str) {
    suitable_of(OBJECT_1_7)
}

fn suitable_of(bytes: &[u8]) -> (Object, &'static str) {
    let mut object = Object::parse(bytes).unwrap();
    if features::perf_link().is_yes() {
        return (object, "by_cookie");
    }
    object.program_mut("by_cookie").unwrap().section.autoload = false;
    object.program_mut("by_address").unwrap().section.autoload = true;
    (object, "by_address")
}

fn listening() -> (Loaded, &'static str) {
    let (object, name) = suitable();
    (object.load().unwrap(), name)
}

fn own(name: &str) -> Usdt {
    Usdt::new("/proc/self/exe", "cutaway", name).pid(std::process::id())
}

fn attach(loaded: &(Loaded, &str), probe: &Usdt) -> Link {
    probe.attach(loaded.0.program(loaded.1).unwrap()).unwrap()
}

fn events(loaded: &Loaded) -> Vec<Event> {
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

fn usdt_probe_reads_its_arguments() {
    let loaded = listening();
    let link = attach(&loaded, &own("many").cookie(5 << 40));
    let text = *b"\x01\x02\x03\x04\x05\xfa\x07\x08";
    many(-3, &text, 0);
    many(70_000, &text, 1);
    drop(link);
    many(0, &text, 0);
    let events = events(&loaded.0);
    assert_eq!(events.len(), 2, "{events:?}");
    let address = events[0].arguments[1];
    let second = i64::from(u16::from_ne_bytes([4, 5]));
    assert_ne!(address, 0);
    assert_eq!(events[0].arguments[3..], [second, -9, 16, 77, 0]);
    assert_eq!(events[1].arguments, [70_000, address, 4, second, -9, 16, 77, 0]);
    assert_eq!(events[0].arguments[0], -3);
    for event in &events {
        assert_eq!(event.cookie, 5 << 40);
        assert_eq!(event.errors, [0, 0, 0, 0, 0, 0, 0, -i64::from(libc::EINVAL)]);
    }
}

fn usdt_arguments_are_read_in_every_layout() {
    let table = [0x8182_8384_8586_8788_u64, 0x9192_9394_9596_9798, 0xa1a2_a3a4_a5a6_a7a8, 0xb1b2_b3b4_b5b6_b7b8];
    let bytes: Vec<u8> = table.iter().flat_map(|word| word.to_ne_bytes()).collect();
    let two = |at: usize| i64::from(u16::from_ne_bytes([bytes[at], bytes[at + 1]]));
    let four = |at: usize| i64::from(i32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap()));
    let word = |at: usize| i64::from_ne_bytes(bytes[at..at + 8].try_into().unwrap());
    for &(layout, reads_index, object) in LAYOUTS {
        let (object, name) = suitable_of(object);
        let loaded = (object.load().unwrap(), name);
        let link = attach(&loaded, &own("indexed").cookie(u64::MAX - 1));
        for index in 1..4 {
            indexed(&table, index);
        }
        drop(link);
        let events = events(&loaded.0);
        assert_eq!(events.len(), 3, "{layout}");
        for (event, index) in events.iter().zip(1..4) {
            let einval = -i64::from(libc::EINVAL);
            let mut errors = [0, 0, 0, 0, 0, 0, 0, einval, einval, 0, 0, 0];
            let mut arguments = [
                i64::from(bytes[index]),
                i64::from(bytes[index].cast_signed()),
                two(2 + index * 2),
                four(index * 4 - 4),
                word(index * 8),
                word(8),
                word(16),
                0,
                0,
                index as i64,
                word(0),
                -7,
            ];
            if !reads_index {
                for at in [0, 1, 2, 3, 4, 6] {
                    (arguments[at], errors[at]) = (0, einval);
                }
            }
            assert_eq!(event.cookie, u64::MAX - 1, "{layout}");
            assert_eq!(event.errors, errors, "{layout}, index {index}");
            assert_eq!(event.arguments, arguments, "{layout}, index {index}");
        }
    }
}

/// An unknown layout is refused when the probe is attached: the object's other programs can be used.
fn usdt_specs_of_unknown_layout_are_refused() {
    let refused = |object: &[u8], size: u32, part: &str| {
        let (mut object, name) = suitable_of(object);
        object.map_mut("__bpf_usdt_specs").unwrap().value_size = size;
        let loaded = object.load().unwrap();
        let error = own("twice").attach(loaded.program(name).unwrap()).unwrap_err().to_string();
        assert!(error.contains("the values of its map `__bpf_usdt_specs`") && error.contains(part), "{error}");
        assert_eq!(loaded.map("__bpf_usdt_specs").unwrap().lookup(&[0; 4]).unwrap(), Some(vec![0; size as usize]));
    };
    refused(OBJECT_1_7, 320, "have 320 bytes, and their type `__bpf_usdt_spec` has 304");
    // Without the type, the loader knows only the sizes of the released headers.
    refused(LAYOUTS[1].2, 320, "have 320 bytes and no type, so their layout is not known");
    refused(LAYOUTS[4].2, 224, "208 bytes (libbpf 1.0 to 1.6) or 304 (libbpf 1.7)");
}

/// Two objects with one map would overwrite each other's entries.
fn shared_usdt_specs_are_refused() {
    let first = listening();
    let (object, name) = suitable();
    let mut options = LoadOptions::new();
    options.map("__bpf_usdt_specs", first.0.map("__bpf_usdt_specs").unwrap());
    let loaded = object.load_with(&options).unwrap();
    let error = own("twice").attach(loaded.program(name).unwrap()).unwrap_err().to_string();
    assert!(error.contains("passed to `LoadOptions::map`") && error.contains("`__bpf_usdt_specs`"), "{error}");

    let pins = Pins(file_system().join(format!("cutaway-usdt-path-{}", std::process::id())));
    fs::create_dir(&pins.0).unwrap();
    let (mut object, name) = suitable();
    object.map_mut("__bpf_usdt_ip_to_spec_id").unwrap().pin_path = Some(pins.0.join("addresses"));
    let loaded = object.load().unwrap();
    let error = own("twice").attach(loaded.program(name).unwrap()).unwrap_err().to_string();
    assert!(error.contains("`__bpf_usdt_ip_to_spec_id` is pinned at ") && error.contains("/addresses"), "{error}");
}

/// Only the process that loaded the program knows which entries of its map are in use.
fn opened_usdt_program_is_refused() {
    let loaded = listening();
    let link = attach(&loaded, &own("many"));
    let id = loaded.0.program(loaded.1).unwrap().info().unwrap().id;
    let opened = Program::from_id(id).unwrap();
    let error = own("twice").attach(&opened).unwrap_err().to_string();
    assert!(error.contains("only the process that loaded it knows"), "{error}");
    first();
    assert_eq!(events(&loaded.0), []);
    drop(link);
    // A program without the header's maps has no such entries.
    let counting = load("uprobe");
    let opened = Program::from_id(counting.program("count").unwrap().info().unwrap().id).unwrap();
    let link = own("twice").attach(&opened).unwrap();
    first();
    drop(link);
    assert_eq!(runs(&counting), 1);
}

fn usdt_probe_attaches_at_every_location() {
    let (_, locations) = own("twice").locate().unwrap();
    assert_eq!(locations.len(), 2, "{locations:?}");
    let loaded = listening();
    let link = attach(&loaded, &own("twice"));
    first();
    second();
    drop(link);
    first();
    let reported: Vec<_> = events(&loaded.0).into_iter().map(|event| event.arguments).collect();
    assert_eq!(reported, [[1], [2]]);
}

/// A directory of pins that is removed on drop, with its contents.
struct Pins(PathBuf);

impl Drop for Pins {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn pinned_usdt_specs_are_refused() {
    let pins = Pins(file_system().join(format!("cutaway-usdt-{}", std::process::id())));
    fs::create_dir(&pins.0).unwrap();
    // Neither the process that creates the map nor one that finds it there knows the other's entries.
    for _ in 0..2 {
        let (mut object, name) = suitable();
        object.set_pin_root(&pins.0);
        object.map_mut("__bpf_usdt_specs").unwrap().pinning = Pinning::ByName;
        let loaded = object.load().unwrap();
        let error = own("twice").attach(loaded.program(name).unwrap()).unwrap_err().to_string();
        assert!(error.contains("pinned by name"), "{error}");
    }
}

fn usdt_semaphore_counts_attachments() {
    let (_, locations) = own("counted").locate().unwrap();
    assert!(locations[0].semaphore.is_some(), "{locations:?}");
    assert_eq!(LISTENERS.load(Relaxed), 0);
    let loaded = listening();
    let link = attach(&loaded, &own("counted"));
    assert_eq!(LISTENERS.load(Relaxed), 1);
    let other = attach(&loaded, &own("counted"));
    counted();
    drop(link);
    assert_eq!(LISTENERS.load(Relaxed), 1);
    drop(other);
    assert_eq!(LISTENERS.load(Relaxed), 0);
    assert_eq!(events(&loaded.0).len(), 2);
}

fn usdt_probe_is_attached_by_its_section() {
    let own = std::env::current_exe().unwrap();
    let loaded =
        sample::object(&format!("usdt/{}:cutaway:twice", own.display()), 0, Also::OnlyThisProcess).load().unwrap();
    let link = loaded.program("count").unwrap().attach().unwrap();
    assert_eq!(link.as_link_fd().is_some(), features::uprobe_multi_pid().is_yes());
    first();
    second();
    drop(link);
    first();
    assert_eq!(runs(&loaded), 2);
    // A program of another section works too.
    let loaded = load("uprobe");
    let link = self::own("twice").attach(loaded.program("count").unwrap()).unwrap();
    first();
    drop(link);
    assert_eq!(runs(&loaded), 1);
}

fn usdt_probe_is_attached_in_one_process() {
    let loaded = listening();
    let mut other = Command::new("/proc/self/exe").arg(crate::WAIT).stdin(Stdio::piped()).spawn().unwrap();
    let link = attach(&loaded, &Usdt::new("/proc/self/exe", "cutaway", "twice").pid(other.id()));
    first();
    drop(link);
    drop(other.stdin.take());
    assert!(other.wait().unwrap().success());
    assert_eq!(events(&loaded.0), []);
}

/// Kernels before 5.15 have no cookies: the probe's address selects its spec.
fn usdt_probe_works_without_cookies() {
    if features::perf_link().is_yes() {
        // The loader does not fill the other map here. So if its program finds nothing, it is not the wrong one.
        let mut object = object();
        object.program_mut("by_address").unwrap().section.autoload = true;
        let loaded = object.load().unwrap();
        let link = own("twice").attach(loaded.program("by_address").unwrap()).unwrap();
        first();
        drop(link);
        return assert_eq!(events(&loaded), []);
    }
    let loaded = listening();
    let line = Usdt::new("/proc/self/exe", "cutaway", "twice").attach(loaded.0.program(loaded.1).unwrap());
    let line = line.unwrap_err().to_string();
    assert!(line.contains("no cookies (Linux 5.15)"), "{line}");
    let link = attach(&loaded, &own("twice"));
    first();
    drop(link);
    assert_eq!(loaded.0.map("__bpf_usdt_ip_to_spec_id").unwrap().keys().count(), 0);
    assert_eq!(events(&loaded.0).len(), 1);
}

fn usdt_specs_are_released() {
    let loaded = listening();
    // The map has four entries. Equal specs share one.
    let same: Vec<_> = (0..8).map(|_| attach(&loaded, &own("many"))).collect();
    let program = loaded.0.program(loaded.1).unwrap();
    if !features::perf_link().is_yes() {
        // The location has one spec. A second one is refused until the first is no longer used.
        let line = own("many").cookie(1).attach(program).unwrap_err().to_string();
        assert!(line.contains("another probe is already at 0x"), "{line}");
        drop(same);
        let link = attach(&loaded, &own("many").cookie(1));
        many(1, b"12345678", 1);
        drop(link);
        return assert_eq!(events(&loaded.0).iter().map(|event| event.cookie).collect::<Vec<_>>(), [1]);
    }
    let links: Vec<_> = (1..=3).map(|cookie| attach(&loaded, &own("many").cookie(cookie))).collect();
    let line = own("many").cookie(4).attach(program).unwrap_err().to_string();
    assert!(line.contains("has 4 entries") && line.contains("BPF_USDT_MAX_SPEC_CNT"), "{line}");
    drop(links);
    let links: Vec<_> = (4..=6).map(|cookie| attach(&loaded, &own("many").cookie(cookie))).collect();
    many(1, b"12345678", 1);
    let mut cookies: Vec<_> = events(&loaded.0).iter().map(|event| event.cookie).collect();
    cookies.sort_unstable();
    assert_eq!(cookies, [0, 0, 0, 0, 0, 0, 0, 0, 4, 5, 6]);
    drop((same, links));
}

fn missing_usdt_probe_is_refused() {
    let line = own("nothing").locate().unwrap_err().to_string();
    for part in [
        "`cutaway:nothing`",
        "no such probe; it has `cutaway:counted`",
        "`cutaway:indexed`, `cutaway:many`, `cutaway:twice`",
    ] {
        assert!(line.contains(part), "{line}");
    }
    let all: Vec<_> = Usdt::all("/proc/self/exe").unwrap().into_iter().map(|location| location.name).collect();
    for name in ["many", "twice", "counted"] {
        assert!(all.iter().any(|known| known == name), "{all:?}");
    }
    let loaded = load("socket");
    let line = own("twice").attach(loaded.program("count").unwrap()).unwrap_err().to_string();
    assert!(line.contains("it is a program of the type SOCKET_FILTER; KPROBE is needed"), "{line}");
}

/// Two files have static variables of the same name: the file does not say which one the argument names.
fn usdt_argument_with_an_ambiguous_symbol_is_unreadable() {
    if cfg!(not(target_arch = "x86_64")) {
        return;
    }
    let variable = |name, address| (name, LOCAL, OBJECT, address, 4);
    let text = "4@only(%rip) 4@several(%rip) 8@$5";
    let crafted = Crafted {
        symbols: vec![variable("only", DATA), variable("several", DATA + 8), variable("several", DATA + 16)],
        sections: vec![(".note.stapsdt", NOTE, note(CODE, "hit", text))],
        ..Crafted::default()
    };
    let mut bytes = crafted.write();
    bytes[0x2000..0x2018].fill(1);
    let file = Mapped::write("ambiguous.so", &bytes);
    let loaded = listening();
    let link = attach(&loaded, &Usdt::new(file.path(), "cutaway", "hit").pid(std::process::id()));
    file.call(0);
    drop(link);
    let events = events(&loaded.0);
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!(events[0].arguments, [0x0101_0101, 0, 5]);
    assert_eq!(events[0].errors, [0, -i64::from(libc::EINVAL), 0]);
}

fn usdt_without_libbpf_maps_gets_registers_and_cookie() {
    let loaded = sample::object("usdt", 0, Also::NotesCookie).load().unwrap();
    let link = own("twice").cookie(11).attach(loaded.program("count").unwrap()).unwrap();
    first();
    drop(link);
    assert_eq!((runs(&loaded), sample::cookie(&loaded)), (1, 11));
    // The location itself is available too.
    let (path, locations) = own("twice").locate().unwrap();
    assert!(Uprobe::at_file_offset(path.to_str().unwrap(), locations[0].offset).locate().is_ok());
}
