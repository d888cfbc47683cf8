//! Debian's paragraph format (deb822(5)): paragraphs of fields; a continuation line begins with a space or a tab.

/// One paragraph.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Paragraph(Vec<(String, String)>);

impl Paragraph {
    /// Returns a field by its name, ignoring case.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// Parses the paragraphs of a text. Comments and lines that are not fields are skipped.
pub(crate) fn paragraphs(text: &str) -> Vec<Paragraph> {
    let mut all = Vec::new();
    let mut current = Paragraph::default();
    for line in text.lines() {
        if line.trim().is_empty() {
            if !current.0.is_empty() {
                all.push(std::mem::take(&mut current));
            }
        } else if line.starts_with('#') {
        } else if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = current.0.last_mut() {
                value.push('\n');
                value.push_str(line);
            }
        } else if let Some((name, value)) = line.split_once(':') {
            current.0.push((name.to_owned(), value.trim().to_owned()));
        }
    }
    if !current.0.is_empty() {
        all.push(current);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_paragraphs() {
        let all = paragraphs(
            "Types: deb\n# a comment\nURIs: http://a http://b\nSigned-By:\n -----BEGIN\n .\n\n\nTypes: deb-src\n",
        );
        assert_eq!(all.len(), 2);
        assert_eq!(all[0].get("uris"), Some("http://a http://b"));
        assert_eq!(all[0].get("Signed-By"), Some("\n -----BEGIN\n ."));
        assert_eq!(all[1].get("Signed-By"), None);
    }
}
