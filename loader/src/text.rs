//! Texts of errors: bounded lists of names.

use std::iter;

use crate::Error;

/// The length limit, in bytes, of names that are read from an object. Many names can share bytes of the file, so long
/// ones could require any amount of memory.
pub(crate) const MAX_NAME: usize = 4096;

/// Returns the error for a name that the object does not have, with the existing names.
pub(crate) fn no_such<'a>(what: &'static str, name: &str, mut there: impl Iterator<Item = &'a str>) -> Error {
    unknown(what, name, &mut || there.next())
}

/// Implements [`no_such`], compiled once for all iterators.
#[cold]
#[inline(never)]
fn unknown<'a>(what: &'static str, name: &str, next: &mut dyn FnMut() -> Option<&'a str>) -> Error {
    let available = listed(&mut iter::from_fn(|| next().map(|name| format!("`{name}`"))));
    let available = if available.is_empty() { "none".to_owned() } else { available };
    Error::NoSuchName { what, name: name.to_owned(), available }
}

/// Joins the first 30 names by commas, and appends the number of the others: a crafted object could have hundreds of
/// thousands.
pub(crate) fn listed(names: &mut impl Iterator<Item = String>) -> String {
    row(&mut || names.next())
}

/// Implements [`listed`], compiled once for all iterators: a closure is less code than the method table of `dyn
/// Iterator`.
#[inline(never)]
fn row(next: &mut dyn FnMut() -> Option<String>) -> String {
    const MOST: usize = 30;
    let (mut text, mut more) = (String::new(), 0_usize);
    for index in 0_usize.. {
        let Some(name) = next() else { break };
        if index >= MOST {
            more += 1;
            continue;
        }
        if index != 0 {
            text.push_str(", ");
        }
        text.push_str(&name);
    }
    if more != 0 {
        text.push_str(&format!(" and {more} more"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::no_such;

    #[test]
    fn long_lists_of_names_are_cut() {
        let said = |names: &[&str]| no_such("map", "m", names.iter().copied()).to_string();
        assert_eq!(said(&[]), "the object has no map `m`; it has none");
        assert_eq!(said(&["a", "b"]), "the object has no map `m`; it has `a`, `b`");
        let many = said(&["n"; 100_000]);
        assert!(many.ends_with("`n`, `n` and 99970 more") && many.len() < 1000, "{many}");
    }
}
