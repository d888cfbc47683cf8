//! The lines from the host to a shell in a guest. Bytes are hexadecimal digits: a line end ends a line.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

/// The size of a terminal, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// Lines.
    pub rows: u16,
    /// Characters of a line.
    pub columns: u16,
}

/// The shell of a guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shell {
    /// The program's path in the guest, and its arguments.
    pub program: Vec<String>,
    /// Its working directory.
    pub directory: String,
    /// The size of the terminal; `None` if the commands come from a pipe or a file.
    pub window: Option<Window>,
}

/// A line from the host: input for a shell, or a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Typed {
    /// Input.
    Bytes(Vec<u8>),
    /// The end of the input.
    End,
    /// Another size of the terminal.
    Window(Window),
    /// After a test, if the guest waits: open a shell, or go on.
    Open(bool),
}

impl Typed {
    /// Returns the line that carries this.
    pub(crate) fn line(&self) -> Vec<u8> {
        let mut line = String::new();
        match self {
            Self::Bytes(bytes) => {
                line.push_str("typed ");
                for byte in bytes {
                    // Writing to a string does not fail.
                    let _ = write!(line, "{byte:02x}");
                }
            }
            Self::End => line.push_str("end"),
            Self::Open(true) => line.push_str("shell"),
            Self::Open(false) => line.push_str("go"),
            Self::Window(Window { rows, columns }) => {
                let _ = write!(line, "window {rows} {columns}");
            }
        }
        line.push('\n');
        line.into_bytes()
    }
}

/// Parses a line without its end. `None` for any other line.
pub(crate) fn parse(line: &[u8]) -> Option<Typed> {
    let line = str::from_utf8(line).ok()?;
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    match word {
        "typed" => {
            let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
            let pairs = rest.as_bytes().chunks(2).map(|pair| match pair {
                [high, low] => Some((digit(high)? << 4) | digit(low)?),
                _ => None,
            });
            pairs.collect::<Option<Vec<u8>>>().map(Typed::Bytes)
        }
        "end" => Some(Typed::End),
        "shell" => Some(Typed::Open(true)),
        "go" => Some(Typed::Open(false)),
        "window" => {
            let (rows, columns) = rest.split_once(' ')?;
            Some(Typed::Window(Window { rows: rows.parse().ok()?, columns: columns.parse().ok()? }))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_back() {
        let window = Typed::Window(Window { rows: 24, columns: 80 });
        for typed in [
            Typed::Bytes((0..=255).collect()),
            Typed::Bytes(Vec::new()),
            Typed::End,
            Typed::Open(true),
            Typed::Open(false),
            window,
        ] {
            let line = typed.line();
            let (end, text) = line.split_last().unwrap();
            assert_eq!(*end, b'\n');
            assert!(!text.contains(&b'\n'));
            assert_eq!(parse(text), Some(typed));
        }
        for noise in [&b"typed 0"[..], b"typed 0g", b"window 1", b"window x 2", b"", b"\xff", b"ping"] {
            assert_eq!(parse(noise), None, "{noise:?}");
        }
    }
}
