//! C names as Rust identifiers.

use std::collections::{HashMap, HashSet};

/// Rust's keywords in all editions up to 2024 that are valid as raw identifiers, e.g. `r#type`.
const KEYWORDS: &[&str] = &[
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "do", "dyn", "else", "enum",
    "extern", "false", "final", "fn", "for", "gen", "if", "impl", "in", "let", "loop", "macro", "match", "mod", "move",
    "mut", "override", "priv", "pub", "ref", "return", "static", "struct", "trait", "true", "try", "type", "typeof",
    "unsafe", "unsized", "use", "virtual", "where", "while", "yield",
];

/// Identifiers that cannot be raw.
const NEVER_RAW: &[&str] = &["_", "crate", "self", "super", "Self"];

/// Names of the prelude that the generated code uses, or that its readers expect to have their usual meaning; and
/// `Checked`, which it uses itself.
const PRELUDE: &[&str] = &[
    "Box",
    "Checked",
    "Clone",
    "Copy",
    "Debug",
    "Default",
    "Drop",
    "Eq",
    "Err",
    "Fn",
    "FnMut",
    "FnOnce",
    "From",
    "Hash",
    "Into",
    "Iterator",
    "None",
    "Ok",
    "Option",
    "Ord",
    "PartialEq",
    "PartialOrd",
    "Result",
    "Self",
    "Send",
    "Sized",
    "Some",
    "String",
    "Sync",
    "ToString",
    "TryFrom",
    "TryInto",
    "Vec",
];

/// The highest number of characters of a name. Longer ones are cut, so that lines can be broken as rustfmt breaks them.
pub(super) const LONGEST: usize = 40;

/// Returns the name with every character that is not allowed in an identifier replaced by `_`, and without the dot of a
/// section's name. It may be a keyword that can be a raw identifier: see [`identifier`]. One that cannot gets an
/// underscore here, so that a scope keeps `self` and `self_` apart.
pub(super) fn plain(name: &str) -> String {
    let mut plain: String = name
        .strip_prefix('.')
        .unwrap_or(name)
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .collect();
    plain.truncate(LONGEST);
    if plain.is_empty() {
        plain.push_str("unnamed");
    }
    if plain.starts_with(|c: char| c.is_ascii_digit()) {
        plain.insert(0, '_');
    }
    if NEVER_RAW.contains(&plain.as_str()) {
        plain.push('_');
    }
    plain
}

/// Returns the identifier for a name of [`plain`]: a keyword becomes a raw identifier.
pub(super) fn identifier(plain: &str) -> String {
    if KEYWORDS.contains(&plain) { format!("r#{plain}") } else { plain.to_owned() }
}

/// Returns a type's name in Rust's form: `sock_key` becomes `SockKey`, `EVENT_T` `EventT`.
pub(super) fn camel(name: &str) -> String {
    let mut camel = String::new();
    for part in name.split(|c: char| !c.is_ascii_alphanumeric()) {
        let shouts = part.len() > 1 && !part.contains(|c: char| c.is_ascii_lowercase());
        for (index, c) in part.chars().enumerate() {
            camel.push(match (index, shouts) {
                (0, _) => c.to_ascii_uppercase(),
                (_, true) => c.to_ascii_lowercase(),
                (_, false) => c,
            });
        }
    }
    camel.truncate(LONGEST);
    if camel.is_empty() {
        camel.push_str("Unnamed");
    }
    if camel.starts_with(|c: char| c.is_ascii_digit()) {
        camel.insert(0, 'T');
    }
    camel
}

/// Returns a module's name: the C name in lower case.
pub(super) fn module(name: &str) -> String {
    plain(name).to_ascii_lowercase()
}

/// Names that are taken in one scope.
#[derive(Debug, Clone, Default)]
pub(super) struct Scope {
    taken: HashSet<String>,
    /// The next number for names that were taken: thousands of members can have the same name.
    next: HashMap<String, u32>,
}

impl Scope {
    /// Returns the scope of types, in which the prelude's names are taken.
    pub(super) fn of_types() -> Self {
        Self { taken: PRELUDE.iter().map(|&name| name.to_owned()).collect(), next: HashMap::new() }
    }

    /// Returns the scope of a type's getters and setters, in which the constants of the trait `Pod` are taken: a method
    /// of the same name would hide them.
    pub(super) fn of_methods() -> Self {
        Self { taken: ["SIZE", "KIND"].map(str::to_owned).into(), next: HashMap::new() }
    }

    /// Takes a name. If it is taken already, appends the first number from 2 on that makes it new.
    pub(super) fn take(&mut self, name: String) -> String {
        self.take_all(name, |name| vec![name.to_owned()])
    }

    /// Takes the names that `derive` makes of a name: all of them or, if one is taken, all of the name with a number.
    pub(super) fn take_all(&mut self, name: String, derive: impl Fn(&str) -> Vec<String>) -> String {
        // An underscore keeps the number apart from a digit that the name ends with.
        let between = if name.ends_with(|c: char| c.is_ascii_digit()) { "_" } else { "" };
        let is_free = |name: &str| derive(name).iter().all(|name| !self.taken.contains(name));
        let mut free = name.clone();
        if !is_free(&free) {
            let mut number = self.next.get(&name).copied().unwrap_or(2);
            loop {
                free = format!("{name}{between}{number}");
                number = number.saturating_add(1);
                if is_free(&free) {
                    break;
                }
            }
            self.next.insert(name, number);
        }
        self.taken.extend(derive(&free));
        free
    }
}

/// Returns text for a doc comment: on one line, and without characters that Markdown or the terminal would interpret in
/// code, or that change the direction of text, which the compiler refuses in comments.
pub(super) fn shown(text: &str) -> String {
    let changes_direction = |c| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars().map(|c| if c == '`' || c.is_control() || changes_direction(c) { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_identifiers() {
        for (name, expected) in [
            ("pid", "pid"),
            ("type", "r#type"),
            ("self", "self_"),
            ("_", "__"),
            (".rodata.cst16", "rodata_cst16"),
            ("count.seen", "count_seen"),
            ("9p", "_9p"),
            ("größe", "gr__e"),
            ("a\n`b", "a__b"),
            ("", "unnamed"),
        ] {
            assert_eq!(identifier(&plain(name)), expected, "{name}");
        }
        for (name, expected) in [
            ("sock_key", "SockKey"),
            ("EVENT_T", "EventT"),
            ("in6_addr", "In6Addr"),
            ("myEvent", "MyEvent"),
            ("task_struct___old", "TaskStructOld"),
            ("X", "X"),
            ("9p", "T9p"),
            ("___", "Unnamed"),
        ] {
            assert_eq!(camel(name), expected, "{name}");
        }
    }

    /// Names of C that differ stay different, whatever Rust does not allow.
    #[test]
    fn names_that_cannot_be_raw_stay_apart() {
        for scope in [Scope::default(), Scope::of_methods()] {
            let mut scope = scope;
            let names = ["self", "self_", "Self", "Self_", "crate", "crate_", "super", "super_", "_", "__"];
            let mut identifiers: Vec<_> = names.iter().map(|name| identifier(&scope.take(plain(name)))).collect();
            identifiers.sort();
            identifiers.dedup();
            assert_eq!(identifiers.len(), names.len(), "{identifiers:?}");
        }
        assert_eq!(Scope::of_methods().take(plain("SIZE")), "SIZE2");
    }

    #[test]
    fn comments_have_no_characters_that_change_the_direction() {
        assert_eq!(shown("a\u{202e}b`c\nd\u{2066}é"), "a\u{fffd}b\u{fffd}c\u{fffd}d\u{fffd}é");
    }

    #[test]
    fn taken_names_get_numbers() {
        let mut scope = Scope::of_types();
        let mut take = |name: &str| scope.take(name.to_owned());
        assert_eq!(
            ["Event", "Event", "Event", "Option", "V4", "V4"].map(&mut take),
            ["Event", "Event2", "Event3", "Option2", "V4", "V4_2"]
        );
        // The setter of one member, and the getter of another one.
        let mut scope = Scope::default();
        let both = |name: &str| vec![name.to_owned(), format!("set_{name}")];
        assert_eq!(scope.take_all("x".to_owned(), both), "x");
        assert_eq!(scope.take_all("set_x".to_owned(), both), "set_x2");
    }
}
