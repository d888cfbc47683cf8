//! The terminal: how wide it is, whether it shows colours, and text from elsewhere made fit for it.

use std::{
    borrow::Cow,
    io::{self, IsTerminal, Write},
};

use crate::failure::Failure;

/// Columns where nobody says.
const WIDTH: usize = 80;

/// How many columns stdout has: 80 if it is no terminal and COLUMNS does not say otherwise.
pub(crate) fn width() -> usize {
    let told = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    let asked = || io::stdout().is_terminal().then(crossterm::terminal::size)?.ok().map(|(columns, _)| columns.into());
    told.or_else(asked).filter(|&columns| columns > 0).unwrap_or(WIDTH)
}

/// Whether stdout shows colours: it is a terminal, and nobody minds (<https://no-color.org>).
pub(crate) fn is_coloured() -> bool {
    io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

/// Prints results. If nobody reads them any more, the failure says so, and `main` makes nothing of it.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    match io::stdout().lock().write_all(text.as_bytes()).and_then(|()| io::stdout().flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::system("write to stdout", &error)),
        Err(_) => Err(Failure::unheard()),
        Ok(()) => Ok(()),
    }
}

/// Replaces what a terminal would obey instead of show. Names come from traced programs, which may have been written by
/// anybody.
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

/// The same on one line, wherever it would break.
pub(crate) fn one_line(text: &str) -> String {
    clean(text).replace('\n', "\\n")
}

/// Control characters, and those that turn the direction of what follows.
fn is_command(character: char) -> bool {
    character.is_control() && character != '\n'
        || matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A line that a terminal shows on one line: cut to its width with a mark, if stdout is one.
pub(crate) fn fit(line: &str) -> Cow<'_, str> {
    if !io::stdout().is_terminal() {
        return Cow::Borrowed(line);
    }
    let width = width();
    if line.chars().count() <= width {
        return Cow::Borrowed(line);
    }
    Cow::Owned(cut(line, width.saturating_sub(1)) + "…")
}

/// The first columns of a line, which may hold colours: those take none.
pub(crate) fn cut(line: &str, columns: usize) -> String {
    let mut cut = String::with_capacity(line.len());
    let (mut used, mut in_colour) = (0, false);
    for character in line.chars() {
        if character == '\x1b' {
            in_colour = true;
        }
        if in_colour {
            cut.push(character);
            in_colour = character != 'm';
        } else if used < columns {
            cut.push(character);
            used += 1;
        }
    }
    cut
}

#[cfg(test)]
mod tests {
    use super::{clean, cut, one_line};

    #[test]
    fn escape_sequences_are_shown_not_obeyed() {
        assert_eq!(clean("a\u{1b}[31mb"), "a\\u{1b}[31mb");
        assert_eq!(clean("\u{202e}moc"), "\\u{202e}moc");
        assert_eq!(clean("größe.example"), "größe.example");
        assert_eq!((clean("a\nb").as_ref(), one_line("a\nb").as_str()), ("a\nb", "a\\nb"));
    }

    #[test]
    fn colours_take_no_columns() {
        assert_eq!(cut("\x1b[1mabc\x1b[0mdef", 4), "\x1b[1mabc\x1b[0md");
        assert_eq!(cut("größe", 3), "grö");
    }
}
