//! Addresses in the kernel by name: `/proc/kallsyms`.
//!
//! A line is `ffffffff81000000 T _stext`; for a module's symbol `[module]` follows. There are some 200,000 lines, so
//! they are read only if an extern needs them, once, line by line. A process without CAP_SYSLOG sees every address as 0
//! (`kptr_restrict`), and so may all processes. If all addresses are 0, none is used.

use std::{
    collections::BTreeMap,
    io::{self, BufRead, BufReader},
    path::Path,
};

use cutaway_sys::file;

use crate::object::{Extern, ExternKind};

const PATH: &str = "/proc/kallsyms";

/// The requested symbols, and the addresses found for them.
#[derive(Debug)]
pub(super) struct Symbols {
    found: BTreeMap<String, Found>,
    /// Whether any address was not 0.
    shown: bool,
    /// Why the file could not be read.
    unreadable: Option<String>,
    /// Only existence matters (syscall wrapper check): stop at the first match.
    any_will_do: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    Nowhere,
    At(u64),
    /// At several addresses.
    Ambiguous(u64, u64),
}

/// Finds the symbols that these externs need. Does not read the file if no extern needs one, or if the kernel is not
/// the `running` one.
pub(super) fn find(externs: &[Extern], running: bool) -> Symbols {
    let wanted = externs.iter().filter(|known| known.kind == ExternKind::Address).map(|known| known.name.as_str());
    if running {
        return Symbols::read(wanted, false);
    }
    Symbols { unreadable: Some("there is no running kernel to ask".to_owned()), ..Symbols::wanted(wanted, false) }
}

/// Returns whether the running kernel has a function with one of these names.
pub(super) fn has_one_of(names: &[&str]) -> bool {
    let symbols = Symbols::read(names.iter().copied(), true);
    names.iter().any(|name| symbols.has(name))
}

impl Symbols {
    fn wanted<'n>(names: impl Iterator<Item = &'n str>, any_will_do: bool) -> Self {
        // `extend`, because `collect` would sort the names first, which brings the machine code of another sort.
        let mut found = BTreeMap::new();
        found.extend(names.map(|name| (name.to_owned(), Found::Nowhere)));
        Self { found, shown: false, unreadable: None, any_will_do }
    }

    fn read<'n>(names: impl Iterator<Item = &'n str>, any_will_do: bool) -> Self {
        let mut symbols = Self::wanted(names, any_will_do);
        if !symbols.found.is_empty() {
            let why = "the kernel's symbols: the program uses addresses of some";
            let opened = file::open(Path::new(PATH), why);
            let read = opened.and_then(|file| symbols.scan(BufReader::with_capacity(64 << 10, file)));
            symbols.unreadable = read.err().map(|error| format!("{PATH} cannot be read: {error}"));
        }
        symbols
    }

    fn scan(&mut self, mut lines: impl BufRead) -> io::Result<()> {
        let mut line = Vec::new();
        while lines.read_until(b'\n', &mut line)? != 0 {
            if self.parse(&line).is_some() && self.any_will_do {
                break;
            }
            line.clear();
        }
        Ok(())
    }

    /// Parses a line; returns `None` if it has no requested symbol.
    fn parse(&mut self, line: &[u8]) -> Option<()> {
        let mut words = line.split(|byte| byte.is_ascii_whitespace());
        let address = words.next()?;
        self.shown |= address.iter().any(|&digit| digit != b'0');
        let name = std::str::from_utf8(words.nth(1)?).ok()?;
        let found = self.found.get_mut(name)?;
        let address = u64::from_str_radix(std::str::from_utf8(address).ok()?, 16).ok()?;
        *found = match *found {
            Found::Nowhere => Found::At(address),
            Found::At(before) if before != address => Found::Ambiguous(before, address),
            same => same,
        };
        Some(())
    }

    /// Returns whether there is a symbol of this name.
    fn has(&self, name: &str) -> bool {
        self.found.get(name).is_some_and(|found| *found != Found::Nowhere)
    }

    /// Returns the address of a symbol, or why there is none.
    pub(super) fn address(&self, name: &str) -> Result<u64, String> {
        if let Some(why) = &self.unreadable {
            return Err(why.clone());
        }
        match self.found.get(name) {
            Some(Found::At(_)) if !self.shown => Err(format!(
                "{PATH} shows no addresses: that takes CAP_SYSLOG, and 0 or 1 in /proc/sys/kernel/kptr_restrict"
            )),
            Some(Found::At(address)) => Ok(*address),
            Some(Found::Ambiguous(one, other)) => Err(format!("it is at {one:#x} and at {other:#x}")),
            Some(Found::Nowhere) | None => Err(format!("{PATH} has no such symbol")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn symbols(names: &[&str], text: &str) -> Symbols {
        let found = names.iter().map(|name| ((*name).to_owned(), Found::Nowhere)).collect();
        let mut symbols = Symbols { found, shown: false, unreadable: None, any_will_do: false };
        symbols.scan(text.as_bytes()).unwrap();
        symbols
    }

    #[test]
    fn symbols_are_found_by_their_whole_name() {
        let text = "0000000000000000 A fixed\nffffffff81000010 T one\nffffffff81000020 t one_more\nffffffffc0000000 t \
             two\t[module]\n";
        let found = symbols(&["one", "two", "fixed", "three"], text);
        assert_eq!(found.address("one"), Ok(0xffff_ffff_8100_0010));
        assert_eq!(found.address("two"), Ok(0xffff_ffff_c000_0000));
        assert_eq!(found.address("fixed"), Ok(0));
        assert!(found.address("three").unwrap_err().contains("no such symbol"));
        assert!(found.has("two") && !found.has("three") && !found.has("one_more"));
    }

    #[test]
    fn first_match_is_enough_if_any_will_do() {
        let found = ["one", "two"].map(|name| (name.to_owned(), Found::Nowhere)).into();
        let mut symbols = Symbols { found, shown: false, unreadable: None, any_will_do: true };
        let mut lines = b"ffffffff81000010 t zero\nffffffff81000020 t two\nffffffff81000030 t one\n".as_slice();
        symbols.scan(&mut lines).unwrap();
        assert!(symbols.has("two") && !symbols.has("one"));
        assert!(!lines.is_empty(), "the rest is not read");
    }

    #[test]
    fn ambiguous_or_hidden_symbol_has_no_address() {
        let text = "ffffffff81000010 t one\nffffffff81000020 t one\nffffffff81000010 t two\nffffffff81000010 T two\n";
        let found = symbols(&["one", "two"], text);
        assert_eq!(found.address("one").unwrap_err(), "it is at 0xffffffff81000010 and at 0xffffffff81000020");
        assert_eq!(found.address("two"), Ok(0xffff_ffff_8100_0010));
        let hidden = symbols(&["one"], "0000000000000000 T one\n0000000000000000 T two\n");
        assert!(hidden.address("one").unwrap_err().contains("CAP_SYSLOG"));
        assert!(hidden.has("one"));
    }

    #[test]
    fn broken_lines_are_skipped() {
        let found = symbols(&["one"], "\n \nxyz\nzz T one\nffffffff81000010\n\u{fffd} \u{fffd}");
        assert!(!found.has("one"));
    }
}
