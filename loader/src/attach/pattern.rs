//! Matches names against patterns: `*` matches any text, `?` one character, every other character itself.

/// Returns true if `text` matches `pattern`.
pub(super) fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (pattern, text);
    // The pattern after the last star, and the text from which to retry with one more byte given to that star.
    let mut star: Option<(&[u8], &[u8])> = None;
    loop {
        match (p, t) {
            ([b'*', rest @ ..], _) => {
                star = Some((rest, t));
                p = rest;
            }
            ([], []) => return true,
            ([b'?', p_rest @ ..], [_, t_rest @ ..]) => (p, t) = (p_rest, t_rest),
            ([a, p_rest @ ..], [b, t_rest @ ..]) if a == b => (p, t) = (p_rest, t_rest),
            _ => {
                let Some((after, [_, rest @ ..])) = star else { return false };
                star = Some((after, rest));
                (p, t) = (after, rest);
            }
        }
    }
}

/// Returns true if the text is a pattern rather than a plain name.
pub(super) fn is_pattern(pattern: &str) -> bool {
    pattern.contains(['*', '?'])
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn stars_and_question_marks() {
        let yes = [("a", "a"), ("*", ""), ("*", "abc"), ("a*", "a"), ("a*c", "abbc"), ("*b*", "abc"), ("a?c", "abc")];
        for (pattern, text) in yes.into_iter().chain([("*ab", "aab"), ("a**", "a"), ("*a*b", "aab"), ("", "")]) {
            assert!(matches(pattern.as_bytes(), text.as_bytes()), "{pattern} {text}");
        }
        for (pattern, text) in [("a", "b"), ("a", ""), ("", "a"), ("?", ""), ("a*c", "abb"), ("*b", "abc"), ("a?", "a")]
        {
            assert!(!matches(pattern.as_bytes(), text.as_bytes()), "{pattern} {text}");
        }
    }
}
