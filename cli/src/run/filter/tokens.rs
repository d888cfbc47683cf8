//! Splits the text of an expression into tokens.

use super::wrong::Wrong;

/// A token, and its column from 1.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token {
    pub(super) column: usize,
    pub(super) kind: TokenKind,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum TokenKind {
    Integer(i128),
    Float(f64),
    Character(u8),
    Text(Vec<u8>),
    Name(String),
    /// An operator or a bracket.
    Sign(&'static str),
    End,
}

/// The signs, longer ones before their beginnings.
const SIGNS: [&str; 24] = [
    "||", "&&", "==", "!=", "<=", ">=", "<<", ">>", "|", "^", "&", "<", ">", "+", "-", "*", "/", "%", "!", "~", ".",
    "[", "]", "(",
];

/// Splits the text. The last token is [`TokenKind::End`].
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, Wrong> {
    let mut tokens = Vec::new();
    let (mut rest, mut column) = (text, 1);
    loop {
        let trimmed = rest.trim_start();
        column += characters(rest, trimmed);
        rest = trimmed;
        let Some(first) = rest.chars().next() else { break };
        let (kind, after) = match first {
            '"' | '\'' => quoted(rest, first, column)?,
            '0'..='9' => number(rest, column)?,
            _ if first.is_alphabetic() || first == '_' => {
                let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
                let (name, after) = rest.split_at(end);
                (TokenKind::Name(name.to_owned()), after)
            }
            _ => sign(rest, first, column)?,
        };
        tokens.push(Token { column, kind });
        column += characters(rest, after);
        rest = after;
    }
    tokens.push(Token { column, kind: TokenKind::End });
    Ok(tokens)
}

/// Returns the number of characters of `text` before its end `rest`.
fn characters(text: &str, rest: &str) -> usize {
    text.get(..text.len().saturating_sub(rest.len())).unwrap_or_default().chars().count()
}

fn sign(rest: &str, first: char, column: usize) -> Result<(TokenKind, &str), Wrong> {
    let found = SIGNS.iter().chain(&[")"]).find_map(|&sign| Some((TokenKind::Sign(sign), rest.strip_prefix(sign)?)));
    found.ok_or_else(|| {
        let why = match first {
            '=' => "`=` assigns; compare with `==`".to_owned(),
            _ => format!("unexpected character {first:?}"),
        };
        Wrong::new(column, why)
    })
}

fn number(rest: &str, column: usize) -> Result<(TokenKind, &str), Wrong> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
    let (text, after) = rest.split_at(rest.find(|c| !is_part(c)).unwrap_or(rest.len()));
    let wrong = |why: &str| Wrong::new(column, format!("`{text}` {why}"));
    if text.contains('.') {
        let number = text.parse().map_err(|_| wrong("is not a number"))?;
        return Ok((TokenKind::Float(number), after));
    }
    let lower = text.to_ascii_lowercase();
    let (digits, radix) = match (lower.strip_prefix("0x"), lower.strip_prefix("0b"), lower.strip_prefix('0')) {
        (Some(digits), ..) => (digits, 16),
        (_, Some(digits), _) => (digits, 2),
        (.., Some(digits)) if !digits.trim_end_matches(['u', 'l']).is_empty() => (digits, 8),
        _ => (lower.as_str(), 10),
    };
    // The suffixes of C have no meaning here.
    let digits = digits.trim_end_matches(['u', 'l']);
    // `from_str_radix` accepts a sign, which this text cannot have.
    match i128::from_str_radix(digits, radix) {
        Ok(number) => Ok((TokenKind::Integer(number), after)),
        Err(error) if *error.kind() == std::num::IntErrorKind::PosOverflow => Err(wrong("is too large")),
        Err(_) if radix == 8 => Err(wrong("is not a number: a leading 0 means octal, as in C")),
        Err(_) => Err(wrong("is not a number")),
    }
}

/// Reads a text in double quotes or a character in single quotes, with C's escape sequences.
fn quoted(rest: &str, quote: char, column: usize) -> Result<(TokenKind, &str), Wrong> {
    let mut bytes = Vec::new();
    let mut characters = rest.char_indices().skip(1);
    while let Some((at, character)) = characters.next() {
        let here = || column + characters_before(rest, at);
        if character == quote {
            let after = rest.get(at + quote.len_utf8()..).unwrap_or_default();
            return match (quote, bytes.as_slice()) {
                ('"', _) => Ok((TokenKind::Text(bytes), after)),
                (_, &[byte]) => Ok((TokenKind::Character(byte), after)),
                _ => Err(Wrong::new(column, "a character in single quotes must be one byte; quote text with \"")),
            };
        }
        if character != '\\' {
            bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        let escaped = characters.next().map(|(_, escaped)| escaped);
        bytes.push(match escaped {
            Some('n') => b'\n',
            Some('t') => b'\t',
            Some('r') => b'\r',
            Some('0') => 0,
            Some(same @ ('\\' | '"' | '\'')) => same as u8,
            Some('x') => {
                let digits: String = characters.by_ref().take(2).map(|(_, digit)| digit).collect();
                let byte = u8::from_str_radix(&digits, 16).ok().filter(|_| !digits.starts_with('+'));
                byte.filter(|_| digits.len() == 2)
                    .ok_or_else(|| Wrong::new(here(), "`\\x` needs two hexadecimal digits"))?
            }
            _ => {
                return Err(Wrong::new(here(), "unknown escape sequence; use \\n, \\t, \\r, \\0, \\\\, \\\" or \\xHH"));
            }
        });
    }
    Err(Wrong::new(column, format!("the closing quote {quote} is missing")))
}

fn characters_before(text: &str, at: usize) -> usize {
    text.get(..at).unwrap_or_default().chars().count()
}
