//! Flavors: `task_struct___old` is a flavor of `task_struct`. The search for types ignores the last `___` and what
//! follows.

/// Returns a name without its flavor. The three underscores must be between other characters.
pub(crate) fn essential(name: &[u8]) -> &[u8] {
    let index = name.windows(5).rposition(|five| matches!(five, [x, b'_', b'_', b'_', y] if *x != b'_' && *y != b'_'));
    index.and_then(|index| name.get(..=index)).unwrap_or(name)
}

/// Returns whether two names are equal apart from flavors.
pub(super) fn same(one: &[u8], other: &[u8]) -> bool {
    essential(one) == essential(other)
}

#[cfg(test)]
mod tests {
    use super::essential;

    #[test]
    fn flavor_starts_at_the_last_three_underscores() {
        for (name, expected) in [
            ("task_struct", "task_struct"),
            ("task_struct___old", "task_struct"),
            ("a___b___c", "a___b"),
            ("a___", "a___"),
            ("___a", "___a"),
            ("a____b", "a____b"),
            ("a_____b", "a_____b"),
            ("s___2", "s"),
            ("", ""),
            ("a__b", "a__b"),
        ] {
            assert_eq!(essential(name.as_bytes()), expected.as_bytes(), "{name}");
        }
    }
}
