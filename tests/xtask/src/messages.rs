//! Lists every text that a user of the commands or of the libraries can see, to be read in one go.
//!
//! It reads the sources of [`PACKAGES`] without their tests and examples, and finds texts by exclusion. A string
//! literal is listed unless its context shows that no user sees it. So a new kind of message is listed without a change
//! here. The context of a literal gives its kind:
//!
//! | kind | context |
//! | --- | --- |
//! | `help` | docs of types that derive clap's traits, of their fields and variants; `#[arg]`, `#[command]`, … |
//! | `error` | `#[error]`; a constructor or a variant whose path contains `Error` |
//! | `log` | `error!`, `warn!`, `info!`, `debug!`, `trace!` |
//! | `print` | `print!`, `println!`, `eprint!`, `eprintln!` |
//! | `panic` | `panic!`, `unreachable!`, `assert!` and the like, `expect` |
//! | `lint` | `#[must_use]`, `#[deprecated]` |
//! | `file` | `include_str!`: the file is part of the output |
//! | `text` | any other literal with a space: formatted, returned, or in a constant or table |
//! | `word` | any other literal without a space: names of columns, fields, units and values; `#[serde]` |
//!
//! Not listed are:
//!
//! - other attributes;
//! - patterns of `match` and operands of `==` and `!=`;
//! - arguments of the functions in [`SEARCHES`] and of the macros in [`UNSEEN`];
//! - literals without a letter;
//! - items and files under `#[cfg(test)]`.
//!
//! `--prose` skips the kind `word`. Names that clap derives from fields and variants, and clap's own messages, are not
//! literals: `--help` shows them.

#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, fs, path::Path};

use clap::Args;

use crate::{
    source::{self, Kind, Token, Tokens, files, group_end, is_file_of_tests},
    tools::{Outcome, Result, root},
};

/// Directories of the packages whose texts users see.
const PACKAGES: &[&str] = &[
    "cli/src/",
    "loader/src/",
    "mmap-ring/src/",
    "perf-reader/src/",
    "programs/src/",
    "recording/src/",
    "sys/src/",
    "tests/vm/src/",
];

/// Functions that search for a text or take it as a key.
const SEARCHES: &[&str] = &[
    "contains",
    "starts_with",
    "ends_with",
    "strip_prefix",
    "strip_suffix",
    "split",
    "rsplit",
    "split_once",
    "rsplit_once",
    "splitn",
    "find",
    "rfind",
    "matches",
    "match_indices",
    "trim_matches",
    "trim_start_matches",
    "trim_end_matches",
    "get",
    "get_mut",
    "remove",
    "contains_key",
    "eq",
    "eq_ignore_ascii_case",
    "env",
    "env_remove",
    "var",
    "var_os",
];

/// Macros whose literals no user sees.
const UNSEEN: &[&str] = &["env", "option_env", "cfg", "matches", "stringify", "include_bytes"];

/// The arguments of `cargo xtask messages`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Skip single words: names of columns, fields and values
    #[arg(long)]
    prose: bool,

    /// Read only files whose path starts with PATH
    #[arg(value_name = "PATH")]
    paths: Vec<String>,
}

/// A text that a user can see.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Message {
    line: usize,
    kind: &'static str,
    text: String,
}

/// Prints the texts, sorted by file and line.
pub(crate) fn run(arguments: &Arguments) -> Result {
    let root = root();
    let mut files = files(&root)?;
    files.retain(|file| PACKAGES.iter().any(|package| file.starts_with(package)) && !is_file_of_tests(file));
    let mut sources = Vec::new();
    for file in files {
        let text = fs::read_to_string(root.join(&file)).map_err(|error| format!("cannot read {file}: {error}"))?;
        sources.push((file, text));
    }
    let tests: Vec<String> = sources.iter().flat_map(|(file, text)| modules_of_tests(file, text)).collect();
    let mut count = 0;
    for (file, text) in &sources {
        let is_test = tests.iter().any(|test| file.strip_prefix(test).is_some_and(|rest| rest.starts_with(['.', '/'])));
        let wanted = arguments.paths.is_empty() || arguments.paths.iter().any(|path| file.starts_with(path));
        if is_test || !wanted {
            continue;
        }
        for Message { line, kind, text } in messages(text) {
            if !(arguments.prose && kind == "word") {
                println!("{file}:{line}: {kind}: {text}");
                count += 1;
            }
        }
    }
    eprintln!("{count} texts");
    Ok(Outcome::Done)
}

/// Returns the paths, without `.rs`, of the modules that a file declares under `#[cfg(test)]`.
fn modules_of_tests(file: &str, text: &str) -> Vec<String> {
    let tokens = source::tokens(text);
    let path = Path::new(file);
    let is_root = ["lib.rs", "main.rs", "mod.rs"].iter().any(|name| path.ends_with(name));
    let below = if is_root { path.with_file_name("") } else { path.with_extension("") };
    let mut modules = Vec::new();
    for at in 0..tokens.len() {
        let Some(end) = test_attribute(&tokens, at) else { continue };
        let item: Vec<_> = tokens.iter().skip(end).map(|(_, token)| token).take(8).collect();
        let name = item.iter().skip_while(|token| ***token != Token::Word("mod")).nth(1);
        if let Some(Token::Word(name)) = name {
            modules.push(below.join(name).display().to_string());
        }
    }
    modules
}

/// Returns the index after an attribute `#[test]` or `#[cfg(test)]` that begins at `at`.
fn test_attribute(tokens: &Tokens<'_>, at: usize) -> Option<usize> {
    let token = |ahead: usize| tokens.get(at + ahead).map(|(_, token)| token);
    if token(0) != Some(&Token::Sign('#')) || token(1) != Some(&Token::Sign('[')) {
        return None;
    }
    let is_test = match token(2) {
        Some(Token::Word("test")) => token(3) == Some(&Token::Sign(']')),
        Some(Token::Word("cfg")) => token(4) == Some(&Token::Word("test")) && token(5) == Some(&Token::Sign(')')),
        _ => false,
    };
    is_test.then(|| group_end(tokens, at + 1))
}

/// Returns the index after the item that begins at `at`: after its semicolon or its braces.
fn item_end(tokens: &Tokens<'_>, mut at: usize) -> usize {
    while let Some((_, token)) = tokens.get(at) {
        match token {
            Token::Sign(';') => return at + 1,
            Token::Sign('{') => return group_end(tokens, at),
            Token::Sign('(' | '[') => at = group_end(tokens, at),
            _ => at += 1,
        }
    }
    at
}

/// An open bracket, by the tokens before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Frame<'a> {
    Attribute(&'a str),
    Macro(&'a str),
    /// A call, or the fields of a variant; whether `Error` is in its path.
    Call(&'a str, bool),
    /// The body of a type that derives clap's traits.
    Clap,
    Other,
}

/// Lists the texts of a file.
fn messages(source: &str) -> Vec<Message> {
    let tokens = source::tokens(source);
    let mut found = BTreeSet::new();
    let mut frames: Vec<Frame<'_>> = Vec::new();
    // The docs of the item that begins, and whether it derives clap's traits.
    let (mut docs, mut is_clap) = (None, false);
    let mut at = 0;
    while let Some((line, token)) = tokens.get(at) {
        if let Some(end) = test_attribute(&tokens, at) {
            at = item_end(&tokens, end);
            continue;
        }
        match token {
            Token::Comment(Kind::Outer, text) => {
                if is_clap || frames.contains(&Frame::Clap) {
                    found.insert(help(*line, &text.text));
                } else {
                    docs = Some((*line, &text.text));
                }
            }
            Token::Comment(..) => {}
            Token::Sign('(' | '[' | '{') => {
                let frame = frame(&tokens, at);
                if frame == Frame::Attribute("derive") && derives_clap(&tokens, at) {
                    is_clap = true;
                    found.extend(docs.map(|(line, text)| help(line, text)));
                }
                let body = is_clap && *token == Token::Sign('{');
                frames.push(if body { Frame::Clap } else { frame });
                is_clap &= !body;
            }
            Token::Sign(')' | ']' | '}') => {
                frames.pop();
                if *token == Token::Sign('}') {
                    docs = None;
                }
            }
            Token::Sign(';') => (docs, is_clap) = (None, false),
            Token::String(text) => {
                if let Some(kind) = kind(&tokens, at, &frames, &text.text) {
                    found.insert(Message { line: *line, kind, text: one_line(&text.text) });
                }
            }
            _ => {}
        }
        at += 1;
    }
    found.into_iter().collect()
}

fn help(line: usize, docs: &str) -> Message {
    // clap joins the lines of a paragraph.
    let paragraphs: Vec<_> = docs.split("\n\n").map(|paragraph| paragraph.replace('\n', " ")).collect();
    Message { line, kind: "help", text: one_line(&paragraphs.join("\n")) }
}

fn one_line(text: &str) -> String {
    text.trim_end_matches('\n').replace('\n', " ⏎ ")
}

/// Returns the frame of the bracket at `open`.
fn frame<'a>(tokens: &Tokens<'a>, open: usize) -> Frame<'a> {
    let token = |back: usize| open.checked_sub(back).and_then(|at| tokens.get(at)).map(|(_, token)| token);
    let is_sign = |back: usize, sign: char| token(back) == Some(&Token::Sign(sign));
    if tokens.get(open).is_some_and(|(_, token)| *token == Token::Sign('['))
        && (is_sign(1, '#') || (is_sign(1, '!') && is_sign(2, '#')))
    {
        return match tokens.get(open + 1) {
            Some((_, Token::Word(name))) => Frame::Attribute(name),
            _ => Frame::Attribute(""),
        };
    }
    match (token(1), token(2)) {
        (Some(Token::Sign('!')), Some(Token::Word(name))) => Frame::Macro(name),
        (Some(Token::Word(name)), _) => {
            // `Error::Invalid {`, `Error::bug(`, `io::Error::other(`
            let mut path = vec![*name];
            let mut back = 2;
            while is_sign(back, ':') && is_sign(back + 1, ':') {
                if let Some(Token::Word(before)) = token(back + 2) {
                    path.push(before);
                }
                back += 3;
            }
            Frame::Call(name, path.iter().any(|name| name.contains("Error")))
        }
        _ => Frame::Other,
    }
}

/// Returns whether the attribute at `open` derives one of clap's traits.
fn derives_clap(tokens: &Tokens<'_>, open: usize) -> bool {
    let attribute = tokens.get(open..group_end(tokens, open)).unwrap_or_default();
    let clap = [Token::Word("Parser"), Token::Word("Args"), Token::Word("Subcommand"), Token::Word("ValueEnum")];
    attribute.iter().any(|(_, token)| clap.contains(token))
}

/// Returns the kind of the literal at `at`, or `None` if no user sees it.
fn kind(tokens: &Tokens<'_>, at: usize, frames: &[Frame<'_>], text: &str) -> Option<&'static str> {
    if frames.last() == Some(&Frame::Macro("include_str")) {
        return Some("file");
    }
    let sign = |at: Option<usize>, sign: char| {
        at.and_then(|at| tokens.get(at)).is_some_and(|(_, token)| *token == Token::Sign(sign))
    };
    // A pattern: `"a" | "b" =>`, `("a", _) =>`. An operand: `== "a"`, `"a" !=`.
    let pattern = (sign(Some(at + 1), '=') && sign(Some(at + 2), '>')) || sign(Some(at + 1), '|');
    let compared = (sign(at.checked_sub(1), '=') && ['=', '!'].iter().any(|first| sign(at.checked_sub(2), *first)))
        || (['=', '!'].iter().any(|first| sign(Some(at + 1), *first)) && sign(Some(at + 2), '='));
    if pattern || compared || !has_letter(text) {
        return None;
    }
    let attribute = frames.iter().find_map(|frame| if let Frame::Attribute(name) = frame { Some(*name) } else { None });
    match attribute {
        Some("error") => return Some("error"),
        Some("arg" | "command" | "clap" | "value" | "group") => return Some("help"),
        Some("must_use" | "deprecated") => return Some("lint"),
        Some("serde") => return Some("word"),
        Some(_) => return None,
        None => {}
    }
    for frame in frames.iter().rev() {
        match frame {
            Frame::Macro(name) if UNSEEN.contains(name) => return None,
            Frame::Macro("error" | "warn" | "info" | "debug" | "trace") => return Some("log"),
            Frame::Macro("print" | "println" | "eprint" | "eprintln") => return Some("print"),
            Frame::Macro(name) if name.contains("assert") => return Some("panic"),
            Frame::Macro("panic" | "unreachable" | "todo" | "unimplemented") => return Some("panic"),
            Frame::Call("expect" | "expect_err", _) => return Some("panic"),
            // A search: what surrounds it says nothing of the literal.
            Frame::Call(name, _) if SEARCHES.contains(name) => return None,
            Frame::Call(_, true) => return Some("error"),
            _ => {}
        }
    }
    Some(if text.trim().contains(' ') { "text" } else { "word" })
}

/// Returns whether a text has a letter outside of its placeholders.
fn has_letter(text: &str) -> bool {
    let mut depth = 0_usize;
    text.chars().any(|letter| {
        match letter {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0 && letter.is_alphabetic()
    })
}
