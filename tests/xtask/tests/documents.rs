//! What the documents say, held against the code.
#![expect(clippy::panic, clippy::unwrap_used, reason = "a test may")]

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The repository's root.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(file: &str) -> String {
    fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// The body of the fenced block that follows a marker line.
fn block_after<'a>(text: &'a str, marker: &str) -> &'a str {
    let (_, rest) = text.split_once(marker).unwrap_or_else(|| panic!("the README has no {marker}"));
    let (_, body) = rest.split_once("```").and_then(|(_, rest)| rest.split_once('\n')).unwrap();
    body.split_once("```").unwrap().0
}

#[test]
fn the_readme_shows_the_example_as_it_is() {
    let example = read("loader/examples/embed.rs");
    let code = example.lines().skip_while(|line| line.starts_with("//!") || line.is_empty());
    let code: String = code.flat_map(|line| [line, "\n"]).collect();
    assert_eq!(block_after(&read("README.md"), "<!-- source: loader/examples/embed.rs -->"), code);
}

#[test]
fn every_place_that_the_architecture_names_is_there() {
    let text = read("ARCHITECTURE.md");
    let mut places = 0;
    // `path` or `path` (`item`, `item`)
    for piece in text.split('`').skip(1).step_by(2).filter(|piece| piece.ends_with(".rs")) {
        assert!(root().join(piece).is_file(), "ARCHITECTURE.md names {piece}, which is not there");
        let (_, behind) = text.split_once(&format!("`{piece}`")).unwrap();
        let items = behind.strip_prefix(" (").and_then(|behind| behind.split_once(')')).map_or("", |(items, _)| items);
        let code = read(piece);
        for item in items.split('`').skip(1).step_by(2) {
            assert!(code.contains(item), "{piece} has no `{item}`, which ARCHITECTURE.md names");
        }
        places += 1;
    }
    assert!(places > 15, "only {places} places found: has the page's form changed?");
}

#[test]
fn every_package_of_the_readme_s_table_is_there() {
    let readme = read("README.md");
    for (folder, package) in [
        ("mmap-ring", "mmap-ring"),
        ("perf-reader", "perf-reader"),
        ("programs", "cutaway-programs"),
        ("loader", "cutaway"),
        ("cli", "cutaway-cli"),
    ] {
        assert!(readme.contains(&format!("| `{folder}` | `{package}` |")), "{folder}");
        assert!(read(&format!("{folder}/Cargo.toml")).contains(&format!("name = \"{package}\"")), "{folder}");
    }
}

/// What the page on the comparison quotes is what the command said, in the run whose figures lie beside it.
#[test]
fn the_comparison_quotes_its_figures() {
    let (page, figures) = (read("docs/compare.md"), read("docs/compare/figures.jsonl"));
    let quotes: Vec<_> = page.lines().filter_map(|line| line.strip_prefix("> **")?.split_once("** ")).collect();
    assert_eq!(quotes.len(), figures.matches("{\"kind\":\"experiment\"").count(), "one quote for each experiment");
    for (_, sentence) in quotes {
        let json = sentence.replace('"', "\\\"");
        assert!(figures.contains(&format!("\"sentence\":\"{json}\"")), "nobody said: {sentence}");
    }
    for image in page.split("](compare/").skip(1).filter_map(|rest| rest.split_once(')')).map(|(file, _)| file) {
        assert!(root().join("docs/compare").join(image).is_file(), "docs/compare/{image} is not there");
    }
}

#[test]
fn every_link_of_the_documents_leads_somewhere() {
    for file in ["README.md", "ARCHITECTURE.md", "CHANGELOG.md"] {
        for link in read(file).split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(link, _)| link) {
            let there = link.starts_with("https://") || root().join(link).exists();
            assert!(there, "{file} links to {link}, which is not there");
        }
    }
}
