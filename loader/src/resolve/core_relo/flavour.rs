//! `task_struct___old` is a flavour of `task_struct`: what is behind the last `___` says which, and is not looked for.

/// A name without its flavour. The three underscores must stand between characters that are none.
pub(crate) fn essential(name: &[u8]) -> &[u8] {
    let index = name.windows(5).rposition(|five| matches!(five, [x, b'_', b'_', b'_', y] if *x != b'_' && *y != b'_'));
    index.and_then(|index| name.get(..=index)).unwrap_or(name)
}

/// Whether two names are the same but for the flavours.
pub(super) fn same(one: &[u8], other: &[u8]) -> bool {
    essential(one) == essential(other)
}

#[cfg(test)]
mod tests {
    use super::essential;

    #[test]
    fn the_last_three_underscores_between_others_part_it() {
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
