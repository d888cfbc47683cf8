//! Measures text in columns of a terminal, and pads or cuts it to columns.
//!
//! A wide letter (Chinese, Japanese, Korean, most emoji) takes two columns, a combining mark none (UAX #11). Rust's own
//! padding counts characters, which shifts the text after such letters.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Returns how many columns `text` takes. `text` must not have escape sequences.
pub(crate) fn display_width(text: &str) -> usize {
    text.width()
}

/// Returns a number of things: `1 relocation`, `2 relocations`.
pub(crate) fn counted(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// Pads `text` with spaces on its right, up to `width` columns.
pub(crate) fn left(text: &str, width: usize) -> String {
    let mut padded = text.to_owned();
    padded.extend(padding(text, width));
    padded
}

/// Pads `text` with spaces on its left, up to `width` columns.
pub(crate) fn right(text: &str, width: usize) -> String {
    let mut padded: String = padding(text, width).collect();
    padded.push_str(text);
    padded
}

fn padding(text: &str, width: usize) -> impl Iterator<Item = char> {
    std::iter::repeat_n(' ', width.saturating_sub(display_width(text)))
}

/// Returns the first `width` columns of a line, and all its color sequences, which take none. A wide letter that would
/// be cut in half is omitted.
pub(crate) fn cut(line: &str, width: usize) -> String {
    let mut cut = String::with_capacity(line.len());
    let (mut used, mut in_color) = (0, false);
    for character in line.chars() {
        if character == '\x1b' {
            in_color = true;
        }
        if in_color {
            cut.push(character);
            in_color = character != 'm';
            continue;
        }
        used += character.width().unwrap_or(0);
        if used <= width {
            cut.push(character);
        }
    }
    cut
}

/// Returns the last `width` columns of a text without colors. A wide letter that would be cut in half is omitted.
pub(crate) fn cut_left(text: &str, width: usize) -> &str {
    let mut used = 0;
    let mut start = text.len();
    for (at, character) in text.char_indices().rev() {
        used += character.width().unwrap_or(0);
        if used > width {
            break;
        }
        start = at;
    }
    text.get(start..).unwrap_or_default()
}

/// Returns a text without colors after its first `width` columns. A wide letter that would be cut in half is omitted.
pub(crate) fn after(text: &str, width: usize) -> &str {
    let mut used = 0;
    for (at, character) in text.char_indices() {
        if used >= width {
            return text.get(at..).unwrap_or_default();
        }
        used += character.width().unwrap_or(0);
    }
    ""
}

/// Returns running text behind a head, in lines of at most `width` columns; a longer word has a line of its own. The
/// lines after the first are indented by the width of the head.
pub(crate) fn wrapped(text: &str, head: &str, width: usize) -> String {
    filled(text, head, display_width(head), width)
}

/// Returns running text in lines of at most `width` columns; a longer word has a line of its own. The lines after the
/// first are indented. A text that fits is not changed.
pub(crate) fn hung(text: &str, indent: usize, width: usize) -> String {
    if display_width(text) <= width { format!("{text}\n") } else { filled(text, "", indent, width) }
}

fn filled(text: &str, head: &str, indent: usize, width: usize) -> String {
    let mut begun = display_width(head);
    let (mut lines, mut line, mut used) = (String::new(), String::from(head), begun);
    for word in text.split_whitespace() {
        let length = display_width(word);
        if used + length > width && used > begun {
            lines.push_str(line.trim_end());
            lines.push('\n');
            line = " ".repeat(indent);
            (begun, used) = (indent, indent);
        }
        line.push_str(word);
        line.push(' ');
        used += length + 1;
    }
    lines.push_str(line.trim_end());
    lines.push('\n');
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_letters_take_two_columns_and_marks_none() {
        assert_eq!(
            (display_width("abc"), display_width("größe"), display_width("漢字"), display_width("e\u{301}")),
            (3, 5, 4, 1)
        );
        for text in ["", "ab", "größe", "漢字", "e\u{301}", "🦀", "ｱ"] {
            assert_eq!((display_width(&left(text, 6)), display_width(&right(text, 6))), (6, 6), "{text}");
            assert!(left(text, 6).starts_with(text) && right(text, 6).ends_with(text), "{text}");
        }
        // Longer text is not cut.
        assert_eq!((left("漢字漢字", 6).as_str(), right("漢字漢字", 6).as_str()), ("漢字漢字", "漢字漢字"));
    }

    #[test]
    fn running_text_is_wrapped_between_words() {
        assert_eq!(wrapped("one two three", "head: ", 13), "head: one two\n      three\n");
        assert_eq!(hung("one two three four", 2, 9), "one two\n  three\n  four\n");
        assert_eq!(hung("one  two", 2, 8), "one  two\n");
        assert_eq!(hung("a-long-word and", 2, 6), "a-long-word\n  and\n");
    }

    #[test]
    fn colors_take_no_columns() {
        assert_eq!(cut("\x1b[1mabc\x1b[0mdef", 4), "\x1b[1mabc\x1b[0md");
        assert_eq!(cut("größe", 3), "grö");
    }

    #[test]
    fn wide_letter_is_never_cut_in_half() {
        assert_eq!((cut("a漢字b", 3).as_str(), cut("a漢字b", 4).as_str()), ("a漢", "a漢"));
        assert_eq!(cut("e\u{301}xy", 2), "e\u{301}x");
        assert_eq!([cut_left("a漢字b", 3), cut_left("a漢字b", 2), cut_left("größe", 9)], ["字b", "b", "größe"]);
        // Text after an omitted letter does not move into its column.
        assert_eq!(cut("漢ab", 1), "");
    }
}
