//! From a function's name to the byte of the file where its code starts.
//!
//! A name can stand for several definitions, one for each version that old programs were linked with; the default one is
//! meant unless a version is given. Two files of source can each have a static function of one name: then there is no answer
//! but an address, unless one of them is global. Two kinds of symbol look like functions and are not: an *import* is defined in
//! some other file, and an *IFUNC* is a resolver that the dynamic loader runs once to choose among several functions.

use std::collections::{BTreeMap, BTreeSet};

use log::{info, warn};
use object::elf;

use super::{
    image::Image,
    pattern,
    stripped::Elsewhere,
    tables::{Symbol, Tables},
};

/// A function found in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Function {
    /// Bytes from the start of the file to the function's first instruction.
    pub(crate) file_offset: u64,
    /// Its length in bytes; 0 if that is not known.
    pub(crate) size: u64,
}

/// How many addresses an error lists.
const LISTED: usize = 30;

/// Finds `symbol` (`name`, `name@VERSION`, `name@@VERSION` or `name@ADDRESS`).
pub(super) fn find(image: &Image<'_>, symbol: &str) -> Result<Function, String> {
    let wanted = Wanted::read(symbol);
    let mut seen = Seen::default();
    let full = seen.look(&image.tables, &wanted)?;
    if seen.found.is_empty() && !full && !seen.knows_why() {
        let elsewhere = Elsewhere::look(image);
        for (place, tables) in &elsewhere.found {
            // A debug file that is broken is as good as none.
            if seen.look(tables, &wanted).is_ok() && !seen.found.is_empty() {
                info!("`{symbol}` is in {place}, not in the file itself, which is stripped");
                break;
            }
        }
        if seen.found.is_empty() && !seen.knows_why() {
            return Err(elsewhere.explain());
        }
    }
    seen.choose(image, &wanted)
}

/// All functions whose names fit `pattern`, by where they are; one that has several names is there once.
pub(super) fn matching(image: &Image<'_>, pattern: &str) -> Result<BTreeMap<u64, String>, String> {
    let look = |tables: &Tables<'_>| {
        let mut found = BTreeMap::new();
        let full = tables.symbols(&mut |symbol| {
            let is_function = symbol.kind == elf::STT_FUNC && !symbol.undefined;
            if is_function
                && pattern::fits(pattern.as_bytes(), symbol.name)
                && let Ok(offset) = image.head.code(symbol.address)
            {
                found.entry(offset).or_insert_with(|| String::from_utf8_lossy(symbol.name).into_owned());
            }
        });
        full.map(|full| (found, full))
    };
    let (found, full) = look(&image.tables)?;
    if !found.is_empty() {
        return Ok(found);
    }
    if full {
        return Err("the file has no function that fits".to_owned());
    }
    let elsewhere = Elsewhere::look(image);
    let found = elsewhere.found.iter().find_map(|(place, tables)| {
        let (found, _) = look(tables).ok().filter(|(found, _)| !found.is_empty())?;
        info!("functions that fit `{pattern}` are in {place}, not in the file itself, which is stripped");
        Some(found)
    });
    found.ok_or_else(|| format!("the file has no function that fits; {}", elsewhere.explain()))
}

/// What was asked for.
struct Wanted<'a> {
    name: &'a str,
    version: Option<&'a str>,
    address: Option<u64>,
}

impl<'a> Wanted<'a> {
    fn read(symbol: &'a str) -> Self {
        let (name, version) = match symbol.split_once('@') {
            Some((name, version)) if !name.is_empty() => (name, Some(version.trim_start_matches('@'))),
            _ => (symbol, None),
        };
        match version.and_then(address) {
            Some(address) => Self { name, version: None, address: Some(address) },
            None => Self { name, version, address: None },
        }
    }
}

/// `0x` and hexadecimal digits.
pub(super) fn address(text: &str) -> Option<u64> {
    let digits = text.strip_prefix("0x")?;
    // A parser would take a sign.
    digits.bytes().all(|digit| digit.is_ascii_hexdigit()).then(|| u64::from_str_radix(digits, 16).ok())?
}

/// What was found under the right name.
#[derive(Default)]
struct Seen {
    /// By address: what it takes for an answer.
    found: BTreeMap<u64, Found>,
    // The rest is kept for the error.
    imported: bool,
    variable: bool,
    versions: Vec<String>,
    /// The file of source whose symbols are being shown (`STT_FILE`).
    source: String,
}

/// A definition, or several at one address.
#[derive(Debug, Default, Clone)]
struct Found {
    size: u64,
    ifunc: bool,
    global: bool,
    dynamic: bool,
    /// The file of source that has it for itself, if that is known.
    source: String,
}

impl Seen {
    /// Collects the definitions of a file, and says whether it has a full table of symbols.
    fn look(&mut self, tables: &Tables<'_>, wanted: &Wanted<'_>) -> Result<bool, String> {
        tables.symbols(&mut |symbol| {
            if symbol.kind == elf::STT_FILE {
                self.source = String::from_utf8_lossy(symbol.name).into_owned();
            } else if symbol.name == wanted.name.as_bytes() {
                self.take(symbol, wanted);
            }
        })
    }

    fn take(&mut self, symbol: &Symbol<'_>, wanted: &Wanted<'_>) {
        if symbol.undefined {
            self.imported = true;
            return;
        }
        match symbol.kind {
            elf::STT_FUNC | elf::STT_NOTYPE | elf::STT_GNU_IFUNC if !symbol.absolute => {}
            elf::STT_OBJECT | elf::STT_COMMON | elf::STT_TLS => {
                self.variable = true;
                return;
            }
            _ => return,
        }
        let version = symbol.version.map(|version| String::from_utf8_lossy(version).into_owned());
        let fits = match wanted.version {
            Some(wanted) => version.as_deref() == Some(wanted),
            // An address chooses among all of them.
            None => !symbol.hidden || wanted.address == Some(symbol.address),
        };
        if !fits {
            self.versions.extend(version);
            return;
        }
        let found = self.found.entry(symbol.address).or_default();
        found.size = found.size.max(symbol.size);
        found.ifunc |= symbol.kind == elf::STT_GNU_IFUNC;
        found.global |= !symbol.local;
        found.dynamic |= symbol.dynamic;
        if symbol.local && !self.source.is_empty() {
            found.source.clone_from(&self.source);
        }
    }

    /// The one that is meant.
    fn choose(&self, image: &Image<'_>, wanted: &Wanted<'_>) -> Result<Function, String> {
        // A linker's script puts names into data, too.
        let code = self.found.iter().filter(|(address, _)| image.head.code(**address).is_ok());
        let code: Vec<_> = code.map(|(address, found)| (*address, found)).collect();
        let Some((first, _)) = self.found.iter().next() else { return Err(self.explain(wanted)) };
        if code.is_empty() {
            return image.head.code(*first).map(|file_offset| Function { file_offset, size: 0 });
        }
        let list = |which: &[(u64, &Found)]| {
            let listed = which.iter().take(LISTED).map(|(address, found)| match found.source.as_str() {
                "" => format!("{address:#x}"),
                source => format!("{address:#x} ({source})"),
            });
            let listed = listed.collect::<Vec<_>>().join(", ");
            let more = which.len().saturating_sub(LISTED);
            if more > 0 { format!("{listed} and {more} more") } else { listed }
        };
        let only = |which: &dyn Fn(&Found) -> bool| {
            let mut which = code.iter().filter(|(_, found)| which(found));
            which.next().filter(|_| which.next().is_none())
        };
        let name = wanted.name;
        let &(address, found) = match (wanted.address, code.as_slice()) {
            (Some(chosen), _) => code
                .iter()
                .find(|(address, _)| *address == chosen)
                .ok_or_else(|| format!("no function of that name starts at {chosen:#x}: it is at {}", list(&code)))?,
            (None, [only]) => only,
            (None, _) => {
                let global = only(&|found| found.global).or_else(|| only(&|found| found.dynamic));
                let chosen = global.ok_or_else(|| {
                    format!(
                        "the name is ambiguous, several functions have it: at {}; choose one by `{name}@ADDRESS`",
                        list(&code)
                    )
                })?;
                warn!(
                    "{} has several functions `{name}`, at {}: taking the global one, {:#x}; `{name}@ADDRESS` chooses \
                     another",
                    image.binary.path.display(),
                    list(&code),
                    chosen.0
                );
                chosen
            }
        };
        if found.ifunc {
            return Err(IFUNC.to_owned());
        }
        Ok(Function { file_offset: image.head.code(address)?, size: found.size })
    }

    /// Whether the name is there, for something else than a function of this file.
    fn knows_why(&self) -> bool {
        self.imported || self.variable || !self.versions.is_empty()
    }

    /// Why there is none.
    fn explain(&self, wanted: &Wanted<'_>) -> String {
        if !self.versions.is_empty() {
            let mut versions = self.versions.clone();
            // In the order of their addresses, and once for each of the file's tables.
            let mut told = BTreeSet::new();
            versions.retain(|version| told.insert(version.clone()));
            let versions = versions.join(", ");
            return match wanted.version {
                Some(version) => format!("there is no version {version} of it, but {versions}"),
                None => format!(
                    "none of its versions is the default one: ask for one of {versions} (`{}@VERSION`)",
                    wanted.name
                ),
            };
        }
        if self.variable {
            "it is a variable, not a function".to_owned()
        } else if self.imported {
            "the file only imports it: name the library that defines it".to_owned()
        } else {
            "the file has no such function (`nm` lists what it has)".to_owned()
        }
    }
}

const IFUNC: &str =
    "it is an IFUNC, a resolver that the dynamic loader runs to choose the real function: attach to that one";

#[cfg(test)]
mod tests {
    use std::{ffi::OsStr, path::Path};

    use super::*;
    use crate::attach::{
        crafted::{CODE, Crafted, DATA, FILE, FUNC, GLOBAL, IFUNC, LOCAL, NOTYPE, OBJECT, SHIFT, WEAK},
        image::{Binary, tests::Kept},
        library,
    };

    fn libc() -> Binary {
        Binary::open(library::find(OsStr::new("libc.so.6")).unwrap(), None).unwrap()
    }

    fn find_in(binary: &Binary, symbol: &str) -> Result<Function, String> {
        find(&binary.image()?, symbol)
    }

    #[test]
    fn getaddrinfo_is_where_the_dynamic_loader_puts_it() {
        // The address in this process, less where the file is mapped, plus that mapping's offset in the file.
        let address = libc::getaddrinfo as *const () as u64;
        let maps = std::fs::read("/proc/self/maps").unwrap();
        let mut mappings = crate::attach::maps::mappings(&maps);
        let mapping = mappings.find(|mapping| (mapping.start..mapping.end).contains(&address)).unwrap();
        let found = find_in(&libc(), "getaddrinfo").unwrap();
        assert_eq!(found.file_offset, address - mapping.start + mapping.offset);
        assert_ne!(found.size, 0);
    }

    #[test]
    fn a_version_may_be_given_with_one_sign_or_two() {
        let libc = libc();
        let plain = find_in(&libc, "getaddrinfo").unwrap();
        let error = find_in(&libc, "getaddrinfo@NOT_9").unwrap_err();
        let version = error.rsplit("but ").next().unwrap().to_owned();
        assert_eq!(find_in(&libc, &format!("getaddrinfo@{version}")).unwrap(), plain);
        assert_eq!(find_in(&libc, &format!("getaddrinfo@@{version}")).unwrap(), plain);
    }

    #[test]
    fn an_ifunc_an_import_and_nothing_are_told_apart() {
        let why = |symbol| find_in(&libc(), symbol).unwrap_err();
        assert!(why("memcpy").contains("IFUNC"), "{}", why("memcpy"));
        assert!(why("no_such_function").contains("no such function"), "{}", why("no_such_function"));
        assert!(why("environ").contains("a variable"), "{}", why("environ"));
        let own = Binary::open(std::env::current_exe().unwrap(), None).unwrap();
        let import = find_in(&own, "getaddrinfo").unwrap_err();
        assert!(import.contains("imports"), "{import}");
    }

    #[test]
    fn what_is_no_elf_file_is_refused() {
        for path in ["/etc/passwd", "/dev/zero", "/"] {
            let found = Binary::open(Path::new(path).to_owned(), None).map(|binary| binary.image().is_ok());
            assert!(!found.unwrap_or(false), "{path}");
        }
    }

    /// Three functions at `CODE`, `CODE + 0x10` and `CODE + 0x20`, and what is asked of them.
    fn ask(symbols: &[(&str, u8, u8, u64, u64)], symbol: &str) -> Result<u64, String> {
        let kept = Kept::new(&Crafted { symbols: symbols.to_vec(), ..Crafted::default() });
        find_in(&kept.binary(), symbol).map(|function| function.file_offset + SHIFT)
    }

    const SECOND: u64 = CODE + 0x10;
    const THIRD: u64 = CODE + 0x20;

    #[test]
    fn several_functions_of_one_name_are_refused_with_their_addresses() {
        let twice = [
            ("f", LOCAL, FUNC, CODE, 2),
            ("b.c", LOCAL, FILE, 0, 0),
            ("f", LOCAL, FUNC, SECOND, 2),
            ("g", GLOBAL, FUNC, THIRD, 2),
        ];
        let line = ask(&twice, "f").unwrap_err();
        assert!(
            line.contains("ambiguous") && line.contains("0x11000, 0x11010 (b.c);") && line.contains("f@ADDRESS"),
            "{line}"
        );
        assert_eq!(ask(&twice, "f@0x11010"), Ok(SECOND));
        assert_eq!(ask(&twice, "f@0x11000"), Ok(CODE));
        let line = ask(&twice, "f@0x11020").unwrap_err();
        assert!(line.contains("starts at 0x11020: it is at 0x11000, 0x11010"), "{line}");
        let both = [("f", GLOBAL, FUNC, CODE, 2), ("f", WEAK, FUNC, SECOND, 2)];
        assert!(ask(&both, "f").unwrap_err().contains("ambiguous"));
    }

    #[test]
    fn the_single_global_one_of_several_is_taken() {
        for binding in [GLOBAL, WEAK] {
            let symbols = [("f", LOCAL, FUNC, CODE, 2), ("f", binding, FUNC, SECOND, 2), ("f", LOCAL, FUNC, THIRD, 2)];
            assert_eq!(ask(&symbols, "f"), Ok(SECOND));
        }
        // An exported one of several global ones: the linker has hidden the others.
        let f = |address| ("f", GLOBAL, FUNC, address, 2);
        let crafted = Crafted { symbols: vec![f(CODE), f(SECOND)], dynamic: vec![f(SECOND)], ..Crafted::default() };
        let kept = Kept::new(&crafted);
        assert_eq!(find_in(&kept.binary(), "f").unwrap().file_offset, SECOND - SHIFT);
    }

    #[test]
    fn names_of_one_function_are_not_ambiguous() {
        let aliases = [("f", LOCAL, FUNC, CODE, 0), ("f", GLOBAL, NOTYPE, CODE, 0), ("f", 1, FUNC, 0, 0)];
        assert_eq!(ask(&aliases, "f"), Ok(CODE));
        let versions = [("f@V1", GLOBAL, FUNC, CODE, 2), ("f@@V2", GLOBAL, FUNC, SECOND, 2)];
        assert_eq!(ask(&versions, "f"), Ok(SECOND));
        assert_eq!(ask(&versions, "f@V1"), Ok(CODE));
        assert_eq!(ask(&versions, "f@0x11000"), Ok(CODE));
        // A file has its exported names in both tables.
        let crafted = Crafted { symbols: versions.to_vec(), dynamic: versions.to_vec(), ..Crafted::default() };
        let line = find_in(&Kept::new(&crafted).binary(), "f@V3").unwrap_err();
        assert_eq!(line, "there is no version V3 of it, but V1, V2");
        let go = [("type:.eq.T", LOCAL, FUNC, CODE, 2), ("main.(*T).M", LOCAL, FUNC, SECOND, 2)];
        assert_eq!(ask(&go, "type:.eq.T"), Ok(CODE));
        assert_eq!(ask(&go, "main.(*T).M"), Ok(SECOND));
    }

    #[test]
    fn what_is_no_code_is_refused() {
        let symbols = [
            ("__data_start", GLOBAL, NOTYPE, DATA, 0),
            ("variable", GLOBAL, OBJECT, DATA + 8, 4),
            ("__bss_start", GLOBAL, NOTYPE, DATA + 0x1800, 0),
            ("end", GLOBAL, NOTYPE, DATA + 0x9000, 0),
            ("chosen", GLOBAL, IFUNC, CODE, 2),
        ];
        for (symbol, part) in [
            ("__data_start", "no executable segment"),
            ("variable", "a variable"),
            ("__bss_start", "no executable segment"),
            ("end", "no segment of the file"),
            ("chosen", "IFUNC"),
        ] {
            let line = ask(&symbols, symbol).unwrap_err();
            assert!(line.contains(part), "{symbol}: {line}");
        }
    }

    #[test]
    fn a_pattern_fits_functions_only() {
        let symbols = vec![
            ("f1", LOCAL, FUNC, CODE, 2),
            ("f2", GLOBAL, FUNC, SECOND, 2),
            ("f2x", LOCAL, FUNC, SECOND, 2),
            ("f3", 1, NOTYPE, DATA, 0),
        ];
        let kept = Kept::new(&Crafted { symbols, ..Crafted::default() });
        let binary = kept.binary();
        let image = binary.image().unwrap();
        let found = matching(&image, "f*").unwrap();
        assert_eq!(found.into_keys().collect::<Vec<_>>(), [CODE - SHIFT, SECOND - SHIFT]);
        assert!(matching(&image, "x*").unwrap_err().contains("no function that fits"));
    }

    #[test]
    fn addresses_are_hexadecimal_numbers() {
        assert_eq!(address("0x12aB"), Some(0x12ab));
        for text in ["12", "0x", "0x+1", "0xg", "x", "0x11111111111111111"] {
            assert_eq!(address(text), None, "{text}");
        }
    }
}
