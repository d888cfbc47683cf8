//! The notes that a program carries about its probes.
//!
//! `DTRACE_PROBE(provider, name, …)` leaves one `nop` in the code and a note in the section `.note.stapsdt`, which is never
//! loaded into memory:
//!
//! ```text
//!     owner "stapsdt", type 3
//!     location   of the nop             ┐
//!     base       of .stapsdt.base       │ addresses, each as wide as the file's
//!     semaphore  or 0                   ┘
//!     provider \0 name \0 arguments \0
//! ```
//!
//! A tool that moves the program's segments around after linking (prelink) does not know of the addresses in the notes. It
//! does move the section `.stapsdt.base`, whose address at linking time the note remembers: the difference goes on top of
//! both others. The semaphore is a 16-bit counter of those who listen; a program that finds it 0 spares itself the trouble of
//! working out the arguments.

use std::path::Path;

use object::{
    Endianness, FileKind, ReadRef, U32, U64,
    elf::{self, FileHeader32, FileHeader64},
    read::elf::{FileHeader, ProgramHeader, SectionHeader, SectionTable, Sym},
};

use super::arguments::{self, Argument, Machine};
use crate::{Error, attach::symbol};

/// One place where a probe is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Note {
    pub(super) provider: String,
    pub(super) name: String,
    /// As the note has them.
    pub(super) text: String,
    pub(super) arguments: Vec<Argument>,
    /// Where the `nop` is: bytes from the start of the file.
    pub(super) byte: u64,
    /// Where it is in memory, if the file is of the kind that always lies at the same place.
    pub(super) fixed: Option<u64>,
    /// Where the semaphore is: bytes from the start of the file.
    pub(super) semaphore: Option<u64>,
}

/// All notes of a file, in its order, whose provider and name `wanted` takes.
pub(super) fn read(path: &Path, wanted: &dyn Fn(&str, &str) -> bool) -> Result<Vec<Note>, Error> {
    let answer = symbol::read(path).and_then(|(data, kind)| match kind {
        FileKind::Elf32 => notes::<FileHeader32<Endianness>, _>(&data, wanted),
        _ => notes::<FileHeader64<Endianness>, _>(&data, wanted),
    });
    answer.map_err(|why| Error::Library { library: path.display().to_string(), why })
}

/// `NT_STAPSDT`
const NT_STAPSDT: u32 = 3;

fn notes<'data, Elf, R>(data: R, wanted: &dyn Fn(&str, &str) -> bool) -> Result<Vec<Note>, String>
where
    Elf: FileHeader<Endian = Endianness>,
    R: ReadRef<'data>,
{
    let broken = |error: object::Error| format!("its ELF structure is broken: {error}");
    let header = Elf::parse(data).map_err(broken)?;
    let endian = header.endian().map_err(broken)?;
    let sections = header.sections(endian, data).map_err(broken)?;
    let file = File { header, endian, data, sections: &sections };
    let base = sections.section_by_name(endian, b".stapsdt.base").map(|(_, section)| section.sh_addr(endian).into());

    let mut found = Vec::new();
    let of_probes = sections.iter().filter(|section| {
        section.sh_type(endian) == elf::SHT_NOTE && sections.section_name(endian, section) == Ok(b".note.stapsdt")
    });
    for section in of_probes {
        let Some(mut notes) = section.notes(endian, data).map_err(broken)? else { continue };
        while let Some(note) = notes.next().map_err(broken)? {
            if note.name() != b"stapsdt" || note.n_type(endian) != NT_STAPSDT {
                continue;
            }
            let raw = Raw::read(note.desc(), header.is_type_64(), endian)
                .ok_or("a note of its section .note.stapsdt is broken")?;
            if wanted(raw.provider, raw.name) {
                found.push(file.place(&raw, base)?);
            }
        }
    }
    Ok(found)
}

/// A note as it stands in the file.
struct Raw<'d> {
    location: u64,
    base: u64,
    semaphore: u64,
    provider: &'d str,
    name: &'d str,
    arguments: &'d str,
}

impl<'d> Raw<'d> {
    fn read(desc: &'d [u8], wide: bool, endian: Endianness) -> Option<Self> {
        let width = if wide { 8 } else { 4 };
        let address = |index: usize| {
            let bytes = desc.get(index * width..(index + 1) * width)?;
            Some(match bytes.as_chunks() {
                ([whole], _) => U64::from_bytes(*whole).get(endian),
                (_, half) => u64::from(U32::from_bytes(*half.first_chunk()?).get(endian)),
            })
        };
        let mut texts = desc.get(3 * width..)?.split(|&byte| byte == 0).map(str::from_utf8);
        let mut text = || texts.next()?.ok();
        Some(Self {
            location: address(0)?,
            base: address(1)?,
            semaphore: address(2)?,
            provider: text()?,
            name: text()?,
            arguments: text()?,
        })
    }
}

struct File<'f, 'data, Elf: FileHeader, R: ReadRef<'data>> {
    header: &'f Elf,
    endian: Endianness,
    data: R,
    sections: &'f SectionTable<'data, Elf, R>,
}

impl<'data, Elf: FileHeader<Endian = Endianness>, R: ReadRef<'data>> File<'_, 'data, Elf, R> {
    fn place(&self, raw: &Raw<'_>, base: Option<u64>) -> Result<Note, String> {
        // A file without that section was not moved by anybody who would keep it right.
        let moved = base.map_or(0, |base| base.wrapping_sub(raw.base));
        let location = raw.location.wrapping_add(moved);
        let probe = || format!("its probe `{}:{}`", raw.provider, raw.name);
        let byte = self
            .offset(location, true)
            .ok_or_else(|| format!("{} is at {location:#x}, where no code of the file is", probe()))?;
        let semaphore = match raw.semaphore {
            0 => None,
            address => {
                let address = address.wrapping_add(moved);
                let byte = self.offset(address, false);
                Some(byte.ok_or_else(|| format!("{} has its semaphore outside the file, at {address:#x}", probe()))?)
            }
        };
        let from_here = |name: &str| Some(self.variable(name)?.wrapping_sub(location).cast_signed());
        Ok(Note {
            provider: raw.provider.to_owned(),
            name: raw.name.to_owned(),
            text: raw.arguments.to_owned(),
            arguments: arguments::read(self.machine(), raw.arguments, &from_here),
            byte,
            fixed: (self.header.e_type(self.endian) == elf::ET_EXEC).then_some(location),
            semaphore,
        })
    }

    fn machine(&self) -> Machine {
        match self.header.e_machine(self.endian) {
            elf::EM_X86_64 | elf::EM_386 => Machine::X86,
            elf::EM_AARCH64 => Machine::Arm64,
            _ => Machine::Other,
        }
    }

    /// Where in the file the byte is that will be at `address`, in a segment of code or of data.
    fn offset(&self, address: u64, code: bool) -> Option<u64> {
        let segments = self.header.program_headers(self.endian, self.data).ok()?;
        segments.iter().find_map(|segment| {
            let start: u64 = segment.p_vaddr(self.endian).into();
            let inside = address.checked_sub(start)?;
            let fits = segment.p_type(self.endian) == elf::PT_LOAD
                && (segment.p_flags(self.endian) & elf::PF_X != 0) == code
                && inside < segment.p_filesz(self.endian).into();
            segment.p_offset(self.endian).into().checked_add(inside).filter(|_| fits)
        })
    }

    /// The address of a variable, by its symbol.
    fn variable(&self, name: &str) -> Option<u64> {
        [elf::SHT_SYMTAB, elf::SHT_DYNSYM].into_iter().find_map(|kind| {
            let symbols = self.sections.symbols(self.endian, self.data, kind).ok()?;
            let symbol = symbols.iter().find(|symbol| {
                !symbol.is_undefined(self.endian)
                    && symbol.st_type() == elf::STT_OBJECT
                    && symbol.name(self.endian, symbols.strings()) == Ok(name.as_bytes())
            })?;
            Some(symbol.st_value(self.endian).into())
        })
    }
}
