//! What damaging objects has found, and what nobody damaged into one yet: files built to be large or to be misread.

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

/// The offset of the table of sections, and how many there are.
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

/// Ten thousand sections, all of them the same megabyte.
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
    assert!(refusal(&bytes).contains("lies where others do"), "{}", refusal(&bytes));
}

/// Sections without contents that claim more than they may, together.
pub(crate) fn claims_are_added_up() {
    let mut bytes = Transport::Ring.object().unwrap();
    let (start, count) = table(&bytes);
    const NOBITS: u32 = 8;
    let mut header = [0_u8; 64];
    header[4..8].copy_from_slice(&NOBITS.to_ne_bytes());
    header[32..40].copy_from_slice(&(40_u64 << 20).to_ne_bytes());
    let sections = bytes[start..start + count * 64].to_vec();
    let new = bytes.len();
    bytes.extend(sections);
    bytes.extend(header);
    bytes.extend(header);
    bytes[40..48].copy_from_slice(&(new as u64).to_ne_bytes());
    bytes[60..62].copy_from_slice(&(count as u16 + 2).to_ne_bytes());
    assert!(refusal(&bytes).contains("claims 83886080 bytes of memory"), "{}", refusal(&bytes));
}
