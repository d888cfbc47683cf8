//! Patterns for names on the command line: `*` is any text, `?` any character, every other character itself.

use std::fmt;

/// A pattern for whole names. Upper and lower case differ, as in names of programs and processes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern(String);

impl Pattern {
    pub(crate) fn new(pattern: &str) -> Self {
        Self(pattern.to_owned())
    }

    /// Returns whether it can match several names.
    pub(crate) fn has_wildcards(&self) -> bool {
        self.0.contains(['*', '?'])
    }

    pub(crate) fn matches(&self, name: &str) -> bool {
        matches(&self.0, name)
    }
}

/// The pattern as it was typed.
impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut p, mut n) = (pattern.as_slice(), name.as_slice());
    // The pattern after the last star, and the text from which to retry with one more character given to that star.
    let mut retry: Option<(&[char], &[char])> = None;
    loop {
        match (p, n) {
            (['*', rest @ ..], _) => {
                retry = Some((rest, n));
                p = rest;
            }
            ([], []) => return true,
            (['?', p_rest @ ..], [_, n_rest @ ..]) => (p, n) = (p_rest, n_rest),
            ([a, p_rest @ ..], [b, n_rest @ ..]) if a == b => (p, n) = (p_rest, n_rest),
            _ => {
                let Some((after, [_, rest @ ..])) = retry else { return false };
                retry = Some((after, rest));
                (p, n) = (after, rest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn stars_and_question_marks_match_text() {
        for (pattern, name) in [("a", "a"), ("*", ""), ("a*c", "abbc"), ("*b*", "abc"), ("a?c", "aéc"), ("*ab", "aab")]
        {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in
            [("a", "b"), ("", "a"), ("?", ""), ("a*c", "abb"), ("*b", "abc"), ("a?", "a"), ("A", "a")]
        {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }
}
