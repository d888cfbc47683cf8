//! From a function's name to the byte of the file where its code starts.
//!
//! A name can stand for several definitions, one for each version that old programs were linked with; the default one is
//! meant unless a version is given. Two kinds of symbol look like functions and are not: an *import* is defined in some
//! other file, and an *IFUNC* is a resolver that the dynamic loader runs once to choose among several functions.

use std::{collections::BTreeMap, fs::File, io::BufReader, path::Path};

use object::{
    Endianness, FileKind, ReadCache, ReadRef,
    elf::{self, FileHeader32, FileHeader64},
    read::elf::{FileHeader, ProgramHeader, Sym, SymbolTable, VersionTable},
};

use super::pattern;
use crate::{Error, sys::file};

/// A function found in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Function {
    /// Bytes from the start of the file to the function's first instruction.
    pub(crate) file_offset: u64,
}

/// Finds `symbol` (`name`, `name@VERSION` or `name@@VERSION`) in the file at `path`.
pub(crate) fn find(path: &Path, symbol: &str) -> Result<Function, Error> {
    let wanted = Wanted::read(symbol);
    let answer = read(path).and_then(|(data, kind)| match kind {
        FileKind::Elf32 => search::<FileHeader32<Endianness>, _>(&data, &wanted),
        _ => search::<FileHeader64<Endianness>, _>(&data, &wanted),
    });
    answer.map_err(|why| failed(path, symbol, why))
}

/// Where in the file the code lies that the file itself puts at `address`.
pub(crate) fn at_address(path: &Path, address: u64) -> Result<Function, Error> {
    fn search<'data, Elf: FileHeader<Endian = Endianness>, R: ReadRef<'data>>(
        data: R,
        address: u64,
    ) -> Result<Function, String> {
        let header = Elf::parse(data).map_err(broken)?;
        file_offset::<Elf, R>(header, header.endian().map_err(broken)?, data, address)
    }
    let answer = read(path).and_then(|(data, kind)| match kind {
        FileKind::Elf32 => search::<FileHeader32<Endianness>, _>(&data, address),
        _ => search::<FileHeader64<Endianness>, _>(&data, address),
    });
    answer.map_err(|why| failed(path, &format!("{address:#x}"), why))
}

/// All functions whose names fit `pattern`, by where they are; one that has several names is there once.
pub(crate) fn matching(path: &Path, pattern: &str) -> Result<BTreeMap<u64, String>, Error> {
    fn search<'data, Elf: FileHeader<Endian = Endianness>, R: ReadRef<'data>>(
        data: R,
        pattern: &[u8],
    ) -> Result<BTreeMap<u64, String>, String> {
        let header = Elf::parse(data).map_err(broken)?;
        let endian = header.endian().map_err(broken)?;
        let sections = header.sections(endian, data).map_err(broken)?;
        let mut found = BTreeMap::new();
        for kind in [elf::SHT_DYNSYM, elf::SHT_SYMTAB] {
            let symbols = sections.symbols(endian, data, kind).map_err(broken)?;
            for symbol in symbols.iter() {
                let Ok(name) = symbol.name(endian, symbols.strings()) else { continue };
                let name = name.split(|&byte| byte == b'@').next().unwrap_or_default();
                let is_function = symbol.st_type() == elf::STT_FUNC && !symbol.is_undefined(endian);
                if !is_function || !pattern::fits(pattern, name) {
                    continue;
                }
                let place = file_offset::<Elf, R>(header, endian, data, symbol.st_value(endian).into());
                if let Ok(function) = place {
                    found.entry(function.file_offset).or_insert_with(|| String::from_utf8_lossy(name).into_owned());
                }
            }
        }
        if found.is_empty() { Err("the file has no function that fits".to_owned()) } else { Ok(found) }
    }
    let answer = read(path).and_then(|(data, kind)| match kind {
        FileKind::Elf32 => search::<FileHeader32<Endianness>, _>(&data, pattern.as_bytes()),
        _ => search::<FileHeader64<Endianness>, _>(&data, pattern.as_bytes()),
    });
    answer.map_err(|why| failed(path, pattern, why))
}

fn failed(path: &Path, symbol: &str, why: String) -> Error {
    Error::Symbol { symbol: symbol.to_owned(), library: path.display().to_string(), why }
}

fn broken(error: object::Error) -> String {
    format!("its ELF structure is broken: {error}")
}

/// The file, read piece by piece as it is asked for, and whether it is of 32 or 64 bits.
pub(super) fn read(path: &Path) -> Result<(ReadCache<BufReader<File>>, FileKind), String> {
    if !path.is_file() {
        return Err("it is not a file".to_owned());
    }
    let why = "reads the symbols of a program or library: at which byte of the file a place begins";
    let file = file::open(path, why).map_err(|error| error.to_string())?;
    let data = ReadCache::new(BufReader::new(file));
    match FileKind::parse(&data) {
        Ok(kind @ (FileKind::Elf64 | FileKind::Elf32)) => Ok((data, kind)),
        _ => Err("it is no ELF file".to_owned()),
    }
}

/// What was asked for.
struct Wanted<'a> {
    name: &'a str,
    version: Option<&'a str>,
}

impl<'a> Wanted<'a> {
    fn read(symbol: &'a str) -> Self {
        match symbol.split_once('@') {
            Some((name, version)) => Self { name, version: Some(version.trim_start_matches('@')) },
            None => Self { name: symbol, version: None },
        }
    }
}

/// What was found under the right name, kept for the error if it is not what was meant.
#[derive(Default)]
struct Seen {
    imported: bool,
    ifunc: bool,
    versions: Vec<String>,
}

fn search<'data, Elf, R>(data: R, wanted: &Wanted<'_>) -> Result<Function, String>
where
    Elf: FileHeader<Endian = Endianness>,
    R: ReadRef<'data>,
{
    let header = Elf::parse(data).map_err(broken)?;
    let endian = header.endian().map_err(broken)?;
    let sections = header.sections(endian, data).map_err(broken)?;
    let versions = sections.versions(endian, data).map_err(broken)?;
    let mut seen = Seen::default();
    // The dynamic symbols have versions; the full table, if it was not stripped, has static functions, too.
    for (kind, versions) in [(elf::SHT_DYNSYM, versions.as_ref()), (elf::SHT_SYMTAB, None)] {
        let symbols = sections.symbols(endian, data, kind).map_err(broken)?;
        if let Some(address) = in_table(endian, &symbols, versions, wanted, &mut seen) {
            return file_offset::<Elf, R>(header, endian, data, address);
        }
    }
    Err(seen.explain(wanted))
}

/// The address of the wanted definition in one symbol table.
fn in_table<'data, Elf: FileHeader<Endian = Endianness>, R: ReadRef<'data>>(
    endian: Endianness,
    symbols: &SymbolTable<'data, Elf, R>,
    versions: Option<&VersionTable<'data, Elf>>,
    wanted: &Wanted<'_>,
    seen: &mut Seen,
) -> Option<u64> {
    for (index, symbol) in symbols.enumerate() {
        let Ok(name) = symbol.name(endian, symbols.strings()) else { continue };
        // The full table writes the version behind the name.
        let Some(rest) = name.strip_prefix(wanted.name.as_bytes()) else { continue };
        let written = match rest {
            [] => None,
            [b'@', version @ ..] => std::str::from_utf8(version).ok(),
            _ => continue,
        };
        if symbol.is_undefined(endian) {
            seen.imported = true;
            continue;
        }
        if !matches!(symbol.st_type(), elf::STT_FUNC | elf::STT_NOTYPE | elf::STT_GNU_IFUNC) {
            continue;
        }
        let number = versions.map(|versions| versions.version_index(endian, index));
        let version = number
            .and_then(|number| versions?.version(number).ok().flatten())
            .and_then(|version| std::str::from_utf8(version.name()).ok())
            .or(written.map(|version| version.trim_start_matches('@')));
        let hidden =
            number.is_some_and(|number| number.is_hidden()) || written.is_some_and(|version| !version.starts_with('@'));
        let fits = match wanted.version {
            Some(wanted) => version == Some(wanted),
            None => !hidden,
        };
        if fits && symbol.st_type() == elf::STT_GNU_IFUNC {
            seen.ifunc = true;
        } else if fits {
            return Some(symbol.st_value(endian).into());
        }
        if !fits {
            seen.versions.extend(version.map(str::to_owned));
        }
    }
    None
}

/// Where in the file the byte lies that will be at `address` in memory.
fn file_offset<'data, Elf, R>(header: &Elf, endian: Endianness, data: R, address: u64) -> Result<Function, String>
where
    Elf: FileHeader<Endian = Endianness>,
    R: ReadRef<'data>,
{
    let segments = header.program_headers(endian, data).map_err(|error| format!("its segments are broken: {error}"))?;
    for segment in segments.iter().filter(|segment| segment.p_type(endian) == elf::PT_LOAD) {
        let start: u64 = segment.p_vaddr(endian).into();
        let length: u64 = segment.p_filesz(endian).into();
        let offset: u64 = segment.p_offset(endian).into();
        if let Some(inside) = address.checked_sub(start).filter(|&inside| inside < length) {
            let file_offset = offset.checked_add(inside).ok_or("its segments are broken: an offset overflows")?;
            return Ok(Function { file_offset });
        }
    }
    Err(format!("its address {address:#x} lies in no segment of the file"))
}

impl Seen {
    fn explain(&self, wanted: &Wanted<'_>) -> String {
        if self.ifunc {
            return "it is an IFUNC, a resolver that the dynamic loader runs to choose the real function: attach to that one"
                .to_owned();
        }
        if !self.versions.is_empty() {
            let versions = self.versions.join(", ");
            return match wanted.version {
                Some(version) => format!("there is no version {version} of it, but {versions}"),
                None => format!(
                    "none of its versions is the default one: ask for one of {versions} (`{}@VERSION`)",
                    wanted.name
                ),
            };
        }
        if self.imported {
            "the file only imports it: name the library that defines it".to_owned()
        } else {
            "the file has no such function (`nm -D` lists what it has)".to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attach::library;

    fn libc() -> std::path::PathBuf {
        library::find("libc.so.6").unwrap()
    }

    #[test]
    fn getaddrinfo_is_where_the_dynamic_loader_puts_it() {
        // The address in this process, less where the file is mapped, plus that mapping's offset in the file.
        let address = libc::getaddrinfo as *const () as u64;
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let expected = maps.lines().find_map(|line| {
            let mut words = line.split_whitespace();
            let (start, end) = words.next()?.split_once('-')?;
            let (start, end) = (u64::from_str_radix(start, 16).ok()?, u64::from_str_radix(end, 16).ok()?);
            let offset = u64::from_str_radix(words.nth(1)?, 16).ok()?;
            (start..end).contains(&address).then(|| address - start + offset)
        });
        assert_eq!(Some(find(&libc(), "getaddrinfo").unwrap().file_offset), expected);
    }

    #[test]
    fn a_version_may_be_given_with_one_sign_or_two() {
        let plain = find(&libc(), "getaddrinfo").unwrap();
        let error = find(&libc(), "getaddrinfo@NOT_9").unwrap_err().to_string();
        let version = error.rsplit("but ").next().unwrap().to_owned();
        assert_eq!(find(&libc(), &format!("getaddrinfo@{version}")).unwrap(), plain);
        assert_eq!(find(&libc(), &format!("getaddrinfo@@{version}")).unwrap(), plain);
    }

    #[test]
    fn an_ifunc_an_import_and_nothing_are_told_apart() {
        let why = |symbol| find(&libc(), symbol).unwrap_err().to_string();
        assert!(why("memcpy").contains("IFUNC"), "{}", why("memcpy"));
        assert!(why("no_such_function").contains("no such function"), "{}", why("no_such_function"));
        let own = std::env::current_exe().unwrap();
        let import = find(&own, "getaddrinfo").unwrap_err().to_string();
        assert!(import.contains("imports"), "{import}");
    }

    #[test]
    fn what_is_no_elf_file_is_refused() {
        for path in ["/etc/passwd", "/dev/zero", "/"] {
            assert!(find(Path::new(path), "f").is_err(), "{path}");
        }
    }
}
