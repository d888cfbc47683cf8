//! Compares statements of the documents with the code. `book.rs` compares listings and outputs.
#![expect(clippy::panic, clippy::unwrap_used, reason = "a test may")]

use std::{collections::HashSet, fs, path::Path};

use xtask::tools::root;

fn read(file: &str) -> String {
    fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

#[test]
fn files_and_items_of_the_architecture_exist() {
    let text = read("ARCHITECTURE.md");
    let mut files = 0;
    // `path` or `path` (`item`, `item`)
    let mut rest = text.as_str();
    while let Some((piece, behind)) = rest.split_once('`').and_then(|(_, behind)| behind.split_once('`')) {
        rest = behind;
        if !piece.ends_with(".rs") {
            continue;
        }
        assert!(root().join(piece).is_file(), "ARCHITECTURE.md names {piece}, which does not exist");
        let items = behind.strip_prefix(" (").and_then(|behind| behind.split_once(')')).map_or("", |(items, _)| items);
        let code = read(piece);
        for item in items.split('`').skip(1).step_by(2) {
            assert!(code.contains(item), "{piece} has no `{item}`, which ARCHITECTURE.md names");
        }
        files += 1;
    }
    assert!(files > 15, "only {files} files found: has the page's form changed?");
}

/// `ARCHITECTURE.md` has the same stages as `cargo xtask structure`, row by row.
#[test]
fn stages_of_the_architecture_are_the_checked_ones() {
    let code = read("tests/xtask/src/structure.rs");
    let (_, stages) = code.split_once("const STAGES: ").unwrap();
    let (stages, _) = stages.split_once("\n];").unwrap();
    let rows = stages.lines().filter(|line| line.trim_start().starts_with("&[\""));
    let checked: Vec<Vec<_>> = rows
        .map(|row| row.split('"').skip(1).step_by(2).map(|name| format!("loader/src/{name}.rs")).collect())
        .collect();
    let page = read("ARCHITECTURE.md");
    let (_, table) = page.split_once("### The loader's stages").unwrap();
    let (table, _) = table.split_once("\n## ").unwrap();
    let first = table.lines().filter_map(|row| row.strip_prefix("| `")?.split(" | ").next());
    let listed: Vec<Vec<_>> =
        first.map(|cell| cell.split('`').filter(|name| name.ends_with(".rs")).map(str::to_owned).collect()).collect();
    assert!(checked.len() > 5, "only {} rows found: has the form of STAGES changed?", checked.len());
    assert_eq!(listed, checked);
}

/// Each name in the column "is" of the changelog's table of renamings is in the code of its crate.
#[test]
fn new_names_of_the_changelog_exist() {
    let page = read("CHANGELOG.md");
    let (_, table) = page.split_once("### Renamed").unwrap();
    let (table, _) = table.split_once("\n## ").unwrap_or((table, ""));
    let mut names = 0;
    for row in table.lines() {
        let ["", krate, was, is, ""] = row.split('|').map(str::trim).collect::<Vec<_>>()[..] else { continue };
        let directories = match krate {
            "cutaway" => &["loader/src", "sys/src"] as &[_],
            "mmap-ring" => &["mmap-ring/src"],
            "perf-reader" => &["perf-reader/src"],
            "cutaway-programs" => &["programs/src"],
            "both readers" => &["mmap-ring/src", "perf-reader/src"],
            "crate" | "---" => continue,
            other => panic!("CHANGELOG.md: a row of the unknown crate {other}"),
        };
        let code = directories.iter().map(|directory| code(&root().join(directory))).collect::<String>();
        let words: HashSet<_> = code.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
        for name in is.split('`').skip(1).step_by(2).flat_map(|name| name.split("::")) {
            assert!(words.contains(name), "CHANGELOG.md: the new name of {was} is `{name}`, which is not in {krate}");
            names += 1;
        }
    }
    assert!(names > 50, "only {names} names found: has the table's form changed?");
}

/// Returns the code of all files below a directory.
fn code(directory: &Path) -> String {
    let entries = fs::read_dir(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    entries
        .map(|entry| entry.unwrap().path())
        .map(|path| if path.is_dir() { code(&path) } else { fs::read_to_string(&path).unwrap() })
        .collect()
}

#[test]
fn packages_of_the_readme_exist() {
    let readme = read("README.md");
    for (directory, package) in [
        ("sys", "cutaway-sys"),
        ("mmap-ring", "mmap-ring"),
        ("perf-reader", "perf-reader"),
        ("programs", "cutaway-programs"),
        ("recording", "cutaway-recording"),
        ("loader", "cutaway"),
        ("cli", "cutaway-cli"),
    ] {
        assert!(readme.contains(&format!("| `{directory}` | `{package}` |")), "{directory}");
        assert!(read(&format!("{directory}/Cargo.toml")).contains(&format!("name = \"{package}\"")), "{directory}");
    }
}

/// The book's tests check that the page quotes the command; this test checks that no experiment is missing.
#[test]
fn comparison_quotes_each_experiment() {
    let (page, figures) = (read("docs/compare.md"), read("docs/compare/figures.jsonl"));
    let quotes = page.matches("<!-- quote: ").count();
    assert_eq!(quotes, figures.matches("{\"kind\":\"experiment\"").count(), "one quote for each experiment");
}

/// The front pages of the crates name chapters, because rustdoc cannot link to them.
#[test]
fn chapters_named_by_front_pages_exist() {
    for krate in ["mmap-ring", "perf-reader", "loader", "programs"] {
        let text = read(&format!("{krate}/src/lib.rs"));
        let chapters: Vec<_> = text.split('`').filter(|word| word.starts_with("docs/")).collect();
        assert!(!chapters.is_empty(), "{krate} names no chapter of the book");
        for chapter in chapters {
            assert!(root().join(chapter).is_file(), "{krate} names {chapter}, which does not exist");
        }
    }
}

/// Each published package, by its directory.
const PACKAGES: [&str; 6] = ["sys", "mmap-ring", "perf-reader", "programs", "loader", "cli"];

#[test]
fn packages_have_the_licenses_of_the_repository() {
    for package in PACKAGES {
        for license in ["LICENSE-MIT", "LICENSE-APACHE"] {
            assert_eq!(read(&format!("{package}/{license}")), read(license), "{package}/{license}");
        }
    }
}

/// The rules of crates.io, which refuses a package after the first ones are published.
#[test]
fn packages_have_the_metadata_of_a_registry() {
    let list = |manifest: &str, key: &str| -> Vec<String> {
        let line = manifest.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = ["));
        line.unwrap_or_default().split('"').skip(1).step_by(2).map(str::to_owned).collect()
    };
    for package in PACKAGES {
        let manifest = read(&format!("{package}/Cargo.toml"));
        for field in
            ["description = ", "license.workspace = ", "rust-version.workspace = ", "documentation = ", "readme = "]
        {
            assert!(manifest.lines().any(|line| line.starts_with(field)), "{package}/Cargo.toml has no `{field}`");
        }
        let keywords = list(&manifest, "keywords");
        assert!((1..=5).contains(&keywords.len()), "{package}: {keywords:?}");
        for keyword in &keywords {
            assert!(keyword.len() <= 20 && keyword.chars().all(|c| c.is_ascii_alphanumeric() || "-_+".contains(c)));
        }
        for category in list(&manifest, "categories") {
            assert!(CATEGORIES.contains(&category.as_str()), "{package}: {category}");
        }
        let name = manifest.lines().find_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"')).unwrap();
        assert!(read(&format!("{package}/README.md")).starts_with(&format!("# {name}\n")), "{package}/README.md");
    }
}

/// The categories of crates.io that fit.
const CATEGORIES: [&str; 5] =
    ["command-line-utilities", "compilers", "development-tools", "development-tools::debugging", "os::linux-apis"];

/// The README names one oldest Rust version for users, the packages' own.
#[test]
fn documents_name_the_oldest_rust_version() {
    let manifest = read("Cargo.toml");
    let version = manifest.lines().find_map(|line| line.strip_prefix("rust-version = \"")?.strip_suffix('"')).unwrap();
    let library_pages = PACKAGES.iter().map(|package| format!("{package}/README.md"));
    for page in library_pages.chain(["README.md", "docs/README.md", "docs/releases.md"].map(str::to_owned)) {
        assert!(read(&page).contains(&format!("Rust {version}")), "{page} does not name Rust {version}");
    }
}

/// Each cargo feature that the loader's docs, errors and pages name exists, and the tables have all features.
#[test]
fn named_cargo_features_exist() {
    let manifest = read("loader/Cargo.toml");
    let (_, table) = manifest.split_once("[features]").unwrap();
    let features: HashSet<_> = table.lines().filter_map(|line| Some(line.split_once(" = [")?.0)).collect();
    let code = code(&root().join("loader/src"));
    let mut named = 0;
    for (_, rest) in code.match_indices("feature `").map(|(at, found)| code.split_at(at + found.len())) {
        let name = rest.split('`').next().unwrap();
        // A message with the name of the feature that is missing.
        if name == "{feature}" {
            continue;
        }
        assert!(features.contains(name), "the loader has no feature `{name}`");
        named += 1;
    }
    assert!(named > 30, "only {named} names found: has the form of the docs changed?");
    for (page, text) in [("loader/src/lib.rs", read("loader/src/lib.rs")), ("chapter 9", read("docs/9-embedding.md"))] {
        for feature in features.iter().filter(|name| **name != "default") {
            assert!(text.contains(&format!("`{feature}`")), "{page} does not describe the feature `{feature}`");
        }
    }
}

/// The tables of commands in the README, and in that of the command's package, have all commands but helpers.
#[test]
fn readmes_list_all_commands() {
    let code = read("cli/src/main.rs");
    let (_, commands) = code.split_once("enum Command {").unwrap();
    let (commands, _) = commands.split_once("\n}").unwrap();
    let names: Vec<_> = commands
        .lines()
        .filter_map(|line| line.strip_prefix("    ")?.strip_suffix("),"))
        .filter_map(|line| Some(line.split_once('(')?.0.to_lowercase()))
        .collect();
    assert!(names.len() > 6, "only {names:?} found: has the form of `Command` changed?");
    for page in ["README.md", "cli/README.md"] {
        let text = read(page);
        for name in names.iter().filter(|name| !["complete", "completions", "man"].contains(&name.as_str())) {
            assert!(text.contains(&format!("| `cutaway {name}` |")), "{page} has no row for `cutaway {name}`");
        }
    }
}
