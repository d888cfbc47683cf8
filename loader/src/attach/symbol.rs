//! Finds the file offset of a function by the function's name.
//!
//! A name can have several definitions, one for each version that old programs were linked with; without a version the
//! default one is used. Two source files can each have a static function of the same name. Then the name is ambiguous
//! and an address must be given, unless exactly one of the functions is global. Two kinds of symbol look like functions
//! and are not. An *import* is defined in another file. An *IFUNC* is a resolver that the dynamic loader runs once to
//! choose among several functions.

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
    /// File offset of the function's first instruction, in bytes.
    pub(crate) file_offset: u64,
    /// Size in bytes; 0 if unknown.
    pub(crate) size: u64,
}

/// The maximum number of addresses in an error.
const LISTED: usize = 30;

/// Finds `symbol` (`name`, `name@VERSION`, `name@@VERSION` or `name@ADDRESS`).
pub(super) fn find(image: &Image<'_>, symbol: &str) -> Result<Function, String> {
    let wanted = Wanted::read(symbol);
    let mut seen = Seen::default();
    let full = seen.collect(&image.tables, &wanted)?;
    if seen.found.is_empty() && !full && !seen.has_reason() {
        let elsewhere = Elsewhere::search(image);
        for (location, tables) in &elsewhere.found {
            // Skip broken debug files.
            if seen.collect(tables, &wanted).is_ok() && !seen.found.is_empty() {
                info!("`{symbol}` is in {location}, not in the file itself, which is stripped");
                break;
            }
        }
        if seen.found.is_empty() && !seen.has_reason() {
            return Err(elsewhere.explain());
        }
    }
    seen.choose(image, &wanted)
}

/// Returns all functions whose names match `pattern`, by file offset. A function with several names appears once.
pub(super) fn matching(image: &Image<'_>, pattern: &str) -> Result<BTreeMap<u64, String>, String> {
    let search = |tables: &Tables<'_>| {
        let mut found = BTreeMap::new();
        let full = tables.symbols(&mut |symbol| {
            let is_function = symbol.kind == elf::STT_FUNC && !symbol.undefined;
            if is_function
                && pattern::matches(pattern.as_bytes(), symbol.name)
                && let Ok(offset) = image.head.code(symbol.address)
            {
                found.entry(offset).or_insert_with(|| String::from_utf8_lossy(symbol.name).into_owned());
            }
        });
        full.map(|full| (found, full))
    };
    let (found, full) = search(&image.tables)?;
    if !found.is_empty() {
        return Ok(found);
    }
    if full {
        return Err("the file has no function that fits".to_owned());
    }
    let elsewhere = Elsewhere::search(image);
    let found = elsewhere.found.iter().find_map(|(location, tables)| {
        let (found, _) = search(tables).ok().filter(|(found, _)| !found.is_empty())?;
        info!("functions that fit `{pattern}` are in {location}, not in the file itself, which is stripped");
        Some(found)
    });
    found.ok_or_else(|| format!("the file has no function that fits; {}", elsewhere.explain()))
}

/// The requested symbol.
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

/// Parses `0x` and hexadecimal digits.
pub(super) fn address(text: &str) -> Option<u64> {
    let digits = text.strip_prefix("0x")?;
    // `from_str_radix` would accept a sign.
    digits.bytes().all(|digit| digit.is_ascii_hexdigit()).then(|| u64::from_str_radix(digits, 16).ok())?
}

/// The definitions of the requested name.
#[derive(Default)]
struct Seen {
    /// The candidates, by address.
    found: BTreeMap<u64, Found>,
    // The other fields are for the error.
    imported: bool,
    variable: bool,
    versions: Vec<String>,
    /// The source file of the following symbols (`STT_FILE`).
    source: String,
}

/// A definition, or several at one address.
#[derive(Debug, Default, Clone)]
struct Found {
    size: u64,
    ifunc: bool,
    global: bool,
    dynamic: bool,
    /// The source file that has it as a static function, if known.
    source: String,
}

impl Seen {
    /// Collects the definitions in a file, and returns whether it has a full symbol table.
    fn collect(&mut self, tables: &Tables<'_>, wanted: &Wanted<'_>) -> Result<bool, String> {
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
            // An address chooses among all versions.
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

    /// Returns the requested function.
    fn choose(&self, image: &Image<'_>, wanted: &Wanted<'_>) -> Result<Function, String> {
        // Linker scripts define symbols in data, too.
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

    /// Returns true if the file has the name, but not as a function with the requested version.
    fn has_reason(&self) -> bool {
        self.imported || self.variable || !self.versions.is_empty()
    }

    /// Returns why no function was found.
    fn explain(&self, wanted: &Wanted<'_>) -> String {
        if !self.versions.is_empty() {
            let mut versions = self.versions.clone();
            // In the order of their addresses; the file's two tables repeat them.
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
            "the file has no such function (`nm` lists its symbols)".to_owned()
        }
    }
}

const IFUNC: &str =
    "it is an IFUNC, a resolver that the dynamic loader runs to choose the real function: attach to that one";

#[cfg(test)]
mod tests;
