//! `cargo xtask api`: compares the public API of each library with its file `api.txt`, so that a change of the API is
//! a change of a file, and a reviewer sees a breaking one.
//!
//! rustdoc lists the items as JSON, and the crate public-api writes one line for each. The format of the JSON changes
//! with Rust's versions: another toolchain skips the comparison.

use std::{
    collections::HashSet,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use clap::Args;
use public_api::Builder;

use crate::{
    packages::{self, LIBRARIES, Library},
    tools::{self, Outcome, Result, root},
};

/// The version of rustdoc's JSON that the crate public-api reads.
const FORMAT: u64 = 57;

/// The arguments of `cargo xtask api`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Write the files `api.txt`
    #[arg(long)]
    bless: bool,
}

/// Compares the files.
///
/// # Errors
///
/// The errors of [`run`].
pub fn compare() -> Result {
    run(&Arguments { bless: false })
}

/// Compares the files, or writes them.
///
/// # Errors
///
/// If an API differs from its file, and if rustdoc fails.
pub fn run(arguments: &Arguments) -> Result {
    let mut differences = String::new();
    for library in &LIBRARIES {
        let json = document(library)?;
        if let Some(why) = other_format(&json)? {
            return Ok(Outcome::Skipped(why));
        }
        let listed = list(library, &json)?;
        let path = root().join(library.directory).join("api.txt");
        if arguments.bless {
            fs::write(&path, listed).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
            continue;
        }
        let file = fs::read_to_string(&path).unwrap_or_default();
        if let Some(difference) = differences_of(library, &file, &listed) {
            differences.push_str(&difference);
        }
    }
    if differences.is_empty() {
        return Ok(Outcome::Done);
    }
    Err(format!(
        "{differences}the public API has changed: docs/releases.md says which version it needs; then `cargo xtask api --bless`"
    ))
}

/// Lets rustdoc write the library's items, and returns the file's path.
fn document(library: &Library) -> std::result::Result<PathBuf, String> {
    let arguments = ["rustdoc", "--quiet", "--package", library.package, "--lib", "--all-features", "--"];
    // The stable toolchain refuses unstable options without this variable.
    tools::cargo(
        &[&arguments[..], &["-Z", "unstable-options", "--output-format", "json"]].concat(),
        &[("RUSTC_BOOTSTRAP", "1")],
    )?;
    let name = library.package.replace('-', "_");
    Ok(packages::target().join("doc").join(format!("{name}.json")))
}

/// Returns the reason if public-api cannot read this JSON.
fn other_format(json: &Path) -> std::result::Result<Option<String>, String> {
    let failed = |error: &dyn std::fmt::Display| format!("cannot read {}: {error}", json.display());
    let text = fs::read_to_string(json).map_err(|error| failed(&error))?;
    let value: serde_json::Value = serde_json::from_str(&text).map_err(|error| failed(&error))?;
    let format = value.get("format_version").and_then(serde_json::Value::as_u64);
    let other = format.filter(|&format| format != FORMAT);
    Ok(other.map(|format| {
        format!(
            "this toolchain's rustdoc writes JSON of format {format}; the crate public-api reads {FORMAT} (Rust 1.95)"
        )
    }))
}

/// Returns the text of `api.txt`: a line for each item.
fn list(library: &Library, json: &Path) -> std::result::Result<String, String> {
    let items = |derived: bool, auto: bool| -> std::result::Result<Vec<String>, String> {
        let builder = Builder::from_rustdoc_json(json).omit_blanket_impls(true);
        let api = builder.omit_auto_derived_impls(!derived).omit_auto_trait_impls(!auto).build();
        let api = api.map_err(|error| format!("{}: {error}", library.package))?;
        Ok(api.items().map(ToString::to_string).collect())
    };
    let written: HashSet<_> = items(false, false)?.into_iter().collect();
    let mut text = format!(
        "# The public API of {}, with all its cargo features. `cargo xtask api --bless` writes this file.\n",
        library.package
    );
    for item in items(true, true)? {
        // A derived implementation is one line, without its functions. Of the traits that the compiler implements by
        // itself, those that a caller would miss.
        let derived = DERIVED.iter().any(|name| item.starts_with(&format!("impl {name}")));
        let missing = item.starts_with("impl !core::marker::Send ") || item.starts_with("impl !core::marker::Sync ");
        if written.contains(&item) || derived || missing {
            text.push_str(&item);
            text.push('\n');
        }
    }
    Ok(text)
}

/// The traits that types of the libraries derive.
const DERIVED: [&str; 9] = [
    "core::clone::Clone ",
    "core::marker::Copy ",
    "core::fmt::Debug ",
    "core::default::Default ",
    "core::cmp::PartialEq ",
    "core::cmp::Eq ",
    "core::cmp::PartialOrd ",
    "core::cmp::Ord ",
    "core::hash::Hash ",
];

/// Returns the lines that differ, removed ones with `-` and added ones with `+`.
fn differences_of(library: &Library, file: &str, listed: &str) -> Option<String> {
    if file == listed {
        return None;
    }
    let (old, new): (HashSet<_>, HashSet<_>) = (file.lines().collect(), listed.lines().collect());
    let mut text = format!("{}/api.txt:\n", library.directory);
    for line in file.lines().filter(|line| !new.contains(line)) {
        let _ = writeln!(text, "- {line}");
    }
    for line in listed.lines().filter(|line| !old.contains(line)) {
        let _ = writeln!(text, "+ {line}");
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn difference_names_removed_and_added_lines() {
        let library = &LIBRARIES[0];
        assert_eq!(differences_of(library, "a\nb\n", "a\nb\n"), None);
        let difference = differences_of(library, "pub fn a()\npub fn b()\n", "pub fn b()\npub fn c()\n").unwrap();
        assert_eq!(difference, "sys/api.txt:\n- pub fn a()\n+ pub fn c()\n");
        // Another order alone is a difference, too: the file is not the one that would be written.
        assert!(differences_of(library, "b\na\n", "a\nb\n").is_some());
    }
}
