//! The words of a text, as the rules see them.

/// A piece of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// A word; hyphens and apostrophes within it belong to it.
    Word(&'a str),
    /// Code in backticks, a placeholder of a format string, or the target of a link.
    Code,
    /// A sign that ends a phrase.
    Sign(char),
    /// The end of a paragraph, a heading or a table's cell.
    End,
}

/// The pieces of a text, each with its byte offset.
#[derive(Debug)]
pub(super) struct Prose<'a>(Vec<(usize, Piece<'a>)>);

/// The form of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Comments and pages: code is in backticks and in fenced blocks.
    Markdown,
    /// String literals: code is in backticks and in braces.
    Format,
}

impl<'a> Prose<'a> {
    pub(super) fn new(text: &'a str, form: Form) -> Self {
        let mut pieces = Vec::new();
        let (mut offset, mut fenced, mut code) = (0, false, None);
        for line in text.split_inclusive('\n') {
            let bare = line.trim();
            if form == Form::Markdown && bare.starts_with("```") {
                fenced = !fenced;
                pieces.push((offset, Piece::End));
            } else if !fenced {
                if bare.is_empty() || starts_block(bare) {
                    pieces.push((offset, Piece::End));
                    code = None;
                }
                let html = bare.starts_with("<!--") && bare.ends_with("-->");
                if !html {
                    read_line(line, offset, form, &mut code, &mut pieces);
                }
                if bare.starts_with('#') {
                    pieces.push((offset, Piece::End));
                }
            }
            offset += line.len();
        }
        Self(pieces)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn offset(&self, at: usize) -> usize {
        self.0.get(at).map_or(0, |(offset, _)| *offset)
    }

    pub(super) fn piece(&self, at: Option<usize>) -> Piece<'a> {
        at.and_then(|at| self.0.get(at)).map_or(Piece::End, |(_, piece)| *piece)
    }

    /// Returns whether the word at `at` is one of these, in small letters.
    pub(super) fn is(&self, at: Option<usize>, words: &[&str]) -> bool {
        match self.piece(at) {
            Piece::Word(word) => words.iter().any(|one| one.eq_ignore_ascii_case(word)),
            _ => false,
        }
    }

    /// Returns whether a sentence begins at `at`.
    pub(super) fn begins_sentence(&self, at: usize) -> bool {
        match self.piece(at.checked_sub(1)) {
            Piece::End | Piece::Sign('.' | '!' | '?' | ':') => true,
            // The mark of a list's item, and bold letters.
            Piece::Sign('*' | '_' | '-') => at.checked_sub(2).is_none_or(|before| self.begins_sentence(before + 1)),
            _ => false,
        }
    }

    /// Returns whether the sentence from `at` on is a question.
    pub(super) fn is_question(&self, at: usize) -> bool {
        let rest = self.0.iter().skip(at).map(|(_, piece)| *piece);
        let end = rest.into_iter().find(|piece| matches!(piece, Piece::End | Piece::Sign('.' | '!' | '?')));
        end == Some(Piece::Sign('?'))
    }
}

/// Returns whether a line begins a block of its own: a heading, a row of a table or an item of a list.
fn starts_block(line: &str) -> bool {
    let number = line.trim_start_matches(|c: char| c.is_ascii_digit());
    line.starts_with(['#', '|']) || line.starts_with("- ") || line.starts_with("* ") || {
        number.len() < line.len() && number.starts_with(". ")
    }
}

/// Reads a line; `code` is the character that ends the code that the line begins in.
fn read_line<'a>(
    line: &'a str,
    offset: usize,
    form: Form,
    code: &mut Option<char>,
    pieces: &mut Vec<(usize, Piece<'a>)>,
) {
    let mut rest = line;
    while let Some(next) = rest.chars().next() {
        let at = offset + line.len() - rest.len();
        if let Some(end) = *code {
            match rest.find(end) {
                Some(found) => {
                    *code = None;
                    rest = rest.get(found + end.len_utf8()..).unwrap_or_default();
                }
                None => return,
            }
            continue;
        }
        let mut length = next.len_utf8();
        match next {
            '`' => {
                pieces.push((at, Piece::Code));
                *code = Some('`');
            }
            '{' if form == Form::Format && !rest.starts_with("{{") => {
                pieces.push((at, Piece::Code));
                *code = Some('}');
            }
            ']' if form == Form::Markdown && rest.starts_with("](") => {
                length += 1;
                *code = Some(')');
            }
            '|' => pieces.push((at, Piece::End)),
            letter if letter.is_alphanumeric() || letter == '_' => {
                length = word_length(rest);
                let word = rest.get(..length).unwrap_or_default();
                // Names of code, paths and options are not words.
                let name = word.contains('_') || rest.get(length..).is_some_and(|rest| rest.starts_with("::"));
                pieces.push((at, if name { Piece::Code } else { Piece::Word(word) }));
            }
            space if space.is_whitespace() => {}
            // A hyphen or slash belongs to an option or a path: `--look`, `/place`.
            '-' | '/' if rest.chars().nth(1).is_some_and(|next| next.is_alphanumeric() || next == '-') => {
                let skipped = rest.find(|c: char| c.is_whitespace() || "`{,;)]|\"".contains(c)).unwrap_or(rest.len());
                pieces.push((at, Piece::Code));
                length = skipped.max(1);
            }
            sign => pieces.push((at, Piece::Sign(sign))),
        }
        rest = rest.get(length..).unwrap_or_default();
    }
}

/// Returns the bytes of the word that a text begins with.
fn word_length(text: &str) -> usize {
    let mut letters = text.char_indices().peekable();
    while let Some((at, letter)) = letters.next() {
        let within = letter.is_alphanumeric() || letter == '_';
        let joins = ['-', '\'', '’', '/', '.'].contains(&letter)
            && letters.peek().is_some_and(|(_, next)| next.is_alphanumeric() || *next == '_');
        if !within && !joins {
            return at;
        }
    }
    text.len()
}
