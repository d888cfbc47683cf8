//! Looks up a function in the dynamic symbols of an ELF file by the hash table that the dynamic loader uses.
//!
//! This takes a dozen small reads, regardless of the number of symbols. On a machine with large libraries it takes
//! microseconds, where reading all symbols takes a second.
//!
//! The tables are described in elf(5), and `DT_GNU_HASH` in glibc's `elf/dl-lookup.c`, `do_lookup_x`.

use std::{fs::File, os::unix::fs::FileExt};

/// Whether a file defines a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Definition {
    Yes,
    No,
    /// Only the full symbol table shows it: the file is linked statically, or has no usable hash table.
    Unknown,
}

/// Symbols that are read of one chain of a hash table. Linkers write chains of a few symbols. A broken table can have
/// any number, and each symbol costs a read.
const MAX_CHAIN: u32 = 1 << 12;

/// Returns whether a file defines `function`. The file has this machine's class and byte order.
pub(crate) fn defines(file: &File, function: &str) -> Definition {
    read_tables(file, function).unwrap_or(Definition::No)
}

/// A part of a file that is contiguous in memory.
struct Segment {
    address: u64,
    offset: u64,
    size: u64,
}

/// Finds the tables and looks up the function. Returns `None` if the file is broken, or not ELF.
fn read_tables(file: &File, function: &str) -> Option<Definition> {
    const PT_LOAD: u32 = 1;
    const PT_DYNAMIC: u32 = 2;
    const PT_INTERP: u32 = 3;
    const DT_NEEDED: u64 = 1;
    const DT_HASH: u64 = 4;
    const DT_STRTAB: u64 = 5;
    const DT_SYMTAB: u64 = 6;
    const DT_GNU_HASH: u64 = 0x6fff_fef5;
    const SEGMENT: u64 = 56;
    /// Entries of the dynamic section that are read: more than any linker writes.
    const MAX_DYNAMIC: u64 = 4096;
    let (table, size, count) = (long(file, 32)?, half(file, 54)?, half(file, 56)?);
    if u64::from(size) != SEGMENT {
        return None;
    }
    let (mut segments, mut dynamic, mut is_dynamic) = (Vec::new(), None, false);
    for number in 0..u64::from(count) {
        let at = table.checked_add(number * SEGMENT)?;
        let offset = long(file, at.checked_add(8)?)?;
        let (address, size) = (long(file, at.checked_add(16)?)?, long(file, at.checked_add(32)?)?);
        match word(file, at)? {
            PT_LOAD => segments.push(Segment { address, offset, size }),
            PT_DYNAMIC => dynamic = Some((offset, size)),
            PT_INTERP => is_dynamic = true,
            _ => {}
        }
    }
    let Some((start, size)) = dynamic else { return Some(Definition::Unknown) };
    let (mut gnu, mut old, mut strings, mut symbols) = (None, None, None, None);
    for number in 0..(size / 16).min(MAX_DYNAMIC) {
        let at = start.checked_add(number * 16)?;
        let value = long(file, at.checked_add(8)?)?;
        let offset = || {
            let segment = segments.iter().find(|one| value >= one.address && value - one.address < one.size)?;
            segment.offset.checked_add(value - segment.address)
        };
        match long(file, at)? {
            0 => break,
            DT_NEEDED => is_dynamic = true,
            DT_HASH => old = offset(),
            DT_GNU_HASH => gnu = offset(),
            DT_STRTAB => strings = offset(),
            DT_SYMTAB => symbols = offset(),
            _ => {}
        }
    }
    let tables = Tables { file, strings: strings?, symbols: symbols?, function };
    let found = match (gnu, old) {
        (Some(table), _) => tables.by_gnu_hash(table)?,
        (None, Some(table)) => tables.by_hash(table)?,
        (None, None) => return Some(Definition::Unknown),
    };
    Some(match (found, is_dynamic) {
        (Some(true), _) => Definition::Yes,
        (Some(false), true) => Definition::No,
        // A chain is too long, or the file is linked statically as a position-independent executable.
        (None, _) | (Some(false), false) => Definition::Unknown,
    })
}

struct Tables<'a> {
    file: &'a File,
    strings: u64,
    symbols: u64,
    function: &'a str,
}

impl Tables<'_> {
    /// Looks up the function by `DT_GNU_HASH`. Returns `Some(None)` if its chain is longer than [`MAX_CHAIN`].
    fn by_gnu_hash(&self, table: u64) -> Option<Option<bool>> {
        let word = |at: u64| word(self.file, table.checked_add(at)?);
        let (buckets, first, bloom) = (word(0)?, word(4)?, word(8)?);
        if buckets == 0 {
            return Some(Some(false));
        }
        let hash = self.function.bytes().fold(5381_u32, |hash, byte| hash.wrapping_mul(33).wrapping_add(byte.into()));
        let start = 16_u64.checked_add(u64::from(bloom).checked_mul(8)?)?;
        let chains = start.checked_add(u64::from(buckets) * 4)?;
        let mut symbol = word(start.checked_add(u64::from(hash % buckets) * 4)?)?;
        if symbol < first {
            return Some(Some(false));
        }
        for _ in 0..MAX_CHAIN {
            let value = word(chains.checked_add(u64::from(symbol - first) * 4)?)?;
            if value | 1 == hash | 1 && self.is_definition(symbol)? {
                return Some(Some(true));
            }
            if value & 1 != 0 {
                return Some(Some(false));
            }
            symbol = symbol.checked_add(1)?;
        }
        Some(None)
    }

    /// Does the same by `DT_HASH`.
    fn by_hash(&self, table: u64) -> Option<Option<bool>> {
        let word = |at: u64| word(self.file, table.checked_add(at)?);
        let buckets = word(0)?;
        if buckets == 0 {
            return Some(Some(false));
        }
        let hash = self.function.bytes().fold(0_u32, |hash, byte| {
            let hash = (hash << 4).wrapping_add(byte.into());
            let high = hash & 0xf000_0000;
            (hash ^ high >> 24) & !high
        });
        let mut symbol = word(8 + u64::from(hash % buckets) * 4)?;
        // A broken chain can be circular.
        for _ in 0..MAX_CHAIN {
            if symbol == 0 {
                return Some(Some(false));
            }
            if self.is_definition(symbol)? {
                return Some(Some(true));
            }
            symbol = word(8 + u64::from(buckets) * 4 + u64::from(symbol) * 4)?;
        }
        Some(None)
    }

    /// Returns whether this symbol is the function, and is defined in this file.
    fn is_definition(&self, symbol: u32) -> Option<bool> {
        let at = self.symbols.checked_add(u64::from(symbol) * 24)?;
        let name = self.strings.checked_add(word(self.file, at)?.into())?;
        let mut text = vec![0; self.function.len() + 1];
        self.file.read_exact_at(&mut text, name).ok()?;
        let is_defined = half(self.file, at.checked_add(6)?)? != 0;
        Some(is_defined && text.split_last() == Some((&0, self.function.as_bytes())))
    }
}

fn bytes<const N: usize>(file: &File, at: u64) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    file.read_exact_at(&mut bytes, at).ok().map(|()| bytes)
}

fn half(file: &File, at: u64) -> Option<u16> {
    bytes(file, at).map(u16::from_ne_bytes)
}

fn word(file: &File, at: u64) -> Option<u32> {
    bytes(file, at).map(u32::from_ne_bytes)
}

fn long(file: &File, at: u64) -> Option<u64> {
    bytes(file, at).map(u64::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn libc() -> File {
        let (path, _) = cutaway::Uprobe::new("libc.so.6", "getaddrinfo").locate().unwrap();
        File::open(path).unwrap()
    }

    #[test]
    fn defined_functions_are_found() {
        let libc = libc();
        for function in ["getaddrinfo", "__libc_start_main", "malloc", "free"] {
            assert_eq!(defines(&libc, function), Definition::Yes, "{function}");
        }
        for function in ["getaddrinf", "getaddrinfo2", "no_such_function", ""] {
            assert_ne!(defines(&libc, function), Definition::Yes, "{function}");
        }
        // This program imports `malloc`.
        let own = File::open("/proc/self/exe").unwrap();
        assert_eq!(defines(&own, "malloc"), Definition::No);
    }

    #[test]
    fn endless_chains_are_abandoned() {
        let mut file = tempfile::tempfile().unwrap();
        // A GNU table with one bucket. Its chain of symbols 1, 2, 3 … is a hole of 16 GiB without the bit that ends it.
        file.write_all(&[1_u32, 1, 0, 0, 1].map(u32::to_ne_bytes).concat()).unwrap();
        file.set_len(1 << 34).unwrap();
        let tables = Tables { file: &file, strings: 0, symbols: 0, function: "getaddrinfo" };
        assert_eq!(tables.by_gnu_hash(0), Some(None));
        // A System V table whose symbol 1 is followed by itself.
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[1_u32, u32::MAX, 1, 0, 1].map(u32::to_ne_bytes).concat()).unwrap();
        file.set_len(1 << 10).unwrap();
        let tables = Tables { file: &file, strings: 512, symbols: 0, function: "getaddrinfo" };
        assert_eq!(tables.by_hash(0), Some(None));
    }

    #[test]
    fn truncated_or_damaged_file_causes_no_panic() {
        let libc = libc();
        let mut whole = vec![0; 200_000];
        libc.read_exact_at(&mut whole, 0).unwrap();
        for (cut, flip) in
            [(0, 0), (40, 0), (64, 0), (1_000, 0), (60_000, 0), (200_000, 33), (200_000, 57), (200_000, 80)]
        {
            let mut damaged = whole[..cut].to_vec();
            if let Some(byte) = damaged.get_mut(flip).filter(|_| flip > 0) {
                *byte ^= 0xff;
            }
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(&damaged).unwrap();
            let _ = defines(&file, "getaddrinfo");
        }
    }
}
