//! Keys, as a terminal in raw mode sends them.
//!
//! A key is a byte, or a sequence that begins with ESC. A read from a closed terminal returns 0 bytes or fails with
//! EIO, which ends the screen like the key `q`.

use std::{
    io::{self, IsTerminal, Stdin},
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::{Errno, read},
};

/// A key that has an effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key {
    /// `q`, Esc, Ctrl-C, or a closed terminal.
    Quit,
    Pause,
    OneSnapshot,
    Picture,
    Bytes,
    Faster,
    Slower,
    Up,
    Down,
    PageUp,
    PageDown,
    Home,
    Next,
    Previous,
    /// Scrolls the contents of records to the left or right.
    Left,
    Right,
    ByFill,
    ByRate,
    ById,
}

/// The keys for the manual: their names, and what they do.
pub(crate) const WATCH_KEYS: [(&str, &str); 12] = [
    ("q, Esc, Ctrl-C", "quit"),
    ("p, Space", "pause, and continue"),
    ("s, Enter", "take one snapshot"),
    ("+, -", "take samples more or less often"),
    ("Up, Down, PgUp, PgDn, Home", "scroll the records, or the list"),
    ("<, >", "scroll the contents of records to the sides"),
    (
        "Tab, Right; Shift-Tab, Left",
        "show the next or the previous perf buffer; scroll to the sides if there is one buffer",
    ),
    ("d", "show or hide the picture of a buffer"),
    ("x", "show payloads as bytes, or decoded"),
    ("f", "sort the list by fill"),
    ("r", "sort the list by rate"),
    ("i", "sort the list by id"),
];

/// Waits for keys for at most `timeout`, and returns those that came.
pub(crate) fn pressed(stdin: &Stdin, timeout: Duration) -> io::Result<Vec<Key>> {
    let mut fds = [PollFd::new(stdin, PollFlags::IN)];
    let timeout = Timespec::try_from(timeout).ok();
    match poll(&mut fds, timeout.as_ref()) {
        Ok(0) | Err(Errno::INTR) => return Ok(Vec::new()),
        ready => ready.map(drop)?,
    }
    let mut bytes = [0; 64];
    match read(stdin, &mut bytes) {
        Ok(0) | Err(Errno::IO) => Ok(vec![Key::Quit]),
        Err(Errno::INTR | Errno::AGAIN) => Ok(Vec::new()),
        length => Ok(keys(bytes.get(..length?).unwrap_or_default())),
    }
}

/// Returns whether stdin is a terminal.
pub(crate) fn are_available() -> bool {
    io::stdin().is_terminal()
}

/// Parses keys from the bytes of a terminal; other bytes are skipped.
fn keys(mut bytes: &[u8]) -> Vec<Key> {
    let mut keys = Vec::new();
    while let Some((&first, rest)) = bytes.split_first() {
        let (key, length) = match (first, rest) {
            (b'\x1b', [b'[' | b'O', sequence @ ..]) => {
                let end = sequence.iter().position(|byte| (0x40..=0x7e).contains(byte));
                let length = end.map_or(sequence.len(), |end| end.saturating_add(1));
                let key = match sequence.get(..length).unwrap_or_default() {
                    b"A" => Some(Key::Up),
                    b"B" => Some(Key::Down),
                    b"C" => Some(Key::Next),
                    b"D" | b"Z" => Some(Key::Previous),
                    b"H" | b"1~" => Some(Key::Home),
                    b"5~" => Some(Key::PageUp),
                    b"6~" => Some(Key::PageDown),
                    _ => None,
                };
                (key, length.saturating_add(2))
            }
            (b'q' | b'\x03', _) | (b'\x1b', []) => (Some(Key::Quit), 1),
            (b'p' | b' ', _) => (Some(Key::Pause), 1),
            (b's' | b'\r', _) => (Some(Key::OneSnapshot), 1),
            (b'd', _) => (Some(Key::Picture), 1),
            (b'\t', _) => (Some(Key::Next), 1),
            (b'x', _) => (Some(Key::Bytes), 1),
            (b'+', _) => (Some(Key::Faster), 1),
            (b'<' | b',', _) => (Some(Key::Left), 1),
            (b'>' | b'.', _) => (Some(Key::Right), 1),
            (b'f', _) => (Some(Key::ByFill), 1),
            (b'r', _) => (Some(Key::ByRate), 1),
            (b'i', _) => (Some(Key::ById), 1),
            (b'-', _) => (Some(Key::Slower), 1),
            _ => (None, 1),
        };
        keys.extend(key);
        bytes = bytes.get(length..).unwrap_or_default();
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_the_manual_have_an_effect() {
        let sent = |name: &str| {
            match name {
                "Esc" => "\x1b",
                "Ctrl-C" => "\x03",
                "Space" => " ",
                "Enter" => "\r",
                "Up" => "\x1b[A",
                "Down" => "\x1b[B",
                "Right" => "\x1b[C",
                "Left" => "\x1b[D",
                "Home" => "\x1b[H",
                "PgUp" => "\x1b[5~",
                "PgDn" => "\x1b[6~",
                "Tab" => "\t",
                "Shift-Tab" => "\x1b[Z",
                letter => letter,
            }
            .to_owned()
        };
        let names = WATCH_KEYS.iter().flat_map(|(names, _)| names.split([',', ';']).map(str::trim));
        let named: Vec<Key> = names.flat_map(|name| keys(sent(name).as_bytes())).collect();
        let all = [
            (Key::Quit, 3),
            (Key::Pause, 2),
            (Key::OneSnapshot, 2),
            (Key::Picture, 1),
            (Key::Bytes, 1),
            (Key::Faster, 1),
            (Key::Slower, 1),
            (Key::Up, 1),
            (Key::Down, 1),
            (Key::PageUp, 1),
            (Key::PageDown, 1),
            (Key::Home, 1),
            (Key::Next, 2),
            (Key::Previous, 2),
            (Key::Left, 1),
            (Key::Right, 1),
            (Key::ByFill, 1),
            (Key::ByRate, 1),
            (Key::ById, 1),
        ];
        for (key, times) in all {
            assert_eq!(named.iter().filter(|&&found| found == key).count(), times, "{key:?}");
        }
        assert_eq!(named.len(), all.iter().map(|(_, times)| times).sum::<usize>());
    }

    #[test]
    fn unknown_sequences_are_skipped() {
        assert_eq!(keys(b"\x1b[A\x1bOBp\x1b[6~"), [Key::Up, Key::Down, Key::Pause, Key::PageDown]);
        assert_eq!(keys(b"\x1b"), [Key::Quit]);
        assert_eq!(keys(b"z\x1b[200;3~q"), [Key::Quit]);
        assert_eq!(keys(b"\x1b[1;5"), []);
        assert_eq!(keys("ü+".as_bytes()), [Key::Faster]);
        assert_eq!(keys(b"\t\x1b[C\x1b[Z\x1b[D"), [Key::Next, Key::Next, Key::Previous, Key::Previous]);
    }
}
