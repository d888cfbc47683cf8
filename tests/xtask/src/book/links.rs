//! Whether the links of a page lead somewhere: to a file, and to a heading in it.

use std::{fs, path::Path};

use crate::tools::root;

/// What is wrong with the links of a page: none, or a line for each.
pub(super) fn broken(page: &str) -> Result<Vec<String>, String> {
    let text = fs::read_to_string(root().join(page)).map_err(|error| format!("cannot read {page}: {error}"))?;
    let folder = Path::new(page).parent().unwrap_or(Path::new(""));
    let mut wrong = Vec::new();
    for link in links(&text) {
        if link.starts_with("https://") {
            continue;
        }
        let (file, heading) =
            link.split_once('#').map_or((link.as_str(), None), |(file, heading)| (file, Some(heading)));
        let target = if file.is_empty() { root().join(page) } else { root().join(folder).join(file) };
        if !target.exists() {
            wrong.push(format!("{page} links to {link}, which is not there"));
            continue;
        }
        let Some(heading) = heading else { continue };
        let there = fs::read_to_string(&target).unwrap_or_default();
        if !headings(&there).any(|name| name == heading) {
            wrong.push(format!("{page} links to {link}, which has no such heading"));
        }
    }
    Ok(wrong)
}

/// Where the links outside of code lead to.
fn links(text: &str) -> Vec<String> {
    let mut links = Vec::new();
    for line in prose(text) {
        // What stands in backticks is no link.
        let bare: String = line.split('`').step_by(2).collect::<Vec<_>>().join("``");
        links.extend(bare.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(link, _)| link.to_owned()));
    }
    links
}

/// The lines that are in no fenced block.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut fenced = false;
    text.lines().filter(move |line| {
        if line.starts_with("```") {
            fenced = !fenced;
            return false;
        }
        !fenced
    })
}

/// The names that forges give to headings: small letters, hyphens for spaces, no punctuation.
fn headings(text: &str) -> impl Iterator<Item = String> {
    prose(text).filter(|line| line.starts_with('#')).map(|line| {
        let title = line.trim_start_matches('#').trim().to_lowercase();
        title
            .chars()
            .filter(|c| c.is_alphanumeric() || " -_".contains(*c))
            .map(|c| if c == ' ' { '-' } else { c })
            .collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_and_headings_are_found() {
        let text = "# The sleep race, twice\n[a](b.md#c) and `[x](y)` ![d](e.svg)\n```\n[f](g)\n# no\n```\n";
        assert_eq!(links(text), ["b.md#c", "e.svg"]);
        assert_eq!(headings(text).collect::<Vec<_>>(), ["the-sleep-race-twice"]);
    }
}
