//! The files of the repository, and the tokens of a Rust file: with its comments, and with lines.
//!
//! `syn` and `proc-macro2` drop comments and give no lines on a stable toolchain. This lexer knows nested block
//! comments, raw strings, byte and C strings, lifetimes and character literals. It assumes a file that compiles.

use std::{fs, path::Path};

/// A text and the line of each of its parts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Text {
    pub(crate) text: String,
    /// Byte offset in `text` and line number, counted from 1, in ascending order.
    starts: Vec<(usize, usize)>,
}

impl Text {
    pub(crate) fn new(line: usize, text: &str) -> Self {
        Self { text: text.to_owned(), starts: vec![(0, line)] }
    }

    /// Appends text of another line, after `separator`.
    pub(crate) fn push(&mut self, separator: &str, line: usize, text: &str) {
        if !self.starts.is_empty() {
            self.text.push_str(separator);
        }
        self.starts.push((self.text.len(), line));
        self.text.push_str(text);
    }

    /// Returns the line of a byte offset.
    pub(crate) fn line_at(&self, offset: usize) -> usize {
        let behind = self.starts.partition_point(|(start, _)| *start <= offset);
        behind.checked_sub(1).and_then(|at| self.starts.get(at)).map_or(1, |(_, line)| *line)
    }

    /// Returns whether a part of it is on a line.
    pub(crate) fn has_line(&self, line: usize) -> bool {
        self.starts.iter().any(|(_, number)| *number == line)
    }

    /// Returns the text of the line that contains a byte offset, trimmed.
    pub(crate) fn around(&self, offset: usize) -> &str {
        let before = self.text.get(..offset).and_then(|before| before.rfind('\n')).map_or(0, |at| at + 1);
        self.text.get(before..).and_then(|rest| rest.lines().next()).unwrap_or_default().trim()
    }
}

/// The kind of a comment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `//` or `/* */`
    Plain,
    /// `///`
    Outer,
    /// `//!`
    Inner,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Token<'a> {
    /// One comment; line comments of one kind on successive lines are one comment.
    Comment(Kind, Text),
    /// A string literal, its escapes resolved.
    String(Text),
    /// A name, keyword, number, lifetime or character literal.
    Word(&'a str),
    Sign(char),
}

/// A file's tokens, each with its line.
pub(crate) type Tokens<'a> = Vec<(usize, Token<'a>)>;

struct Lexer<'a> {
    source: &'a str,
    at: usize,
    line: usize,
    tokens: Tokens<'a>,
    /// Line of the last line comment that had a line of its own.
    comment: usize,
    /// Line of the last token that is no comment.
    code: usize,
}

/// Returns the tokens of a file.
pub(crate) fn tokens(source: &str) -> Tokens<'_> {
    let mut lexer = Lexer { source, at: 0, line: 1, tokens: Vec::new(), comment: 0, code: 0 };
    while let Some(next) = lexer.rest().chars().next() {
        lexer.token(next);
    }
    lexer.tokens
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        self.source.get(self.at..).unwrap_or_default()
    }

    /// Takes so many bytes and counts their lines.
    fn take(&mut self, bytes: usize) -> &'a str {
        let taken = self.rest().get(..bytes).unwrap_or_else(|| self.rest());
        self.at += taken.len().max(1);
        self.line += taken.matches('\n').count();
        taken
    }

    fn push(&mut self, line: usize, token: Token<'a>) {
        self.code = self.line;
        self.tokens.push((line, token));
    }

    fn token(&mut self, next: char) {
        let (rest, line) = (self.rest(), self.line);
        if next.is_whitespace() {
            self.take(next.len_utf8());
        } else if rest.starts_with("//") {
            let text = self.take(rest.find('\n').unwrap_or(rest.len()));
            self.line_comment(line, text);
        } else if rest.starts_with("/*") {
            let text = self.take(block_comment(rest));
            let mut comment = Text::default();
            for (number, text) in text.trim_start_matches("/*").trim_end_matches("*/").lines().enumerate() {
                comment.push("\n", line + number, text.trim().trim_start_matches("* "));
            }
            self.tokens.push((line, Token::Comment(Kind::Plain, comment)));
        } else if let Some((prefix, hashes)) = string_start(rest) {
            self.string(line, prefix, hashes);
        } else if next == '\'' {
            let text = self.take(quoted(rest));
            self.push(line, Token::Word(text));
        } else if next.is_alphanumeric() || next == '_' {
            let length = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            let text = self.take(length);
            self.push(line, Token::Word(text));
        } else {
            self.take(next.len_utf8());
            self.push(line, Token::Sign(next));
        }
    }

    fn line_comment(&mut self, line: usize, text: &'a str) {
        let (kind, text) = if text.starts_with("////") {
            (Kind::Plain, text.trim_start_matches('/'))
        } else if let Some(text) = text.strip_prefix("///") {
            (Kind::Outer, text)
        } else if let Some(text) = text.strip_prefix("//!") {
            (Kind::Inner, text)
        } else {
            (Kind::Plain, text.trim_start_matches('/'))
        };
        let text = text.strip_prefix(' ').unwrap_or(text).trim_end();
        let alone = self.code != line;
        if alone
            && self.comment + 1 == line
            && let Some((_, Token::Comment(before, comment))) = self.tokens.last_mut()
            && *before == kind
        {
            comment.push("\n", line, text);
        } else {
            self.tokens.push((line, Token::Comment(kind, Text::new(line, text))));
        }
        self.comment = if alone { line } else { 0 };
    }

    /// Takes a string literal whose opening quote follows `prefix` bytes; `hashes` is `None` if it has escapes.
    fn string(&mut self, line: usize, prefix: usize, hashes: Option<usize>) {
        self.take(prefix + 1);
        let rest = self.rest();
        let (content, length) = match hashes {
            Some(hashes) => {
                let end = format!("\"{}", "#".repeat(hashes));
                let length = rest.find(&end).unwrap_or(rest.len());
                (rest.get(..length).unwrap_or_default(), length + end.len())
            }
            None => {
                let length = closing_quote(rest);
                (rest.get(..length).unwrap_or_default(), length + 1)
            }
        };
        let mut text = Text::new(line, "");
        match hashes {
            Some(_) => {
                for (number, part) in content.split('\n').enumerate() {
                    text.push(if number == 0 { "" } else { "\n" }, line + number, part);
                }
            }
            None => unescape(content, line, &mut text),
        }
        self.take(length);
        self.push(line, Token::String(text));
    }
}

/// Returns the length of a block comment.
fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        if rest.starts_with("/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if rest.starts_with("*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                return at;
            }
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

/// Returns the bytes in front of a string literal's opening quote, and the number of hashes of a raw one.
fn string_start(text: &str) -> Option<(usize, Option<usize>)> {
    let bare = text.trim_start_matches(['b', 'c', 'r', '#']);
    let prefix = text.get(..text.len() - bare.len())?;
    if !bare.starts_with('"') {
        return None;
    }
    let (letters, hashes) = prefix.split_once('#').map_or((prefix, 0), |(letters, more)| (letters, more.len() + 1));
    match letters {
        "" | "b" | "c" if hashes == 0 => Some((prefix.len(), None)),
        "r" | "br" | "cr" => Some((prefix.len(), Some(hashes))),
        _ => None,
    }
}

/// Returns the length of a character literal or a lifetime.
fn quoted(text: &str) -> usize {
    let mut letters = text.char_indices().skip(1);
    match letters.next() {
        Some((_, '\\')) => {
            letters.next();
            letters.find(|(_, letter)| *letter == '\'').map_or(text.len(), |(at, _)| at + 1)
        }
        Some(_) => match letters.next() {
            Some((at, '\'')) => at + 1,
            _ => {
                let name = text.get(1..).unwrap_or_default();
                1 + name.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(name.len())
            }
        },
        None => 1,
    }
}

/// Returns the offset of the quote that ends a string with escapes.
fn closing_quote(text: &str) -> usize {
    let mut escaped = false;
    for (at, letter) in text.char_indices() {
        match letter {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at,
            _ => {}
        }
    }
    text.len()
}

/// Resolves the escapes that occur in prose; others stay as they are.
fn unescape(content: &str, first_line: usize, text: &mut Text) {
    let mut line = first_line;
    let mut letters = content.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\n' => {
                line += 1;
                text.push("\n", line, "");
            }
            '\\' => match letters.next() {
                Some('n') => text.text.push('\n'),
                Some('t') => text.text.push('\t'),
                Some('\n') => {
                    line += 1;
                    while let Some(space) = letters.next_if(|letter| letter.is_whitespace()) {
                        line += usize::from(space == '\n');
                    }
                    text.push("", line, "");
                }
                Some(quote @ ('"' | '\'' | '\\')) => text.text.push(quote),
                Some(other) => text.text.extend(['\\', other]),
                None => {}
            },
            other => text.text.push(other),
        }
    }
}

/// Returns the Rust files and the pages below a directory, by their paths from it, without what cargo has built.
pub(crate) fn files(tree: &Path) -> std::result::Result<Vec<String>, String> {
    fn list(directory: &Path, before: &str, files: &mut Vec<String>) -> std::io::Result<()> {
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = format!("{before}{name}");
            if entry.file_type()?.is_dir() {
                if name != "target" && name != "corpus" && !name.starts_with('.') {
                    list(&entry.path(), &format!("{path}/"), files)?;
                }
            } else if name.ends_with(".rs") || name.ends_with(".md") {
                files.push(path);
            }
        }
        Ok(())
    }
    let mut files = Vec::new();
    list(tree, "", &mut files).map_err(|error| format!("cannot list {}: {error}", tree.display()))?;
    files.sort_unstable();
    Ok(files)
}

/// Returns whether a file holds tests alone.
pub(crate) fn is_file_of_tests(file: &str) -> bool {
    let tests = |part: &str| part == "tests" || part == "tests.rs";
    let (package, inside) = ["tests/xtask/", "tests/vm/", "tests/peers/", "tests/embedding/"]
        .into_iter()
        .find_map(|package| Some((package, file.strip_prefix(package)?)))
        .unwrap_or(("", file));
    inside.split('/').any(tests) || (package.is_empty() && file.starts_with("tests/live"))
}

/// Returns the index after the bracket that closes the one at `open`.
pub(crate) fn group_end(tokens: &Tokens<'_>, open: usize) -> usize {
    let mut depth = 0_usize;
    for (at, (_, token)) in tokens.iter().enumerate().skip(open) {
        match token {
            Token::Sign('(' | '[' | '{') => depth += 1,
            Token::Sign(')' | ']' | '}') => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return at + 1;
                }
            }
            _ => {}
        }
    }
    tokens.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn comments(source: &str) -> Vec<(usize, Kind, String)> {
        let tokens = tokens(source).into_iter();
        tokens
            .filter_map(|(line, token)| match token {
                Token::Comment(kind, text) => Some((line, kind, text.text)),
                _ => None,
            })
            .collect()
    }

    fn strings(source: &str) -> Vec<String> {
        let tokens = tokens(source).into_iter();
        tokens.filter_map(|(_, token)| if let Token::String(text) = token { Some(text.text) } else { None }).collect()
    }

    #[test]
    fn successive_line_comments_of_one_kind_are_joined() {
        let source = "//! a\n//!\n//! b\n\n/// c\n// d\nx(); // e\n// f\n";
        assert_eq!(
            comments(source),
            [
                (1, Kind::Inner, "a\n\nb".to_owned()),
                (5, Kind::Outer, "c".to_owned()),
                (6, Kind::Plain, "d".to_owned()),
                (7, Kind::Plain, "e".to_owned()),
                (8, Kind::Plain, "f".to_owned()),
            ]
        );
    }

    #[test]
    fn string_forms_are_read() {
        let source = r####"f("a \"b\" // no", 'x', '"', '\'', b"c", r#"d "e""#, "g \
            h", br"i\", &'static str, '\u{1F}', "j")"####;
        assert_eq!(strings(source), ["a \"b\" // no", "c", "d \"e\"", "g h", "i\\", "j"]);
        assert!(comments(source).is_empty());
    }

    #[test]
    fn lines_are_counted_within_strings_and_comments() {
        let source = "let a = \"one\\\n   two\nthree\";\n/* four\n /* five */ six */ let b = \"seven\";";
        let tokens = tokens(source);
        let Some((1, Token::String(text))) = tokens.iter().find(|(_, token)| matches!(token, Token::String(_))) else {
            panic!("{tokens:?}");
        };
        assert_eq!(text.text, "onetwo\nthree");
        let line = |word: &str| text.line_at(text.text.find(word).unwrap());
        assert_eq!([line("one"), line("two"), line("three")], [1, 2, 3]);
        assert_eq!(tokens.iter().find(|(_, token)| *token == Token::Word("b")).unwrap().0, 5);
    }
}
