//! A quick look into an ELF file: whether a function is among its dynamic symbols, by the hash table that the dynamic
//! loader uses. It takes a dozen small reads, however many symbols the file has: on a machine with large libraries that
//! is the difference between microseconds and a second.
//!
//! (The tables: `elf(5)`; `DT_GNU_HASH`: glibc's `elf/dl-lookup.c`, `do_lookup_x`.)

use std::{fs::File, os::unix::fs::FileExt};

/// What the look has shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Quick {
    /// It defines the function.
    Yes,
    /// It does not.
    No,
    /// Only its full symbol table can tell: it is linked statically, or has no hash table.
    Unknown,
}

/// Symbols of one chain of a hash table that are looked at: linkers make chains of a few. A broken table has any
/// number, and each is a read.
const CHAIN: u32 = 1 << 12;

/// Looks for `function` in a file of this machine's own class and byte order.
pub(crate) fn defines(file: &File, function: &str) -> Quick {
    look(file, function).unwrap_or(Quick::No)
}

/// Parts of a file that lie one behind the other in memory.
struct Segment {
    address: u64,
    offset: u64,
    size: u64,
}

/// `None` if the file is broken, or none.
fn look(file: &File, function: &str) -> Option<Quick> {
    const PT_LOAD: u32 = 1;
    const PT_DYNAMIC: u32 = 2;
    const PT_INTERP: u32 = 3;
    const DT_NEEDED: u64 = 1;
    const DT_HASH: u64 = 4;
    const DT_STRTAB: u64 = 5;
    const DT_SYMTAB: u64 = 6;
    const DT_GNU_HASH: u64 = 0x6fff_fef5;
    const SEGMENT: u64 = 56;
    /// More than any linker writes.
    const MOST: u64 = 4096;
    let (table, size, count) = (long(file, 32)?, half(file, 54)?, half(file, 56)?);
    if u64::from(size) != SEGMENT {
        return None;
    }
    let (mut segments, mut dynamic, mut needs_others) = (Vec::new(), None, false);
    for number in 0..u64::from(count) {
        let at = table.checked_add(number * SEGMENT)?;
        let offset = long(file, at.checked_add(8)?)?;
        let (address, size) = (long(file, at.checked_add(16)?)?, long(file, at.checked_add(32)?)?);
        match word(file, at)? {
            PT_LOAD => segments.push(Segment { address, offset, size }),
            PT_DYNAMIC => dynamic = Some((offset, size)),
            PT_INTERP => needs_others = true,
            _ => {}
        }
    }
    let Some((start, size)) = dynamic else { return Some(Quick::Unknown) };
    let (mut gnu, mut old, mut strings, mut symbols) = (None, None, None, None);
    for number in 0..(size / 16).min(MOST) {
        let at = start.checked_add(number * 16)?;
        let value = long(file, at.checked_add(8)?)?;
        let offset = || {
            let segment = segments.iter().find(|one| value >= one.address && value - one.address < one.size)?;
            segment.offset.checked_add(value - segment.address)
        };
        match long(file, at)? {
            0 => break,
            DT_NEEDED => needs_others = true,
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
        (None, None) => return Some(Quick::Unknown),
    };
    Some(match (found, needs_others) {
        (Some(true), _) => Quick::Yes,
        (Some(false), true) => Quick::No,
        // Its chains are too long; or linked statically, and to be put anywhere in memory.
        (None, _) | (Some(false), false) => Quick::Unknown,
    })
}

struct Tables<'a> {
    file: &'a File,
    strings: u64,
    symbols: u64,
    function: &'a str,
}

impl Tables<'_> {
    /// `Some(None)` if its chain is longer than [`CHAIN`].
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
        for _ in 0..CHAIN {
            let value = word(chains.checked_add(u64::from(symbol - first) * 4)?)?;
            if value | 1 == hash | 1 && self.is_it(symbol)? {
                return Some(Some(true));
            }
            if value & 1 != 0 {
                return Some(Some(false));
            }
            symbol = symbol.checked_add(1)?;
        }
        Some(None)
    }

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
        // A broken chain may lead in circles.
        for _ in 0..CHAIN {
            if symbol == 0 {
                return Some(Some(false));
            }
            if self.is_it(symbol)? {
                return Some(Some(true));
            }
            symbol = word(8 + u64::from(buckets) * 4 + u64::from(symbol) * 4)?;
        }
        Some(None)
    }

    /// Whether this symbol is the function, and defined here.
    fn is_it(&self, symbol: u32) -> Option<bool> {
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
    fn functions_are_found_where_they_are_defined() {
        let libc = libc();
        for function in ["getaddrinfo", "__libc_start_main", "malloc", "free"] {
            assert_eq!(defines(&libc, function), Quick::Yes, "{function}");
        }
        for function in ["getaddrinf", "getaddrinfo2", "no_such_function", ""] {
            assert_ne!(defines(&libc, function), Quick::Yes, "{function}");
        }
        // This program imports it.
        let own = File::open("/proc/self/exe").unwrap();
        assert_eq!(defines(&own, "malloc"), Quick::No);
    }

    #[test]
    fn chains_without_an_end_are_given_up() {
        let mut file = tempfile::tempfile().unwrap();
        // A GNU table of one bucket, whose chain is a hole of 16 GiB without the bit that ends it: symbols 1, 2, 3 …
        file.write_all(&[1_u32, 1, 0, 0, 1].map(u32::to_ne_bytes).concat()).unwrap();
        file.set_len(1 << 34).unwrap();
        let tables = Tables { file: &file, strings: 0, symbols: 0, function: "getaddrinfo" };
        assert_eq!(tables.by_gnu_hash(0), Some(None));
        // And one of System V whose symbol 1 is followed by itself.
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[1_u32, u32::MAX, 1, 0, 1].map(u32::to_ne_bytes).concat()).unwrap();
        file.set_len(1 << 10).unwrap();
        let tables = Tables { file: &file, strings: 512, symbols: 0, function: "getaddrinfo" };
        assert_eq!(tables.by_hash(0), Some(None));
    }

    #[test]
    fn a_file_that_is_cut_or_damaged_has_an_answer() {
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
