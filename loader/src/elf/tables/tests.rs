//! Compares the tables with those that the crate `object` reads.

use object::{
    Endianness,
    elf::{FileHeader64, SHT_SYMTAB},
    read::elf::{FileHeader as _, SectionHeader as _, Sym as _},
};

use super::{Tables, Unreadable, abi};

fn corpus() -> Vec<Vec<u8>> {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/corpus");
    let mut files = Vec::new();
    for directory in ["kinds", "core"] {
        let entries = std::fs::read_dir(format!("{root}/{directory}")).unwrap().map(|entry| entry.unwrap().path());
        files.extend(entries.filter(|path| path.extension().is_some_and(|end| end == "o")));
    }
    files.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

/// Compares all tables of a file; returns the number of compared symbols and relocations. Panics if they differ.
fn compare(data: &[u8]) -> (usize, usize) {
    let header = FileHeader64::<Endianness>::parse(data).unwrap();
    let order = header.endian().unwrap();
    let theirs = header.sections(order, data).unwrap();
    let ours = Tables::read(data).unwrap();
    assert_eq!((ours.kind, ours.machine), (header.e_type(order), header.e_machine(order)));
    assert_eq!(ours.is_big_endian(), header.is_big_endian());
    assert_eq!(ours.sections().count(), theirs.len());
    let mut relocations = 0;
    for (section, (_, other)) in ours.sections().zip(theirs.enumerate()) {
        assert_eq!(ours.name(&section).unwrap(), theirs.section_name(order, other).unwrap());
        assert_eq!(
            (section.kind, section.flags, section.address, section.size, section.info),
            (
                other.sh_type(order),
                other.sh_flags(order),
                other.sh_addr(order),
                other.sh_size(order),
                other.sh_info(order)
            )
        );
        assert_eq!(ours.bytes(&section), other.data(order, data).ok());
        let read: Vec<_> = ours.relocations(&section).unwrap().map(|entry| (entry.offset, entry.symbol)).collect();
        let mut expected = Vec::new();
        if let Some((entries, _)) = other.rel(order, data).unwrap() {
            expected.extend(entries.iter().map(|entry| (entry.r_offset.get(order), entry.r_sym(order) as usize)));
        }
        if let Some((entries, _)) = other.rela(order, data).unwrap() {
            expected
                .extend(entries.iter().map(|entry| (entry.r_offset.get(order), entry.r_sym(order, false) as usize)));
        }
        assert_eq!(read, expected);
        relocations += read.len();
    }
    let (table, symbols) = (theirs.symbols(order, data, SHT_SYMTAB).unwrap(), ours.symbols().unwrap());
    assert_eq!(symbols.iter().count(), table.len());
    for ((index, symbol), (number, other)) in symbols.iter().enumerate().zip(table.enumerate()) {
        assert_eq!(symbols.name(&symbol).unwrap(), other.name(order, table.strings()).unwrap());
        assert_eq!((symbol.address, symbol.size), (other.st_value(order), other.st_size(order)));
        assert_eq!(
            (symbol.kind(), symbol.binding(), symbol.visibility()),
            (other.st_type(), other.st_bind(), other.st_visibility())
        );
        let section = table.symbol_section(order, other, number).unwrap().map(|section| section.0);
        assert_eq!(symbols.section(&symbol, index).unwrap(), section);
    }
    (table.len(), relocations)
}

#[test]
fn tables_are_those_that_object_reads() {
    let all = corpus().iter().map(|data| compare(data)).fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    assert!(all.0 > 1000 && all.1 > 100, "{all:?}");
}

#[test]
fn more_sections_than_fit_into_the_header_are_read() {
    // A header, then section headers: the first with the numbers, the last with the names.
    const COUNT: u64 = 0x1_0002;
    let mut file = vec![0; 64 + 64 * COUNT as usize];
    file[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    file[40..48].copy_from_slice(&64_u64.to_le_bytes());
    file[58..60].copy_from_slice(&64_u16.to_le_bytes());
    file[62..64].copy_from_slice(&abi::SHN_XINDEX.to_le_bytes());
    file[64 + 32..64 + 40].copy_from_slice(&COUNT.to_le_bytes());
    file[64 + 40..64 + 44].copy_from_slice(&(COUNT as u32 - 1).to_le_bytes());
    let last = file.len() - 64;
    // Its contents: four bytes at offset 7 of the file, which are zeroes.
    file[last + 4..last + 8].copy_from_slice(&abi::SHT_STRTAB.to_le_bytes());
    file[last + 24..last + 32].copy_from_slice(&7_u64.to_le_bytes());
    file[last + 32..last + 40].copy_from_slice(&4_u64.to_le_bytes());
    let tables = Tables::read(&file).unwrap();
    assert_eq!(tables.sections().count() as u64, COUNT);
    assert_eq!(tables.names, [0; 4]);
    assert_eq!(tables.name(&tables.section(COUNT as usize - 1).unwrap()), Ok(b"".as_slice()));
}

#[test]
fn symbol_with_an_extended_section_index_is_read_from_its_table() {
    let symbols = super::Symbols {
        order: super::Order::Big,
        entries: &[[0; 24], [0; 24]].concat(),
        names: &[0],
        extended: &[0, 0, 0, 0, 0, 1, 0, 2],
    };
    let symbol = |section| super::SymbolEntry { section, ..symbols.iter().next().unwrap() };
    assert_eq!(symbols.section(&symbol(abi::SHN_XINDEX), 1), Ok(Some(0x1_0002)));
    assert_eq!(symbols.section(&symbol(abi::SHN_XINDEX), 0), Ok(None));
    assert!(symbols.section(&symbol(abi::SHN_XINDEX), 2).is_err());
    assert_eq!(symbols.section(&symbol(7), 0), Ok(Some(7)));
    assert_eq!(symbols.section(&symbol(0xfff1), 0), Ok(None));
}

#[test]
fn truncated_files_are_refused_or_read_without_a_panic() {
    let whole = &corpus()[0];
    let mut refused = [0, 0];
    for length in 0..whole.len() {
        match Tables::read(&whole[..length]) {
            Err(Unreadable::Header) => refused[0] += 1,
            Err(Unreadable::Sections) => refused[1] += 1,
            Ok(tables) => {
                let _ = tables.symbols().map(|symbols| symbols.iter().count());
                for section in tables.sections() {
                    let _ = (tables.name(&section), tables.bytes(&section));
                }
            }
        }
    }
    assert_eq!(refused[0], 64);
    assert!(refused[1] > 64);
}

#[test]
fn table_that_ends_within_an_entry_is_refused() {
    let whole = &corpus()[0];
    let tables = Tables::read(whole).unwrap();
    let (at, section) = tables.sections().enumerate().find(|(_, section)| section.kind == abi::SHT_SYMTAB).unwrap();
    // The field `sh_size` of its header.
    let start = u64::from_le_bytes(whole[40..48].try_into().unwrap()) as usize + at * 64 + 32;
    let mut cut = whole.clone();
    cut[start..start + 8].copy_from_slice(&(section.size - 1).to_le_bytes());
    assert_eq!(Tables::read(&cut).unwrap().symbols().unwrap_err(), super::Outside("its symbol table"));
}

/// Returns the offset of the section header that `is` finds, and a copy of an object.
fn with_header(is: impl Fn(&super::SectionHeader) -> bool) -> (Vec<u8>, usize) {
    let whole = corpus().swap_remove(0);
    let at = Tables::read(&whole).unwrap().sections().position(|section| is(&section)).unwrap();
    let start = u64::from_le_bytes(whole[40..48].try_into().unwrap()) as usize + at * 64;
    (whole, start)
}

#[test]
fn table_with_entries_of_another_size_is_refused() {
    let (mut file, at) = with_header(|section| section.kind == abi::SHT_SYMTAB);
    for (size, expected) in [(24_u64, true), (0, true), (16, false), (48, false), (u64::MAX, false)] {
        file[at + 56..at + 64].copy_from_slice(&size.to_le_bytes());
        assert_eq!(Tables::read(&file).unwrap().symbols().is_ok(), expected, "{size}");
    }
    let (mut file, at) = with_header(|section| section.kind == abi::SHT_REL && section.size > 0);
    file[at + 56..at + 64].copy_from_slice(&24_u64.to_le_bytes());
    let tables = Tables::read(&file).unwrap();
    assert!(tables.sections().any(|section| tables.relocations(&section).is_err()));
}

#[test]
fn second_symbol_table_is_refused() {
    let (mut file, _) = with_header(|section| section.kind == abi::SHT_SYMTAB);
    // The null section has no contents, so its type can be changed.
    let start = u64::from_le_bytes(file[40..48].try_into().unwrap()) as usize;
    assert!(Tables::read(&file).unwrap().symbols().is_ok());
    file[start + 4..start + 8].copy_from_slice(&abi::SHT_SYMTAB.to_le_bytes());
    assert_eq!(Tables::read(&file).unwrap().symbols().unwrap_err(), super::Outside("its symbol table"));
}

#[test]
fn file_without_names_of_sections_is_refused() {
    let (mut file, _) = with_header(|_| true);
    // The size of the null section is the number of sections if `e_shnum` is 0. It is not the size of the names.
    let count = u16::from_le_bytes([file[60], file[61]]);
    let start = u64::from_le_bytes(file[40..48].try_into().unwrap()) as usize;
    file[start + 32..start + 40].copy_from_slice(&u64::from(count).to_le_bytes());
    file[60..62].fill(0);
    assert_eq!(Tables::read(&file).unwrap().sections().count(), usize::from(count));
    file[62..64].fill(0);
    assert_eq!(Tables::read(&file).unwrap_err(), Unreadable::Sections);
}
