//! Reads the notes about USDT probes in a program.
//!
//! `DTRACE_PROBE(provider, name, …)` leaves one `nop` in the code and a note in the section `.note.stapsdt`, which is
//! never loaded into memory:
//!
//! ```text
//!     owner "stapsdt", type 3
//!     location   of the nop             ┐
//!     base       of .stapsdt.base       │ addresses, each as wide as the file's
//!     semaphore  or 0                   ┘
//!     provider \0 name \0 arguments \0
//! ```
//!
//! A tool that moves the program's segments after linking (prelink) does not adjust the addresses in the notes. It does
//! move the section `.stapsdt.base`, whose address at link time is in the note: the difference is added to the other
//! two addresses. The semaphore is a 16-bit counter of attached probes. A program that finds 0 there does not compute
//! the arguments.

use std::{
    cell::{OnceCell, RefCell},
    collections::BTreeMap,
};

use object::{Endianness, U32, U64, elf};

use super::arguments::{self, Argument, Machine};
use crate::{
    Error,
    attach::image::{Binary, Image},
};

/// One location of a probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Note {
    pub(super) provider: String,
    pub(super) name: String,
    /// The arguments as the note has them.
    pub(super) text: String,
    pub(super) arguments: Vec<Argument>,
    /// The reasons why variables in the arguments could not be resolved.
    pub(super) doubts: Vec<String>,
    /// File offset of the `nop`, in bytes.
    pub(super) offset: u64,
    /// Address of the `nop` in memory, if the file is always loaded at the same address.
    pub(super) fixed: Option<u64>,
    /// File offset of the semaphore, in bytes.
    pub(super) semaphore: Option<u64>,
}

/// Returns all notes of a file whose provider and name `wanted` accepts, in the file's order.
pub(super) fn read(binary: &Binary, wanted: &dyn Fn(&str, &str) -> bool) -> Result<Vec<Note>, Error> {
    let answer = binary.image().and_then(|image| File::new(&image).notes(wanted));
    answer.map_err(|why| Error::Library { library: binary.path.display().to_string(), why })
}

/// `NT_STAPSDT`
const NT_STAPSDT: u32 = 3;

/// The fields of a note.
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

/// Returns the distance by which a tool has moved the file's segments since the note was written, modulo 2^64. `base`
/// is the address of `.stapsdt.base`; the note has its address at link time.
///
/// Without that section no such tool has moved the file. Notes that were not written by `sys/sdt.h` may have 0 instead
/// of the address, also in a file that has the section because of other notes.
fn moved(base: Option<u64>, at_link_time: u64) -> u64 {
    match base {
        Some(base) if base != 0 && at_link_time != 0 => base.wrapping_sub(at_link_time),
        _ => 0,
    }
}

struct File<'f, 'b> {
    image: &'f Image<'b>,
    /// The variables by name, and whether the file has its full symbol table; read on first use.
    variables: OnceCell<(BTreeMap<Vec<u8>, Variable>, bool)>,
}

/// The definitions of one name in the file's symbol tables.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Variable {
    At(u64),
    /// At several addresses. The file does not say which one the probe's author meant.
    Several(Vec<u64>),
    /// Not at one address in memory: a thread-local variable, or a constant.
    Nowhere,
}

impl<'f, 'b> File<'f, 'b> {
    fn new(image: &'f Image<'b>) -> Self {
        Self { image, variables: OnceCell::new() }
    }

    fn notes(&self, wanted: &dyn Fn(&str, &str) -> bool) -> Result<Vec<Note>, String> {
        let tables = &self.image.tables;
        let endian = if tables.little_endian() { Endianness::Little } else { Endianness::Big };
        let base = tables.section_address(".stapsdt.base");
        let mut found = Vec::new();
        for note in tables.notes(".note.stapsdt", "stapsdt", NT_STAPSDT)? {
            let raw = Raw::read(note, tables.wide, endian).ok_or("a note of its section .note.stapsdt is broken")?;
            if wanted(raw.provider, raw.name) {
                found.push(self.note(&raw, base)?);
            }
        }
        Ok(found)
    }

    fn note(&self, raw: &Raw<'_>, base: Option<u64>) -> Result<Note, String> {
        let moved = moved(base, raw.base);
        let location = raw.location.wrapping_add(moved);
        let probe = || format!("its probe `{}:{}`", raw.provider, raw.name);
        let head = &self.image.head;
        let offset = head
            .code(location)
            .map_err(|why| format!("{} is at {location:#x}, where the file has no code: {why}", probe()))?;
        let semaphore = match raw.semaphore {
            0 => None,
            address => {
                let address = address.wrapping_add(moved);
                let byte = head.offset(address, false);
                Some(byte.map_err(|_| format!("{} has its semaphore outside the file, at {address:#x}", probe()))?)
            }
        };
        let doubts = RefCell::new(Vec::new());
        let from_here = |name: &str| {
            let (variable, full) = self.variable(name);
            let doubt = match variable {
                Some(Variable::At(address)) => return Some(address.wrapping_sub(location).cast_signed()),
                Some(Variable::Several(addresses)) => {
                    let list: Vec<_> = addresses.iter().take(8).map(|address| format!("{address:#x}")).collect();
                    format!(
                        "`{name}` is the name of {} variables (at {}), and the file does not say which one is meant",
                        addresses.len(),
                        list.join(", ")
                    )
                }
                Some(Variable::Nowhere) => format!("`{name}` is not at one address in memory"),
                None if full => format!("the file has no variable `{name}`"),
                None => format!("the file is stripped (no .symtab), and exports no variable `{name}`"),
            };
            let mut doubts = doubts.borrow_mut();
            if !doubts.contains(&doubt) {
                doubts.push(doubt);
            }
            None
        };
        let arguments = arguments::read(self.machine(), raw.arguments, &from_here);
        Ok(Note {
            provider: raw.provider.to_owned(),
            name: raw.name.to_owned(),
            text: raw.arguments.to_owned(),
            arguments,
            doubts: doubts.into_inner(),
            offset,
            fixed: (head.kind == elf::ET_EXEC).then_some(location),
            semaphore,
        })
    }

    fn machine(&self) -> Machine {
        match self.image.head.machine {
            elf::EM_X86_64 | elf::EM_386 => Machine::X86,
            elf::EM_AARCH64 => Machine::Arm64,
            elf::EM_RISCV => Machine::Riscv64,
            elf::EM_S390 => Machine::S390x,
            _ => Machine::Other,
        }
    }

    /// Returns the definition of this name in the file's tables, and whether the full table is among them.
    fn variable(&self, name: &str) -> (Option<Variable>, bool) {
        let (variables, full) = self.variables.get_or_init(|| {
            let mut all = BTreeMap::new();
            // A broken table defines no names.
            let full = self.image.tables.symbols(&mut |symbol| {
                // Code refers to a hidden version by another name.
                if symbol.undefined || symbol.hidden || symbol.name.is_empty() {
                    return;
                }
                let here = match symbol.kind {
                    _ if symbol.absolute => Variable::Nowhere,
                    elf::STT_OBJECT | elf::STT_COMMON | elf::STT_NOTYPE | elf::STT_FUNC => Variable::At(symbol.address),
                    elf::STT_TLS | elf::STT_GNU_IFUNC => Variable::Nowhere,
                    _ => return,
                };
                match all.get_mut(symbol.name) {
                    None => {
                        all.insert(symbol.name.to_vec(), here);
                    }
                    Some(known) => known.also(here),
                }
            });
            (all, full.unwrap_or(false))
        });
        (variables.get(name.as_bytes()).cloned(), *full)
    }
}

impl Variable {
    /// Adds another definition of the same name; the same address in both tables counts once.
    fn also(&mut self, other: Self) {
        let (Self::At(address), Self::At(known)) = (&other, &*self) else {
            match (self, other) {
                (Self::Several(known), Self::At(address)) if !known.contains(&address) => known.push(address),
                (Self::Several(_) | Self::Nowhere, _) => {}
                (known, _) => *known = Self::Nowhere,
            }
            return;
        };
        if address != known {
            *self = Self::Several(vec![*known, *address]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attach::{
        crafted::{
            CODE, Crafted, DATA, FUNC, GLOBAL, IFUNC, LOCAL, NOTE, NOTYPE, OBJECT, Symbol, TLS, own_machine, probe,
        },
        image::tests::TempFile,
        usdt::arguments::ArgLocation,
    };

    /// Returns the distance of the argument `4@counter(%rip)` in an x86 file with these symbols, and the reported
    /// doubts.
    fn counter(symbols: &[Symbol<'_>], dynamic: &[Symbol<'_>]) -> (Option<i64>, String) {
        let sections = vec![(".note.stapsdt", NOTE, probe(CODE, "hit", "4@counter(%rip)"))];
        let (symbols, dynamic) = (symbols.to_vec(), dynamic.to_vec());
        let kept = TempFile::new(&Crafted { symbols, dynamic, sections, ..Crafted::default() });
        let notes = read(&kept.binary(), &|_, _| true).unwrap();
        let note = &notes[0];
        let distance = match note.arguments[0].location {
            ArgLocation::Memory { distance, .. } => Some(distance),
            _ => None,
        };
        (distance, note.doubts.concat())
    }

    /// `EM_X86_64`
    fn not_x86() -> bool {
        own_machine() != 62
    }

    #[test]
    fn unambiguous_variable_is_found() {
        if not_x86() {
            return;
        }
        let own = ("counter", LOCAL, OBJECT, DATA + 8, 4);
        let distance = Some((DATA + 8 - CODE).cast_signed());
        let found = |symbols: &[Symbol<'_>], dynamic: &[Symbol<'_>]| {
            assert_eq!(counter(symbols, dynamic), (distance, String::new()), "{symbols:?} {dynamic:?}");
        };
        found(&[own], &[]);
        found(&[own], &[own]);
        found(&[], &[own]);
        // The same address twice, once without a size, and an import without a type.
        found(&[own, ("counter", GLOBAL, OBJECT, DATA + 8, 0)], &[("counter", GLOBAL, OBJECT, 0, 0)]);
        found(&[("counter", GLOBAL, NOTYPE, DATA + 8, 0)], &[]);
        // A version for old programs has another name in the code.
        found(&[own, ("counter@V1", GLOBAL, OBJECT, DATA, 4)], &[]);
    }

    #[test]
    fn ambiguous_variable_is_not_resolved() {
        if not_x86() {
            return;
        }
        let own = ("counter", LOCAL, OBJECT, DATA + 8, 4);
        for other in [
            ("counter", LOCAL, OBJECT, DATA + 16, 4),
            // Each source file may have meant its own variable.
            ("counter", GLOBAL, OBJECT, DATA + 16, 4),
            ("counter", LOCAL, OBJECT, DATA + 16, 0),
            ("counter", LOCAL, NOTYPE, DATA + 16, 0),
            ("counter", LOCAL, FUNC, CODE, 4),
        ] {
            for symbols in [[own, other], [other, own]] {
                let (distance, doubt) = counter(&symbols, &[]);
                assert_eq!(distance, None, "{other:?}");
                assert!(doubt.contains("`counter` is the name of 2 variables") && doubt.contains("0x12008"), "{doubt}");
            }
        }
        // Symbols that have no address of their own.
        for other in [("counter", LOCAL, TLS, 8, 4), ("counter", GLOBAL, IFUNC, CODE, 4)] {
            assert_eq!(counter(&[other], &[]).0, None);
            assert_eq!(counter(&[own, other], &[]).0, None);
        }
        assert_eq!(counter(&[("counter", GLOBAL, OBJECT, 0, 4)], &[]).0, None);
    }

    #[test]
    fn unreadable_variable_has_its_reason() {
        if not_x86() {
            return;
        }
        let other = ("other", GLOBAL, OBJECT, DATA + 8, 4);
        for (symbols, dynamic, part) in [
            (vec![other], vec![], "the file has no variable `counter`"),
            (vec![], vec![other], "stripped (no .symtab), and exports no variable `counter`"),
            (vec![("counter", LOCAL, TLS, 8, 4)], vec![], "`counter` is not at one address"),
        ] {
            let (distance, doubt) = counter(&symbols, &dynamic);
            assert!(distance.is_none() && doubt.contains(part), "{doubt}");
        }
    }

    #[test]
    fn only_known_addresses_of_the_base_give_a_distance() {
        assert_eq!(moved(Some(0x5000), 0x2000), 0x3000);
        assert_eq!(moved(Some(0x2000), 0x5000), 0x3000_u64.wrapping_neg());
        assert_eq!(moved(Some(0x2000), 0x2000), 0);
        for (base, at_link_time) in [(None, 0x2000), (None, 0), (Some(0x2000), 0), (Some(0), 0x2000)] {
            assert_eq!(moved(base, at_link_time), 0, "{base:?} {at_link_time:#x}");
        }
    }

    #[test]
    fn probes_in_files_without_code_are_refused() {
        let sections = vec![(".note.stapsdt", NOTE, probe(CODE, "hit", ""))];
        let crafted = Crafted { sections, ..Crafted::default() };
        let all = |crafted: &Crafted<'_>| {
            let kept = TempFile::new(crafted);
            read(&kept.binary(), &|_, _| true).map(|notes| notes.len()).map_err(|error| error.to_string())
        };
        assert_eq!(all(&crafted), Ok(1));
        let line = all(&Crafted { debug_only: true, ..crafted.clone() }).unwrap_err();
        assert!(line.contains("SHT_NOBITS"), "{line}");
        let sections = vec![(".note.stapsdt", NOTE, probe(DATA, "hit", ""))];
        let line = all(&Crafted { sections, ..crafted }).unwrap_err();
        assert!(line.contains("`cutaway:hit`") && line.contains("no code"), "{line}");
    }
}
