//! Files that are built to be large or to be misread. Damaged objects found some of these faults; random damage has not
//! reached the others yet.

use cutaway::Object;
use cutaway_programs::getaddrinfo::Transport;
use object::{Endianness, elf::FileHeader64, read::elf::FileHeader as _};

use crate::memory;

fn refusal(bytes: &[u8]) -> String {
    let before = memory::reset();
    let error = Object::parse(bytes).expect_err("it is broken").to_string();
    assert!(memory::peak() - before < 8 << 20, "{} bytes for {error}", memory::peak() - before);
    assert!(!error.contains('\n'), "{error:?}");
    error
}

/// Returns the offset of the section header table and the number of sections.
fn table(bytes: &[u8]) -> (usize, usize) {
    let header = FileHeader64::<Endianness>::parse(bytes).unwrap();
    (header.e_shoff(Endianness::default()) as usize, usize::from(header.e_shnum(Endianness::default())))
}

pub(crate) fn names_cannot_talk_to_the_terminal() {
    let mut bytes = Transport::PerfHeap.object().unwrap();
    let name = b"\0events\0";
    let places: Vec<_> = (0..bytes.len() - 8).filter(|&place| bytes[place..].starts_with(name)).collect();
    for place in places {
        bytes[place + 2..place + 4].copy_from_slice(b"\n\x1b");
    }
    assert!(refusal(&bytes).contains("holds a control character"), "{}", refusal(&bytes));
}

/// Ten thousand sections share the same megabyte of the file.
pub(crate) fn sections_that_lie_on_each_other_are_refused() {
    let mut bytes = Transport::Ring.object().unwrap();
    let (start, count) = table(&bytes);
    let text: Vec<u8> = (1..count)
        .map(|number| bytes[start + number * 64..][..64].to_vec())
        .find(|header| header[8] & 4 != 0)
        .expect("a section of instructions");
    let sections = bytes[start..start + count * 64].to_vec();
    let room = bytes.len();
    bytes.resize(room + (1 << 20), 0);
    let new = bytes.len();
    bytes.extend(sections);
    for _ in 0..10_000 {
        let mut header = text.clone();
        header[24..32].copy_from_slice(&(room as u64).to_ne_bytes());
        header[32..40].copy_from_slice(&(1_u64 << 20).to_ne_bytes());
        bytes.extend(header);
    }
    bytes[40..48].copy_from_slice(&(new as u64).to_ne_bytes());
    bytes[60..62].copy_from_slice(&(count as u16 + 10_000).to_ne_bytes());
    assert!(refusal(&bytes).contains("overlaps others"), "{}", refusal(&bytes));
}

/// Returns the object with more sections, each of this name and size, without contents in the file.
fn with_nobits(mut bytes: Vec<u8>, sections: &[(&[u8], u64)]) -> Vec<u8> {
    const NOBITS: u32 = 8;
    let (start, count) = table(&bytes);
    // The file's header has the index of the section that has the sections' names.
    let strings = start + usize::from(u16::from_le_bytes([bytes[62], bytes[63]])) * 64;
    let (at, size) = (word(&bytes, strings + 24) as usize, word(&bytes, strings + 32) as usize);
    let mut names = bytes[at..at + size].to_vec();
    let mut headers = Vec::new();
    for (name, size) in sections {
        let mut header = [0_u8; 64];
        header[..4].copy_from_slice(&(names.len() as u32).to_le_bytes());
        header[4..8].copy_from_slice(&NOBITS.to_le_bytes());
        header[8] = 3; // SHF_WRITE | SHF_ALLOC
        header[32..40].copy_from_slice(&size.to_le_bytes());
        headers.extend(header);
        names.extend_from_slice(name);
        names.push(0);
    }
    replace(&mut bytes, strings, &names);
    let table = bytes[start..start + count * 64].to_vec();
    let new = bytes.len().next_multiple_of(8);
    bytes.resize(new, 0);
    bytes.extend(table);
    bytes.extend(headers);
    bytes[40..48].copy_from_slice(&(new as u64).to_le_bytes());
    bytes[60..62].copy_from_slice(&((count + sections.len()) as u16).to_le_bytes());
    bytes
}

/// The kernel limits the size of a map. A data section of zeroes takes no memory before the map is created.
pub(crate) fn zeroes_cost_nothing_however_many() {
    let most = u64::from(u32::MAX);
    let sections = [(&b".bss"[..], 70_000_000), (b".bss.more", most), (b".rodata.none", most), (b"other", 1 << 62)];
    let bytes = with_nobits(Transport::Ring.object().unwrap(), &sections);
    let bytes = with_symbols(bytes, "events", 1, |_, symbol| {
        let count = u16::try_from(table(&Transport::Ring.object().unwrap()).1).unwrap();
        symbol[6..8].copy_from_slice(&(count + 1).to_le_bytes()); // .bss.more
        symbol[8..16].copy_from_slice(&(most - 8).to_le_bytes());
        symbol[16..24].copy_from_slice(&8_u64.to_le_bytes());
    });
    let before = memory::reset();
    let mut object = Object::parse(&bytes).unwrap();
    let size = |name: &str| object.maps().iter().find(|map| map.name == name).unwrap().value_size;
    assert_eq!([".bss", ".bss.more", ".rodata.none"].map(size), [70_000_000, u32::MAX, u32::MAX]);
    object.set_variable("events", &7_u64).unwrap();
    assert!(object.set_variable("events", &[7_u64; 2]).is_err());
    assert!(object.clone().dry_run(&crate::kernel()).is_ok());
    assert!(memory::peak() - before < 8 << 20, "{} bytes", memory::peak() - before);

    let bytes = with_nobits(Transport::Ring.object().unwrap(), &[(b".bss", most + 1)]);
    assert!(refusal(&bytes).contains("`.bss` holds 4294967296 bytes"), "{}", refusal(&bytes));
}

/// Returns an object of the corpus.
fn corpus(name: &str) -> Vec<u8> {
    std::fs::read(crate::corpus().join("kinds").join(name)).unwrap()
}

fn word(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

/// Returns the offset of the header of the first section of this type.
fn header(bytes: &[u8], kind: u32) -> usize {
    let (start, count) = table(bytes);
    let headers = (0..count).map(|number| start + number * 64);
    headers.clone().find(|&at| bytes[at + 4..at + 8] == kind.to_le_bytes()).expect("a section of this type")
}

/// Replaces the contents of the section whose header is at `at`; the new contents are at the end of the file.
fn replace(bytes: &mut Vec<u8>, at: usize, contents: &[u8]) {
    let new = bytes.len().next_multiple_of(8);
    bytes.resize(new, 0);
    bytes.extend_from_slice(contents);
    bytes[at + 24..at + 32].copy_from_slice(&(new as u64).to_le_bytes());
    bytes[at + 32..at + 40].copy_from_slice(&(contents.len() as u64).to_le_bytes());
}

const SYMTAB: u32 = 2;
const STRTAB: u32 = 3;

/// Adds `count` symbols, made from the one of this name (or the first).
fn with_symbols(mut bytes: Vec<u8>, name: &str, count: usize, make: impl Fn(usize, &mut [u8; 24])) -> Vec<u8> {
    let symtab = header(&bytes, SYMTAB);
    let contents = |bytes: &[u8], at: usize| {
        let (offset, size) = (word(bytes, at + 24) as usize, word(bytes, at + 32) as usize);
        bytes[offset..offset + size].to_vec()
    };
    let link = u32::from_le_bytes(bytes[symtab + 40..symtab + 44].try_into().unwrap()) as usize;
    let strings = contents(&bytes, table(&bytes).0 + link * 64);
    let mut symbols = contents(&bytes, symtab);
    let is_meant = |symbol: &&[u8; 24]| {
        let at = u32::from_le_bytes(symbol[..4].try_into().unwrap()) as usize;
        strings[at..].starts_with(format!("{name}\0").as_bytes())
    };
    let model = *symbols.as_chunks::<24>().0.iter().find(is_meant).expect("a symbol of this name");
    for number in 0..count {
        let mut symbol = model;
        make(number, &mut symbol);
        symbols.extend_from_slice(&symbol);
    }
    replace(&mut bytes, symtab, &symbols);
    bytes
}

/// The names of thousands of symbols share the same megabyte.
pub(crate) fn names_that_lie_in_the_same_bytes_are_not_copied_without_end() {
    let mut bytes = corpus("one_ring.o");
    let strings = header(&bytes, STRTAB);
    let (offset, size) = (word(&bytes, strings + 24) as usize, word(&bytes, strings + 32) as usize);
    let mut longer = bytes[offset..offset + size].to_vec();
    longer.resize(size + (1 << 20), b'a');
    longer.push(0);
    replace(&mut bytes, strings, &longer);
    let bytes = with_symbols(bytes, "sends", 10_000, |number, symbol| {
        symbol[..4].copy_from_slice(&((size + number) as u32).to_le_bytes());
    });
    assert!(refusal(&bytes).contains("is longer than any compiler makes it"), "{}", refusal(&bytes));
}

/// Thousands of functions are in a section of data. Each would extend to the end of the section.
pub(crate) fn functions_outside_of_code_are_ignored() {
    const SIZE: usize = 256 << 10;
    let mut bytes = corpus("one_ring.o");
    let (start, count) = table(&bytes);
    // The license section serves as the section of data.
    let license = (0..count).find(|number| {
        let at = start + number * 64;
        let (offset, size) = (word(&bytes, at + 24) as usize, word(&bytes, at + 32) as usize);
        bytes.get(offset..offset + size) == Some(b"GPL\0")
    });
    let license = license.expect("a license");
    replace(&mut bytes, start + license * 64, &[0; SIZE]);
    let bytes = with_symbols(bytes, "sends", 10_000, |number, symbol| {
        symbol[6..8].copy_from_slice(&(license as u16).to_le_bytes());
        symbol[8..16].copy_from_slice(&(number as u64 * 8).to_le_bytes());
        symbol[16..24].copy_from_slice(&((SIZE - number * 8) as u64).to_le_bytes());
    });
    let before = memory::reset();
    let object = Object::parse(&bytes).unwrap();
    assert!(memory::peak() - before < 16 << 20, "{} bytes", memory::peak() - before);
    assert_eq!((object.programs().len(), object.unknown_programs().len()), (1, 0));
}

/// Hundreds of sections of relocations, for the license, share the same megabyte.
pub(crate) fn relocations_that_lie_on_each_other_are_refused() {
    const SECTIONS: usize = 200;
    for (kind, entry) in [(4_u32, 24_usize), (9, 16)] {
        let mut bytes = corpus("one_ring.o");
        let (start, count) = table(&bytes);
        let is_license = |number: &usize| {
            let at = start + number * 64;
            let (offset, size) = (word(&bytes, at + 24) as usize, word(&bytes, at + 32) as usize);
            bytes.get(offset..offset + size) == Some(b"GPL\0")
        };
        let license = (0..count).find(is_license).expect("a license");
        let headers = bytes[start..start + count * 64].to_vec();
        let (room, size) = (bytes.len(), (1 << 20) / entry * entry);
        bytes.resize(room + size, 0);
        let new = bytes.len();
        bytes.extend(headers);
        for _ in 0..SECTIONS {
            let mut header = [0; 64];
            header[4..8].copy_from_slice(&kind.to_le_bytes());
            header[24..32].copy_from_slice(&(room as u64).to_le_bytes());
            header[32..40].copy_from_slice(&(size as u64).to_le_bytes());
            header[44..48].copy_from_slice(&(license as u32).to_le_bytes());
            header[56..64].copy_from_slice(&(entry as u64).to_le_bytes());
            bytes.extend(header);
        }
        bytes[40..48].copy_from_slice(&(new as u64).to_le_bytes());
        bytes[60..62].copy_from_slice(&((count + SECTIONS) as u16).to_le_bytes());
        assert!(refusal(&bytes).contains("the relocations of section `license` overlap"), "{}", refusal(&bytes));
    }
}

/// Thousands of `struct_ops` maps share the same bytes.
pub(crate) fn tables_that_lie_on_each_other_are_refused() {
    let bytes = with_symbols(corpus("struct_ops.o"), "table", 20_000, |_, _| {});
    assert!(refusal(&bytes).contains("its struct_ops map `table` is broken"), "{}", refusal(&bytes));
}

/// Thousands of maps of maps share the same initial entries.
pub(crate) fn maps_that_lie_on_each_other_are_refused() {
    let bytes = with_symbols(corpus("maps.o"), "array_of_maps", 20_000, |_, _| {});
    assert!(refusal(&bytes).contains("the map `array_of_maps` overlaps others"), "{}", refusal(&bytes));
}

/// Thousands of programs call the same subprogram of thousands of instructions.
pub(crate) fn programs_that_share_their_code_are_not_kept_without_end() {
    const PROGRAMS: usize = 2_000;
    let mut bytes = corpus("one_ring.o");
    let (start, count) = table(&bytes);
    let code =
        (0..count).map(|number| start + number * 64).find(|&at| bytes[at + 8] & 4 != 0 && word(&bytes, at + 32) > 0);
    let code = code.expect("a section of instructions");
    // The existing program stays, and does nothing.
    let nothing = [0xb7, 0, 0, 0, 0, 0, 0, 0];
    let mut instructions = nothing.repeat(word(&bytes, code + 32) as usize / 8);
    let first = instructions.len();
    for number in 0..PROGRAMS {
        let distance = ((PROGRAMS - number) * 2 - 1) as i32;
        instructions.extend([0x85, 0x10, 0, 0]); // call of the code after all programs
        instructions.extend(distance.to_le_bytes());
        instructions.extend([0x95, 0, 0, 0, 0, 0, 0, 0]); // exit
    }
    let shared = instructions.len();
    instructions.extend(nothing.repeat(8_000));
    let whole = instructions.len();
    replace(&mut bytes, code, &instructions);
    // The relocations are for the replaced instructions.
    let relocations = (0..count).map(|number| start + number * 64).find(|&at| {
        bytes[at + 4..at + 8] == 9_u32.to_le_bytes()
            && bytes[at + 44..at + 48] == (((code - start) / 64) as u32).to_le_bytes()
    });
    replace(&mut bytes, relocations.expect("relocations"), &[]);
    let bytes = with_symbols(bytes, "sends", PROGRAMS + 1, |number, symbol| {
        let (address, size) = match number {
            PROGRAMS => (shared, whole - shared),
            _ => (first + number * 16, 16),
        };
        symbol[8..16].copy_from_slice(&(address as u64).to_le_bytes());
        symbol[16..24].copy_from_slice(&(size as u64).to_le_bytes());
    });
    let object = Object::parse(&bytes).unwrap();
    let before = memory::reset();
    let dry_run = object.dry_run(&[]).unwrap();
    assert!(memory::peak() - before < 100 << 20, "{} bytes", memory::peak() - before);
    let kept = dry_run.programs.iter().filter(|program| program.instructions.is_ok()).count();
    assert!((1_000..PROGRAMS).contains(&kept), "{kept} of {PROGRAMS}");
    let refused = dry_run.programs.iter().find_map(|program| program.instructions.as_ref().err()).unwrap();
    assert!(refused.to_string().contains("too many to keep"), "{refused}");
}
