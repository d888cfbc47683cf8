//! Damages the bytes of an object.
//!
//! Most bytes of an object do not matter, so most of the damage has a target: the header, the section header table,
//! symbols, relocations, instructions and BTF. It changes a word at a time, to values that are valid elsewhere: small
//! numbers, which are indexes and sizes, huge numbers, and words from other parts of the file.

use std::ops::Range;

use object::{
    Endianness,
    elf::FileHeader64,
    read::elf::{FileHeader as _, SectionHeader as _},
};

/// An object to be damaged.
pub(crate) struct Seed {
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
    /// The sections' names and their ranges in the file.
    sections: Vec<(String, Range<usize>)>,
    /// The section header table.
    table: Range<usize>,
}

impl Seed {
    pub(crate) fn new(name: &str, bytes: Vec<u8>) -> Self {
        let header = FileHeader64::<Endianness>::parse(&*bytes).unwrap();
        let endian = header.endian().unwrap();
        let table = header.sections(endian, &*bytes).unwrap();
        let sections = table
            .iter()
            .filter_map(|section| {
                let name = String::from_utf8(table.section_name(endian, section).unwrap().to_vec()).unwrap();
                let (offset, size) = section.file_range(endian)?;
                (size != 0).then_some((name, offset as usize..(offset + size) as usize))
            })
            .collect();
        let start = header.e_shoff(endian) as usize;
        let table = start..start + usize::from(header.e_shnum(endian)) * 64;
        Self { name: name.to_owned(), bytes, sections, table }
    }

    /// Returns the range of the section of this name in the file.
    pub(crate) fn section(&self, name: &str) -> Option<Range<usize>> {
        self.sections.iter().find(|(known, _)| known == name).map(|(_, range)| range.clone())
    }
}

/// A generator of pseudorandom numbers that are the same in each run (xorshift).
pub(crate) struct Damage(u64);

impl Damage {
    pub(crate) fn new(number: u64) -> Self {
        let mut this = Self((number ^ 0x5851_f42d_4c95_7f2d).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        for _ in 0..4 {
            this.next();
        }
        this
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        ((self.next() >> 8) % end.max(1) as u64) as usize
    }

    /// Damages the file somewhere, once or a few times.
    pub(crate) fn anywhere(&mut self, bytes: &mut Vec<u8>, seed: &Seed, other: &Seed) {
        for _ in 0..=self.below(3) {
            let whole = 0..bytes.len();
            let range = match self.below(16) {
                0 => 0..64,
                1..5 => seed.table.clone(),
                5..14 => match self.below(seed.sections.len()) {
                    _ if seed.sections.is_empty() => whole,
                    section => seed.sections[section].1.clone(),
                },
                _ => whole,
            };
            let end = range.end.min(bytes.len());
            if range.start >= end {
                continue;
            }
            match self.below(12) {
                0 => self.flip(&mut bytes[range.start..end]),
                1 => self.copy_within(bytes, range.start, end),
                2 => self.splice(bytes, range.start, other),
                _ => self.word(&mut bytes[range.start..end]),
            }
        }
        if self.below(40) == 0 {
            let length = self.below(bytes.len());
            bytes.truncate(length);
        }
    }

    /// Exchanges two headers in the section header table.
    pub(crate) fn exchange_sections(&mut self, bytes: &mut [u8], seed: &Seed) {
        let count = seed.table.len() / 64;
        let (one, other) = (self.below(count), self.below(count));
        for byte in 0..64 {
            bytes.swap(seed.table.start + one * 64 + byte, seed.table.start + other * 64 + byte);
        }
    }

    /// Changes a few words of `bytes`.
    pub(crate) fn words(&mut self, bytes: &mut [u8]) {
        for _ in 0..=self.below(4) {
            self.word(bytes);
        }
    }

    fn flip(&mut self, bytes: &mut [u8]) {
        let at = self.below(bytes.len());
        bytes[at] ^= 1 << self.below(8);
    }

    /// Puts a meaningful value into a word of 1, 2, 4 or 8 bytes.
    fn word(&mut self, bytes: &mut [u8]) {
        let size = [1, 2, 4, 4, 4, 8][self.below(6)];
        if bytes.len() < size {
            return;
        }
        let at = self.below(bytes.len() - size + 1) & !(size - 1);
        let mut old = [0; 8];
        old[..size].copy_from_slice(&bytes[at..at + size]);
        let old = u64::from_le_bytes(old);
        let new = match self.below(10) {
            0 => self.below(300) as u64,
            1 => u64::MAX - self.below(3) as u64,
            2 => old ^ 1 << self.below(size * 8),
            3 => old.wrapping_add(1),
            4 => old.wrapping_sub(1),
            5 => old.wrapping_add(8),
            6 => 1 << self.below(size * 8),
            7 => ((self.below(20) << 24) | self.below(4)) as u64, // a kind of type and how many entries
            8 => bytes[self.below(bytes.len() - size + 1)..].first_chunk().map_or(0, |word| u64::from_le_bytes(*word)),
            _ => self.next(),
        };
        bytes[at..at + size].copy_from_slice(&new.to_le_bytes()[..size]);
    }

    fn copy_within(&mut self, bytes: &mut [u8], start: usize, end: usize) {
        let length = 1 + self.below((end - start).min(64));
        let from = start + self.below(end - start - length + 1);
        let to = start + self.below(end - start - length + 1);
        bytes.copy_within(from..from + length, to);
    }

    fn splice(&mut self, bytes: &mut [u8], start: usize, other: &Seed) {
        let length = 1 + self.below(128);
        let from = self.below(other.bytes.len());
        let piece = &other.bytes[from..(from + length).min(other.bytes.len())];
        let to = start + self.below(bytes.len() - start);
        let room = piece.len().min(bytes.len() - to);
        bytes[to..to + room].copy_from_slice(&piece[..room]);
    }
}
