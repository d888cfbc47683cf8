//! Checks what can be checked of `docs/style.md`.
//!
//! ```text
//!     style/prose.rs     words of comments, string literals and pages, without the code among them
//!     style/words.rs     the forbidden words, each with the rule for what is right where it is
//!     style/docs.rs      doc comments of functions begin with a verb
//!     style/help.rs      the help of every command fits 80 columns
//!     style/baseline.rs  counts of accepted findings; they may only fall
//! ```
//!
//! Words are looked for in comments, string literals and names of tests of all Rust files, and in the pages. A string
//! without a space is prose if it has only letters; others are names. Code in backticks and fenced blocks is not prose
//! either: what a page quotes is checked where it comes from.

mod baseline;
mod docs;
mod help;
mod prose;
#[cfg(test)]
mod tests;
mod words;

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::Args;

use self::{baseline::Baseline, prose::Form};
use crate::{
    source::{self, Token},
    tools::{Outcome, Result, root},
};

/// The arguments of `cargo xtask style`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Write the lower counts to tests/xtask/style-baseline.txt
    #[arg(long)]
    update: bool,

    /// Print the count of each rule, and no findings
    #[arg(long)]
    counts: bool,

    /// Print all findings, the accepted ones too
    #[arg(long)]
    all: bool,

    /// Read another checkout, without its help
    #[arg(long, value_name = "DIR")]
    tree: Option<PathBuf>,

    /// Read only files whose path starts with PATH
    #[arg(value_name = "PATH")]
    paths: Vec<String>,
}

/// The rule of comments' width.
const WIDTH: &str = "comment width";
/// The rule of doc comments.
const VERB: &str = "doc verb";
/// The rule of help texts.
const HELP: &str = "help width";

/// Columns of a comment: rustfmt's `max_width`.
const COLUMNS: usize = 120;

/// Files that contain faults on purpose: the list of words, and planted faults.
const PLANTED: [&str; 2] = ["tests/xtask/src/style/words.rs", "tests/xtask/src/style/tests.rs"];

/// A broken rule.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Finding {
    rule: &'static str,
    /// Path from the root of the repository, or a command and its option.
    file: String,
    line: usize,
    text: String,
}

/// Returns the name of each rule.
fn rule_names() -> impl Iterator<Item = &'static str> {
    words::rules().map(|rule| rule.name).chain([WIDTH, VERB, HELP])
}

/// Checks the whole tree, as `cargo xtask ci` does.
pub(crate) fn check() -> Result {
    run(&Arguments { update: false, counts: false, all: false, tree: None, paths: Vec::new() })
}

/// Runs the check and prints each finding that the baseline does not accept.
pub(crate) fn run(arguments: &Arguments) -> Result {
    let tree = arguments.tree.clone().unwrap_or_else(root);
    let mut findings = read_tree(&tree)?;
    if arguments.tree.is_none() {
        findings.extend(help::check()?);
    }
    if !arguments.paths.is_empty() {
        findings.retain(|finding| arguments.paths.iter().any(|path| finding.file.starts_with(path)));
    }
    let found = Baseline::of(&findings);
    if arguments.counts {
        found.totals().for_each(|(rule, count)| println!("{count:>6}  {rule}"));
        return Ok(Outcome::Done);
    }
    if arguments.all || !arguments.paths.is_empty() {
        print(&findings, |_| true);
        return Ok(Outcome::Done);
    }
    let accepted = Baseline::read()?;
    if arguments.update {
        let higher = found.higher_totals(&accepted);
        if higher.is_empty() {
            found.write()?;
            return Ok(Outcome::Done);
        }
        print(&findings, |finding| found.against(&accepted).0.iter().any(|change| change.is_of(finding)));
        return Err(format!("the baseline may only fall: {}", higher.join("; ")));
    }
    let (higher, lower) = found.against(&accepted);
    print(&findings, |finding| higher.iter().any(|change| change.is_of(finding)));
    for change in higher.iter().filter(|change| change.accepted > 0) {
        println!("{}: {} of \"{}\", accepted are {}", change.file, change.found, change.rule, change.accepted);
    }
    match (higher.is_empty(), lower.is_empty()) {
        (true, true) => Ok(Outcome::Done),
        (false, _) => Err("docs/style.md has the words to use".to_owned()),
        (true, false) => {
            for change in &lower {
                println!("{}: {} of \"{}\", accepted are {}", change.file, change.found, change.rule, change.accepted);
            }
            Err("fewer findings than accepted: `cargo xtask style --update` lowers the baseline".to_owned())
        }
    }
}

impl baseline::Change {
    fn is_of(&self, finding: &Finding) -> bool {
        self.rule == finding.rule && self.file == finding.file
    }
}

/// Prints the findings of which `shown` is true, with the standard word at a word's first finding.
fn print(findings: &[Finding], shown: impl Fn(&Finding) -> bool) {
    for finding in findings.iter().filter(|finding| shown(finding)) {
        println!("{}:{}: {}: {}", finding.file, finding.line, finding.rule, finding.text);
    }
    let rules = words::rules();
    for rule in rules.filter(|rule| findings.iter().any(|finding| finding.rule == rule.name && shown(finding))) {
        println!("  instead of \"{}\": {}", rule.name, rule.instead);
    }
}

/// Finds the faults of all Rust files and pages below a directory, sorted by file and line.
fn read_tree(tree: &Path) -> std::result::Result<Vec<Finding>, String> {
    let mut findings = Vec::new();
    for file in source::files(tree)?.into_iter().filter(|file| !PLANTED.contains(&file.as_str())) {
        let text = fs::read_to_string(tree.join(&file)).map_err(|error| format!("cannot read {file}: {error}"))?;
        if file.ends_with(".md") {
            findings.extend(page_faults(&file, &text));
        } else {
            findings.extend(source_faults(&file, &text));
        }
    }
    Ok(findings)
}

/// Finds the forbidden words of a page.
fn page_faults(file: &str, text: &str) -> Vec<Finding> {
    let found = words::find(text, Form::Markdown).into_iter().map(|found| {
        let before = text.get(..found.offset).unwrap_or_default();
        let line = before.matches('\n').count();
        let shown = text.lines().nth(line).unwrap_or_default().trim().to_owned();
        Finding { rule: found.rule, file: file.to_owned(), line: line + 1, text: shown }
    });
    found.collect()
}

/// Returns whether a string literal is prose: it has a space, or it is a word that a table or a help text may show.
fn is_prose(text: &str) -> bool {
    let word = text.len() > 2 && text.chars().all(char::is_alphabetic);
    text.trim().contains(' ') || (word && text != "nobody")
}

/// Finds the faults of a Rust file.
fn source_faults(file: &str, text: &str) -> Vec<Finding> {
    let tokens = source::tokens(text);
    let mut findings = Vec::new();
    let mut push = |rule, line, text: &str| {
        findings.push(Finding { rule, file: file.to_owned(), line, text: text.to_owned() });
    };
    for (_, token) in &tokens {
        let (text, form) = match token {
            Token::Comment(_, text) => (text, Form::Markdown),
            Token::String(text) if is_prose(&text.text) => (text, Form::Format),
            _ => continue,
        };
        for found in words::find(&text.text, form) {
            push(found.rule, text.line_at(found.offset), text.around(found.offset));
        }
    }
    for function in docs::functions(&tokens, source::is_file_of_tests(file)) {
        if let Some(docs) = function.docs.filter(|docs| !function.is_test && !docs::begins_with_verb(&docs.text)) {
            push(VERB, docs.line_at(0), &format!("`{}`: {}", function.name, docs.around(0)));
        }
        // A name of that many words is a sentence.
        let sentence = function.name.replace('_', " ");
        if function.name.matches('_').count() >= 3 {
            for found in words::find(&sentence, Form::Format) {
                push(found.rule, function.line, function.name);
            }
        }
    }
    for (number, line) in text.lines().enumerate().filter(|(_, line)| line.len() > COLUMNS) {
        let comment = tokens.iter().any(|(_, token)| match token {
            Token::Comment(_, text) => text.has_line(number + 1),
            _ => false,
        });
        // A link and a row of a table cannot be broken.
        let is_row = line.trim_start().trim_start_matches(['/', '!']).trim_start().starts_with("| ");
        if comment && line.chars().count() > COLUMNS && !line.contains("://") && !is_row {
            push(WIDTH, number + 1, line.trim());
        }
    }
    findings.sort_by_key(|finding| finding.line);
    findings
}
