//! The terminal: its width, whether it shows colors, and foreign text made safe for it.

use std::{
    borrow::Cow,
    ffi::OsString,
    io::{self, IsTerminal, Write},
    os::fd::AsFd,
    sync::OnceLock,
};

use clap::{ColorChoice, ValueEnum};
use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};

use crate::{
    columns::{cut, cut_left, display_width},
    error::CliError,
    outlet,
};

/// Width in columns of running text, and of a terminal whose width is unknown.
pub(crate) const WIDTH: usize = 80;

/// Returns the width of stdout in columns: COLUMNS, or that of the terminal, or 80.
pub(crate) fn width() -> usize {
    let set = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    let asked = || io::stdout().is_terminal().then(crossterm::terminal::size)?.ok().map(|(columns, _)| columns.into());
    set.or_else(asked).filter(|&columns| columns > 0).unwrap_or(WIDTH)
}

/// Returns the width of a stream in columns, if it is a terminal.
pub(crate) fn width_of(stream: impl AsFd) -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(stream).ok()?;
    // A terminal that does not know its width has that of most.
    Some(if size.ws_col == 0 { WIDTH } else { size.ws_col.into() })
}

/// When results have colors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    /// Also in pipes and files
    Always,
    /// Never
    Never,
}

/// The choice of `--color`.
static COLOR: OnceLock<Color> = OnceLock::new();

impl Color {
    /// Returns the choice among the words of a command line, before it is parsed: for help and errors of usage. Words
    /// after `--` belong to another command.
    pub(crate) fn in_words(words: impl Iterator<Item = OsString>) -> Self {
        let mut words = words.take_while(|word| word != "--");
        let mut found = None;
        while let Some(word) = words.next() {
            match word.to_str() {
                Some("--color") => found = words.next().and_then(|value| value.into_string().ok()),
                Some(word) => found = word.strip_prefix("--color=").map(str::to_owned).or(found),
                None => {}
            }
        }
        found.and_then(|value| Self::from_str(&value, false).ok()).unwrap_or(Self::Auto)
    }

    /// Applies the choice to everything that this process prints.
    pub(crate) fn apply(self) {
        // The first choice counts; `main` makes the only one.
        let _ = COLOR.set(self);
    }
}

impl From<Color> for ColorChoice {
    fn from(color: Color) -> Self {
        match color {
            Color::Auto => Self::Auto,
            Color::Always => Self::Always,
            Color::Never => Self::Never,
        }
    }
}

/// Returns whether stdout shows colors: as `--color` says; by default if it is a terminal and NO_COLOR is not set
/// (<https://no-color.org>).
pub(crate) fn is_colored() -> bool {
    match COLOR.get() {
        Some(Color::Always) => true,
        Some(Color::Never) => false,
        Some(Color::Auto) | None => {
            io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
        }
    }
}

/// Prints results. If stdout is closed, the error says so, and `main` ignores it.
pub(crate) fn print(text: &str) -> Result<(), CliError> {
    match outlet::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(CliError::system("write to stdout", &error)),
        Err(_) => Err(CliError::broken_pipe()),
        Ok(()) => Ok(()),
    }
}

/// Escapes characters that a terminal obeys instead of showing. Names come from traced programs, which are not trusted.
pub(crate) fn clean(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_command) {
        return Cow::Borrowed(text);
    }
    let mut cleaned = String::with_capacity(text.len());
    for character in text.chars() {
        if is_command(character) {
            cleaned.extend(character.escape_default());
        } else {
            cleaned.push(character);
        }
    }
    Cow::Owned(cleaned)
}

/// Escapes like [`clean`], line feeds included.
pub(crate) fn one_line(text: &str) -> String {
    clean(text).replace('\n', "\\n")
}

/// Returns whether a terminal obeys the character: control characters (including DEL and U+0080 to U+009F), those that
/// change the direction of text, and the line and paragraph separators U+2028 and U+2029.
fn is_command(character: char) -> bool {
    character.is_control() && character != '\n'
        || matches!(
            character,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        )
}

/// Formats a value as one line of JSON, without the line feed.
///
/// Characters that a terminal would obey are written as `\uXXXX`, even if stdout is not a terminal. JSON allows this
/// for any character, and its readers return the same text. JSON requires it only for characters below U+0020.
pub(crate) fn json(value: &impl Serialize) -> Result<String, CliError> {
    let mut text = Vec::new();
    write_json(&mut text, value).map_err(|error| CliError::new(format!("cannot write JSON: {error}")))?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// Writes a value like [`json`].
pub(crate) fn write_json(to: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    Ok(value.serialize(&mut Serializer::with_formatter(to, TerminalSafe))?)
}

/// Compact JSON that no terminal obeys.
struct TerminalSafe;

impl Formatter for TerminalSafe {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, to: &mut W, fragment: &str) -> io::Result<()> {
        let mut rest = fragment;
        while let Some((at, character)) = rest.char_indices().find(|&(_, character)| is_command(character)) {
            let (before, behind) = rest.split_at(at);
            to.write_all(before.as_bytes())?;
            // All of them are in the basic plane.
            write!(to, "\\u{:04x}", u32::from(character))?;
            rest = behind.get(character.len_utf8()..).unwrap_or_default();
        }
        to.write_all(rest.as_bytes())
    }
}

/// Cuts a line to the width of the terminal, with a mark, if stdout is one.
pub(crate) fn fit(line: &str) -> Cow<'_, str> {
    if !io::stdout().is_terminal() {
        return Cow::Borrowed(line);
    }
    let width = width();
    if display_width(line) <= width {
        return Cow::Borrowed(line);
    }
    Cow::Owned(cut(line, width.saturating_sub(1)) + "…")
}

/// Returns a line of `head` and a path, which loses its beginning, with a mark, if the terminal is too narrow for it.
pub(crate) fn fit_path(head: &str, path: &str) -> String {
    let width = if io::stdout().is_terminal() { width() } else { usize::MAX };
    let left = width.saturating_sub(display_width(head));
    if display_width(path) <= left {
        return format!("{head}{path}");
    }
    format!("{head}…{}", cut_left(path, left.saturating_sub(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn color_is_found_before_parsing() {
        let found = |words: &str| Color::in_words(words.split(' ').map(OsString::from));
        assert_eq!(found("trace --color never --wide"), Color::Never);
        assert_eq!(found("--color=always doctor"), Color::Always);
        assert_eq!(found("--color=always doctor --color=never"), Color::Never);
        for words in ["run x.o -- ls --color=always", "trace --color", "trace --color=blue"] {
            assert_eq!(found(words), Color::Auto, "{words}");
        }
    }

    #[test]
    fn escape_sequences_are_shown_not_obeyed() {
        assert_eq!(clean("a\u{1b}[31mb"), "a\\u{1b}[31mb");
        assert_eq!(clean("\u{202e}moc"), "\\u{202e}moc");
        assert_eq!(clean("größe.example"), "größe.example");
        assert_eq!((clean("a\nb").as_ref(), one_line("a\nb").as_str()), ("a\nb", "a\\nb"));
        assert_eq!(clean("\u{7f}\u{80}\u{9b}31m\u{2028}"), "\\u{7f}\\u{80}\\u{9b}31m\\u{2028}");
    }

    #[test]
    fn json_is_safe_for_terminals() {
        let text = "a\u{1b}[31m\u{7f}b\u{80}\u{9b}\u{9f}\u{a0}ß\u{202e}\n\"\\";
        let value = serde_json::json!({ text: [text, "plain"] });
        let line = json(&value).unwrap();
        assert!(!line.chars().any(is_command) && !line.contains('\n'), "{line:?}");
        assert!(line.contains("\\u007fb\\u0080\\u009b\\u009f\u{a0}ß\\u202e"), "{line}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&line).unwrap(), value);
        assert_eq!(json(&serde_json::json!({ "a": [1, null, "ß"] })).unwrap(), r#"{"a":[1,null,"ß"]}"#);
    }
}
