//! Reads the tables of an ELF file of either class piece by piece, on demand: segments, sections, symbols.

use std::io::{Read, Seek};

use object::{
    Endianness, FileKind, ReadCache, ReadRef, U32,
    elf::{self, FileHeader32, FileHeader64},
    read::elf::{FileHeader, ProgramHeader, SectionHeader, SectionTable, Sym},
};

/// The source of the bytes: a file, or memory.
pub(super) trait Source: Read + Seek {}

impl<T: Read + Seek> Source for T {}

/// Bytes that are cached when read.
pub(super) type Data<'b> = ReadCache<Box<dyn Source + 'b>>;

/// An ELF file.
pub(super) struct Tables<'b> {
    pub(super) data: Data<'b>,
    pub(super) wide: bool,
}

/// Calls the function for the file's class.
macro_rules! either {
    ($tables:expr, $function:ident($($argument:expr),*)) => {
        if $tables.wide {
            $function::<FileHeader64<Endianness>, _>(&$tables.data, $($argument),*)
        } else {
            $function::<FileHeader32<Endianness>, _>(&$tables.data, $($argument),*)
        }
    };
}

/// A symbol of the dynamic or the full table.
#[derive(Debug, Clone, Copy)]
pub(super) struct Symbol<'s> {
    /// The name without its version.
    pub(super) name: &'s [u8],
    pub(super) address: u64,
    pub(super) size: u64,
    /// The symbol type: `STT_FUNC` etc.
    pub(super) kind: u8,
    pub(super) local: bool,
    /// `SHN_UNDEF`: defined in another file.
    pub(super) undefined: bool,
    /// `SHN_ABS`: a constant, not an address.
    pub(super) absolute: bool,
    /// From the table that the dynamic loader uses.
    pub(super) dynamic: bool,
    pub(super) version: Option<&'s [u8]>,
    /// A version that is used only if it is requested by name.
    pub(super) hidden: bool,
}

impl<'b> Tables<'b> {
    /// Returns `None` if the bytes are not an ELF file.
    pub(super) fn read(data: Data<'b>) -> Option<Self> {
        let kind = FileKind::parse(&data).ok()?;
        let wide = match kind {
            FileKind::Elf64 => true,
            FileKind::Elf32 => false,
            _ => return None,
        };
        Some(Self { data, wide })
    }

    /// Returns `e_type` and `e_machine`.
    pub(super) fn kind_and_machine(&self) -> Result<(u16, u16), String> {
        fn read<'d, Elf: FileHeader<Endian = Endianness>, R: ReadRef<'d>>(data: R) -> Result<(u16, u16), String> {
            let (header, endian) = header::<Elf, R>(data)?;
            Ok((header.e_type(endian), header.e_machine(endian)))
        }
        either!(self, read())
    }

    pub(super) fn little_endian(&self) -> bool {
        fn read<'d, Elf: FileHeader<Endian = Endianness>, R: ReadRef<'d>>(data: R) -> bool {
            header::<Elf, R>(data).is_ok_and(|(_, endian)| endian == Endianness::Little)
        }
        either!(self, read())
    }

    /// Returns the mapped segments (`PT_LOAD`): address, size in memory, file offset, size in the file (in bytes), and
    /// whether the segment is executable.
    #[expect(clippy::type_complexity, reason = "its only reader gives the parts their names")]
    pub(super) fn segments(&self) -> Result<Vec<(u64, u64, u64, u64, bool)>, String> {
        fn read<'d, Elf: FileHeader<Endian = Endianness>, R: ReadRef<'d>>(
            data: R,
        ) -> Result<Vec<(u64, u64, u64, u64, bool)>, String> {
            let (header, endian) = header::<Elf, R>(data)?;
            let all =
                header.program_headers(endian, data).map_err(|error| format!("its segments are broken: {error}"))?;
            let loaded = all.iter().filter(|segment| segment.p_type(endian) == elf::PT_LOAD);
            let read = loaded.map(|segment| {
                let executable = segment.p_flags(endian) & elf::PF_X != 0;
                let (address, size) = (segment.p_vaddr(endian).into(), segment.p_memsz(endian).into());
                (address, size, segment.p_offset(endian).into(), segment.p_filesz(endian).into(), executable)
            });
            Ok(read.collect())
        }
        either!(self, read())
    }

    /// Returns true if the file has code sections, and none of them has contents, as in a `.debug` file.
    pub(super) fn code_is_elsewhere(&self) -> bool {
        fn read<'d, Elf: FileHeader<Endian = Endianness>, R: ReadRef<'d>>(data: R) -> bool {
            let Ok((endian, sections)) = sections::<Elf, R>(data) else { return false };
            let code = u64::from(elf::SHF_EXECINSTR);
            let mut code = sections.iter().filter(|section| section.sh_flags(endian).into() & code != 0).peekable();
            code.peek().is_some() && code.all(|section| section.sh_type(endian) == elf::SHT_NOBITS)
        }
        either!(self, read())
    }

    /// Returns the bytes of a section, if the section exists and is not empty.
    pub(super) fn section(&self, name: &str) -> Option<&[u8]> {
        fn read<'d, Elf: FileHeader<Endian = Endianness>, R: ReadRef<'d>>(data: R, name: &str) -> Option<&'d [u8]> {
            let (endian, sections) = sections::<Elf, R>(data).ok()?;
            let (_, section) = sections.section_by_name(endian, name.as_bytes())?;
            section.data(endian, data).ok().filter(|bytes| !bytes.is_empty())
        }
        either!(self, read(name))
    }

    /// Returns the address of a section.
    pub(super) fn section_address(&self, name: &str) -> Option<u64> {
        fn read<'d, Elf: FileHeader<Endian = Endianness>, R: ReadRef<'d>>(data: R, name: &str) -> Option<u64> {
            let (endian, sections) = sections::<Elf, R>(data).ok()?;
            let (_, section) = sections.section_by_name(endian, name.as_bytes())?;
            Some(section.sh_addr(endian).into())
        }
        either!(self, read(name))
    }

    /// Returns the notes of this owner and type in the sections of this name.
    pub(super) fn notes(&self, section: &str, owner: &str, kind: u32) -> Result<Vec<&[u8]>, String> {
        fn read<'d, Elf: FileHeader<Endian = Endianness>, R: ReadRef<'d>>(
            data: R,
            (name, owner, kind): (&str, &str, u32),
        ) -> Result<Vec<&'d [u8]>, String> {
            let (endian, sections) = sections::<Elf, R>(data)?;
            let mut found = Vec::new();
            for section in
                sections.iter().filter(|section| sections.section_name(endian, section) == Ok(name.as_bytes()))
            {
                let Some(mut notes) = section.notes(endian, data).map_err(broken)? else { continue };
                while let Some(note) = notes.next().map_err(broken)? {
                    if note.name() == owner.as_bytes() && note.n_type(endian) == kind {
                        found.push(note.desc());
                    }
                }
            }
            Ok(found)
        }
        either!(self, read((section, owner, kind)))
    }

    /// Returns the build id, which identifies one build of a file.
    pub(super) fn build_id(&self) -> Option<&[u8]> {
        let notes = self.notes(".note.gnu.build-id", "GNU", elf::NT_GNU_BUILD_ID).ok()?;
        notes.into_iter().find(|id| !id.is_empty())
    }

    /// Converts 32 bits from the file's byte order.
    pub(super) fn word(&self, bytes: [u8; 4]) -> u32 {
        U32::from_bytes(bytes).get(if self.little_endian() { Endianness::Little } else { Endianness::Big })
    }

    /// Calls `visit` for each symbol, first for those in the dynamic loader's table. Returns whether the file has the
    /// full symbol table; a stripped file has none.
    pub(super) fn symbols(&self, visit: &mut dyn FnMut(&Symbol<'_>)) -> Result<bool, String> {
        fn read<'d, Elf: FileHeader<Endian = Endianness>, R: ReadRef<'d>>(
            data: R,
            visit: &mut dyn FnMut(&Symbol<'_>),
        ) -> Result<bool, String> {
            let (endian, sections) = sections::<Elf, R>(data)?;
            let versions = sections.versions(endian, data).map_err(broken)?;
            let mut full = false;
            for (table, versions) in [(elf::SHT_DYNSYM, versions.as_ref()), (elf::SHT_SYMTAB, None)] {
                let symbols = sections.symbols(endian, data, table).map_err(broken)?;
                if symbols.is_empty() {
                    continue;
                }
                full |= table == elf::SHT_SYMTAB;
                // All names at once: otherwise `object` reads them one by one.
                let names = sections.section(symbols.string_section()).and_then(|names| names.data(endian, data));
                let names = names.map_err(broken)?;
                // Names may be suffixes of each other, and symbols may share names. But if every name extended to the
                // end of the table, the time would be quadratic in its size.
                let mut left = (names.len() as u64).saturating_mul(64);
                for (index, symbol) in symbols.enumerate() {
                    let at = symbol.st_name(endian);
                    let name = text(names, at);
                    let looked_at = name.map_or(names.len().saturating_sub(at as usize), <[u8]>::len);
                    left = left
                        .checked_add(256)
                        .and_then(|left| left.checked_sub(looked_at as u64))
                        .ok_or("its symbol names are broken: each is nearly as long as the whole string table")?;
                    let Some(name) = name else { continue };
                    // The full table appends the version to the name.
                    let (name, written) = match name.iter().position(|&byte| byte == b'@') {
                        Some(at) if at > 0 && table == elf::SHT_SYMTAB => name.split_at(at),
                        _ => (name, &[][..]),
                    };
                    let number = versions.map(|versions| versions.version_index(endian, index));
                    let known = number.and_then(|number| versions?.version(number).ok().flatten());
                    let written_name = written.strip_prefix(b"@@").or(written.strip_prefix(b"@"));
                    let shndx = symbol.st_shndx(endian);
                    visit(&Symbol {
                        name,
                        address: symbol.st_value(endian).into(),
                        size: symbol.st_size(endian).into(),
                        kind: symbol.st_type(),
                        local: symbol.st_bind() == elf::STB_LOCAL,
                        undefined: shndx == elf::SHN_UNDEF,
                        absolute: shndx == elf::SHN_ABS,
                        dynamic: table == elf::SHT_DYNSYM,
                        version: known.map(|version| version.name()).or(written_name),
                        hidden: number.is_some_and(|number| number.is_hidden())
                            || !written.is_empty() && !written.starts_with(b"@@"),
                    });
                }
            }
            Ok(full)
        }
        either!(self, read(visit))
    }
}

fn header<'d, Elf: FileHeader<Endian = Endianness>, R: ReadRef<'d>>(data: R) -> Result<(&'d Elf, Endianness), String> {
    let header = Elf::parse(data).map_err(broken)?;
    Ok((header, header.endian().map_err(broken)?))
}

fn sections<'d, Elf: FileHeader<Endian = Endianness>, R: ReadRef<'d>>(
    data: R,
) -> Result<(Endianness, SectionTable<'d, Elf, R>), String> {
    let (header, endian) = header::<Elf, R>(data)?;
    Ok((endian, header.sections(endian, data).map_err(broken)?))
}

fn text(names: &[u8], at: u32) -> Option<&[u8]> {
    let text = names.get(at as usize..)?;
    text.iter().position(|&byte| byte == 0).and_then(|end| text.get(..end))
}

pub(super) fn broken(error: object::Error) -> String {
    format!("its ELF structure is broken: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attach::{
        crafted::{CODE, Crafted, FUNC, GLOBAL, NOTE, note},
        image::tests::TempFile,
        symbol,
    };

    /// Any damaged file yields a result: no panic and no endless search.
    #[test]
    fn damaged_files_yield_a_result() {
        let function = ("function", GLOBAL, FUNC, CODE, 2);
        let notes = vec![
            (".note.gnu.build-id", NOTE, note("GNU", 3, &[7; 8])),
            (".gnu_debuglink", 1, b"debug\0\0\0crc.".to_vec()),
            (".gnu_debugdata", 1, vec![1; 16]),
            (".note.stapsdt", NOTE, note("stapsdt", 3, &[0; 40])),
        ];
        let crafted =
            Crafted { symbols: vec![function], dynamic: vec![function], sections: notes, ..Crafted::default() };
        let kept = TempFile::new(&crafted);
        let whole = std::fs::read(&kept.0).unwrap();
        // All but code and data, which are not parsed; every fifth byte, to be quick.
        for at in (0..0x200).chain(0x2000..whole.len()).step_by(5) {
            for value in [0, 0xff] {
                let mut damaged = whole.clone();
                damaged[at] = value;
                std::fs::write(&kept.0, &damaged).unwrap();
                let binary = kept.binary();
                let _ = binary.check_file_offset(CODE);
                let Ok(image) = binary.image() else { continue };
                for name in ["function", "absent"] {
                    let _ = symbol::find(&image, name);
                }
                let _ = image.tables.notes(".note.stapsdt", "stapsdt", 3);
            }
        }
        for length in (0..0x200).chain(0x2000..whole.len()).step_by(17) {
            std::fs::write(&kept.0, &whole[..length]).unwrap();
            let _ = kept.binary().image().and_then(|image| symbol::find(&image, "absent").map(drop));
        }
    }

    #[test]
    fn names_sharing_suffixes_are_bounded() {
        let long = "x".repeat(100_000);
        let mut names: Vec<&str> = vec!["short"; 199];
        names.push(&long);
        let symbols = names.into_iter().map(|name| (name, GLOBAL, FUNC, CODE, 2)).collect();
        let mut bytes = Crafted { symbols, ..Crafted::default() }.write();
        let count = |bytes: &[u8]| {
            let mut count = 0;
            let tables = Tables::read(Data::new(Box::new(std::io::Cursor::new(bytes.to_vec())))).unwrap();
            tables.symbols(&mut |_| count += 1).map(|_| count)
        };
        let all = count(&bytes).unwrap();
        assert!(all >= 200, "{all}");
        // Start each symbol's name one byte later in the long name.
        let offsets: Vec<usize> = (0..bytes.len() - 24)
            .filter(|&at| bytes[at + 4] == GLOBAL << 4 | FUNC && bytes[at + 8..at + 16] == CODE.to_ne_bytes())
            .collect();
        assert_eq!(offsets.len(), 200);
        let name = |bytes: &[u8], at: usize| u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap());
        let start = offsets.iter().map(|&at| name(&bytes, at)).max().unwrap();
        for (number, &at) in offsets.iter().enumerate() {
            bytes[at..at + 4].copy_from_slice(&(start + number as u32).to_ne_bytes());
        }
        assert!(count(&bytes).unwrap_err().contains("nearly as long as the whole string table"));
    }
}
