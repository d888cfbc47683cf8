//! Checks the links of a page: the file and the heading of each exist.

use std::{fs, path::Path};

use crate::tools::root;

/// Returns a line for each broken link of a page.
pub(super) fn broken(page: &str) -> Result<Vec<String>, String> {
    let text = fs::read_to_string(root().join(page)).map_err(|error| format!("cannot read {page}: {error}"))?;
    let directory = Path::new(page).parent().unwrap_or(Path::new(""));
    let mut wrong = Vec::new();
    for link in links(&text) {
        if link.starts_with("https://") {
            continue;
        }
        let (file, heading) =
            link.split_once('#').map_or((link.as_str(), None), |(file, heading)| (file, Some(heading)));
        let target = if file.is_empty() { root().join(page) } else { root().join(directory).join(file) };
        if !target.exists() {
            wrong.push(format!("{page} links to {link}, which does not exist"));
            continue;
        }
        let Some(heading) = heading else { continue };
        let text = fs::read_to_string(&target).unwrap_or_default();
        if !headings(&text).any(|name| name == heading) {
            wrong.push(format!("{page} links to {link}, which has no such heading"));
        }
    }
    Ok(wrong)
}

/// Returns the targets of the links outside of code.
fn links(text: &str) -> Vec<String> {
    let mut links = Vec::new();
    for line in prose(text) {
        // Text in backticks is not a link.
        let bare: String = line.split('`').step_by(2).collect::<Vec<_>>().join("``");
        links.extend(bare.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(link, _)| link.to_owned()));
    }
    links
}

/// Returns the lines outside of fenced blocks.
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

/// Returns the anchors of the headings as code hosts name them: lower case, hyphens for spaces, no punctuation.
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
