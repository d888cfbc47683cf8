use std::{ffi::OsStr, path::Path};

use super::*;
use crate::attach::{
    crafted::{CODE, Crafted, DATA, FILE, FUNC, GLOBAL, IFUNC, LOCAL, NOTYPE, OBJECT, SHIFT, WEAK},
    image::{Binary, tests::TempFile},
    library,
};

fn libc() -> Binary {
    Binary::open(library::find(OsStr::new("libc.so.6")).unwrap(), None).unwrap()
}

fn find_in(binary: &Binary, symbol: &str) -> Result<Function, String> {
    find(&binary.image()?, symbol)
}

#[test]
fn getaddrinfo_is_found_at_its_loaded_address() {
    // The address in this process, minus the start of the mapping, plus the mapping's offset in the file.
    let address = libc::getaddrinfo as *const () as u64;
    let maps = std::fs::read("/proc/self/maps").unwrap();
    let mut mappings = crate::attach::maps::mappings(&maps);
    let mapping = mappings.find(|mapping| (mapping.start..mapping.end).contains(&address)).unwrap();
    let found = find_in(&libc(), "getaddrinfo").unwrap();
    assert_eq!(found.file_offset, address - mapping.start + mapping.offset);
    assert_ne!(found.size, 0);
}

#[test]
fn version_takes_one_or_two_at_signs() {
    let libc = libc();
    let plain = find_in(&libc, "getaddrinfo").unwrap();
    let error = find_in(&libc, "getaddrinfo@NOT_9").unwrap_err();
    let version = error.rsplit("but ").next().unwrap().to_owned();
    assert_eq!(find_in(&libc, &format!("getaddrinfo@{version}")).unwrap(), plain);
    assert_eq!(find_in(&libc, &format!("getaddrinfo@@{version}")).unwrap(), plain);
}

#[test]
fn ifunc_import_and_missing_function_are_distinguished() {
    let why = |symbol| find_in(&libc(), symbol).unwrap_err();
    assert!(why("memcpy").contains("IFUNC"), "{}", why("memcpy"));
    assert!(why("no_such_function").contains("no such function"), "{}", why("no_such_function"));
    assert!(why("environ").contains("a variable"), "{}", why("environ"));
    let own = Binary::open(std::env::current_exe().unwrap(), None).unwrap();
    let import = find_in(&own, "getaddrinfo").unwrap_err();
    assert!(import.contains("imports"), "{import}");
}

#[test]
fn file_that_is_not_elf_is_refused() {
    for path in ["/etc/passwd", "/dev/zero", "/"] {
        let found = Binary::open(Path::new(path).to_owned(), None).map(|binary| binary.image().is_ok());
        assert!(!found.unwrap_or(false), "{path}");
    }
}

/// Looks up `symbol` in a file with these symbols; functions can be at `CODE`, `CODE + 0x10` and `CODE + 0x20`.
fn ask(symbols: &[(&str, u8, u8, u64, u64)], symbol: &str) -> Result<u64, String> {
    let kept = TempFile::new(&Crafted { symbols: symbols.to_vec(), ..Crafted::default() });
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
fn the_only_global_function_is_chosen() {
    for binding in [GLOBAL, WEAK] {
        let symbols = [("f", LOCAL, FUNC, CODE, 2), ("f", binding, FUNC, SECOND, 2), ("f", LOCAL, FUNC, THIRD, 2)];
        assert_eq!(ask(&symbols, "f"), Ok(SECOND));
    }
    // The only exported one of several global functions: the linker has hidden the others.
    let f = |address| ("f", GLOBAL, FUNC, address, 2);
    let crafted = Crafted { symbols: vec![f(CODE), f(SECOND)], dynamic: vec![f(SECOND)], ..Crafted::default() };
    let kept = TempFile::new(&crafted);
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
    // The exported names are in both symbol tables.
    let crafted = Crafted { symbols: versions.to_vec(), dynamic: versions.to_vec(), ..Crafted::default() };
    let line = find_in(&TempFile::new(&crafted).binary(), "f@V3").unwrap_err();
    assert_eq!(line, "there is no version V3 of it, but V1, V2");
    let go = [("type:.eq.T", LOCAL, FUNC, CODE, 2), ("main.(*T).M", LOCAL, FUNC, SECOND, 2)];
    assert_eq!(ask(&go, "type:.eq.T"), Ok(CODE));
    assert_eq!(ask(&go, "main.(*T).M"), Ok(SECOND));
}

#[test]
fn symbol_that_is_not_code_is_refused() {
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
    let kept = TempFile::new(&Crafted { symbols, ..Crafted::default() });
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
