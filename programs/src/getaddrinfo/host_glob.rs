//! A pattern for host names: what the program checks of it, and the whole match in user space.

use super::Text;

/// A pattern for host names: `*` is any text, `?` is any character, and everything else is itself. Upper and lower case
/// of ASCII letters are equal, as they are in the DNS.
///
/// The program checks the text before the first wildcard, the text after the last one, and the shortest length. That
/// decides every pattern of the forms `NAME`, `PREFIX*`, `*SUFFIX` and `PREFIX*SUFFIX`. For others it is necessary and
/// not sufficient, so the reader asks [`HostGlob::may_match`] for each event.
///
/// ```
/// use cutaway_programs::getaddrinfo::{HostGlob, Text};
///
/// let glob = HostGlob::new("*.example.com")?;
/// assert!(glob.may_match(Text::Whole(b"www.Example.com")));
/// assert!(!glob.may_match(Text::Whole(b"example.com")));
/// # Ok::<(), cutaway_programs::getaddrinfo::HostGlobError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostGlob {
    parts: Vec<Part>,
}

/// A part of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// A byte, in lower case.
    Byte(u8),
    Character,
    Text,
}

/// A text that is no pattern for host names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostGlobError {
    /// The pattern is empty.
    Empty,
    /// The pattern has more than [`HostGlob::MOST_BYTES`] bytes.
    TooLong,
    /// The pattern has a NUL, which no host name has.
    Nul,
}

impl std::fmt::Display for HostGlobError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Empty => f.write_str("the pattern is empty"),
            Self::TooLong => write!(f, "the pattern has more than {} bytes", HostGlob::MOST_BYTES),
            Self::Nul => f.write_str("the pattern has a NUL"),
        }
    }
}

impl std::error::Error for HostGlobError {}

impl HostGlob {
    /// The longest pattern in bytes: as long as the longest name that an event carries.
    pub const MOST_BYTES: usize = 255;

    /// Parses a pattern.
    ///
    /// # Errors
    ///
    /// If it is empty, longer than [`HostGlob::MOST_BYTES`], or has a NUL.
    pub fn new(pattern: &str) -> Result<Self, HostGlobError> {
        if pattern.is_empty() {
            return Err(HostGlobError::Empty);
        }
        if pattern.len() > Self::MOST_BYTES {
            return Err(HostGlobError::TooLong);
        }
        if pattern.contains('\0') {
            return Err(HostGlobError::Nul);
        }
        let part = |byte: u8| match byte {
            b'*' => Part::Text,
            b'?' => Part::Character,
            byte => Part::Byte(byte.to_ascii_lowercase()),
        };
        Ok(Self { parts: pattern.bytes().map(part).collect() })
    }

    /// Returns whether a host matches, or may match: a name that the event has cut matches if a longer name with the
    /// same beginning can. A host that could not be read may match; a call without a host does not.
    #[must_use]
    pub fn may_match(&self, host: Text<'_>) -> bool {
        let (name, is_whole) = match host {
            Text::Null => return false,
            Text::Unreadable(_) => return true,
            Text::Whole(name) => (name, true),
            Text::Cut(name) => (name, false),
        };
        // The numbers of parts that the text so far can have matched.
        let mut reached = vec![false; self.parts.len() + 1];
        if let Some(first) = reached.first_mut() {
            *first = true;
        }
        self.skip_texts(&mut reached);
        for &byte in name {
            let mut next = vec![false; reached.len()];
            for (index, part) in self.parts.iter().enumerate() {
                if !reached.get(index).copied().unwrap_or_default() {
                    continue;
                }
                let to = match part {
                    Part::Byte(wanted) if byte.to_ascii_lowercase() == *wanted => index + 1,
                    Part::Byte(_) => continue,
                    Part::Character => index + 1,
                    Part::Text => index,
                };
                next.get_mut(to).into_iter().for_each(|next| *next = true);
            }
            // The later bytes of a character in UTF-8 belong to the `?` that its first byte has matched.
            if byte & 0xc0 == 0x80 {
                for (index, part) in self.parts.iter().enumerate() {
                    if *part == Part::Character && reached.get(index + 1).copied().unwrap_or_default() {
                        next.get_mut(index + 1).into_iter().for_each(|next| *next = true);
                    }
                }
            }
            self.skip_texts(&mut next);
            reached = next;
        }
        let is_matched = reached.pop().unwrap_or_default();
        if is_whole {
            return is_matched;
        }
        // The rest of the name is not empty, so a part must be left for it: also a `?` in the middle of a character.
        reached.contains(&true) || is_matched && self.parts.last() == Some(&Part::Character)
    }

    /// Marks what is reached if each `*` matches the empty text.
    fn skip_texts(&self, reached: &mut [bool]) {
        for (index, part) in self.parts.iter().enumerate() {
            if *part == Part::Text && reached.get(index).copied().unwrap_or_default() {
                reached.get_mut(index + 1).into_iter().for_each(|next| *next = true);
            }
        }
    }

    /// Returns the bytes before the first wildcard, in lower case. A pattern without a wildcard ends with a NUL, as the
    /// name does.
    pub(super) fn head(&self) -> Vec<u8> {
        let bytes = self.parts.iter().map_while(|part| part.byte());
        let mut head: Vec<u8> = bytes.collect();
        if head.len() == self.parts.len() {
            head.push(0);
        }
        head
    }

    /// Returns the bytes after the last wildcard, in lower case; empty if there is no wildcard.
    pub(super) fn tail(&self) -> Vec<u8> {
        let wildcard = self.parts.iter().rposition(|part| part.byte().is_none());
        let tail = wildcard.and_then(|wildcard| self.parts.get(wildcard + 1..)).unwrap_or_default();
        tail.iter().filter_map(|part| part.byte()).collect()
    }

    /// Returns the size in bytes of the shortest name that matches, without its NUL.
    pub(super) fn shortest(&self) -> usize {
        self.parts.iter().filter(|part| **part != Part::Text).count()
    }
}

impl Part {
    fn byte(self) -> Option<u8> {
        match self {
            Self::Byte(byte) => Some(byte),
            Self::Character | Self::Text => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, host: &str) -> bool {
        HostGlob::new(pattern).unwrap().may_match(Text::Whole(host.as_bytes()))
    }

    #[test]
    fn wildcards_match_text_and_characters() {
        for (pattern, host) in [
            ("localhost", "LocalHost"),
            ("*", ""),
            ("*", "x"),
            ("*.example.com", "www.example.com"),
            ("www.*", "www."),
            ("*api*", "eu-api-1.example"),
            ("a*b*c", "a-b-b-c"),
            ("a*b*c", "abc"),
            ("db?.example", "db1.example"),
            ("?", "ß"),
            ("b?cher", "b\u{fc}cher"),
            ("漢?", "漢字"),
            ("**x", "x"),
        ] {
            assert!(matches(pattern, host), "{pattern} {host}");
        }
        for (pattern, host) in [
            ("localhost", "localhost6"),
            ("localhost", "localhos"),
            ("*.example.com", "example.com"),
            ("a*b*c", "acb"),
            ("db?.example", "db.example"),
            ("db?.example", "db12.example"),
            ("?", "ab"),
            ("?", ""),
            ("BÜCHER", "bücher"), // only ASCII letters are folded
            ("[a]", "a"),
        ] {
            assert!(!matches(pattern, host), "{pattern} {host}");
        }
    }

    #[test]
    fn unknown_rest_of_a_name_may_match() {
        let may = |pattern: &str, host| HostGlob::new(pattern).unwrap().may_match(host);
        assert!(may("abc*xyz", Text::Cut(b"abcd")));
        assert!(may("*xyz", Text::Cut(b"abcd")));
        assert!(!may("b*", Text::Cut(b"abcd")));
        assert!(!may("abc", Text::Cut(b"abcd")));
        assert!(!may("abcd", Text::Cut(b"abcd")), "the name is longer");
        assert!(!may("a?cd", Text::Cut(b"abcd")), "the name is longer");
        assert!(may("abcd*", Text::Cut(b"abcd")) && may("*d", Text::Cut(b"abcd")));
        assert!(may("ab?", Text::Cut("abé".as_bytes().split_at(3).0)), "it is cut in a character");
        assert!(may("x", Text::Unreadable(14)));
        assert!(!may("*", Text::Null));
    }

    #[test]
    fn long_pattern_takes_no_exponential_time() {
        let pattern = "*a".repeat(127);
        assert!(!matches(&pattern, &"a".repeat(126)));
        assert!(matches(&pattern, &"a".repeat(255)));
    }

    #[test]
    fn program_checks_both_ends() {
        let ends = |pattern| {
            let glob = HostGlob::new(pattern).unwrap();
            (glob.head(), glob.tail(), glob.shortest())
        };
        assert_eq!(ends("Name"), (b"name\0".to_vec(), vec![], 4));
        assert_eq!(ends("pre*"), (b"pre".to_vec(), vec![], 3));
        assert_eq!(ends("*.Post"), (vec![], b".post".to_vec(), 5));
        assert_eq!(ends("a*b?c*d"), (b"a".to_vec(), b"d".to_vec(), 5));
        assert_eq!(ends("*"), (vec![], vec![], 0));
    }

    #[test]
    fn impossible_patterns_are_refused() {
        assert_eq!(HostGlob::new(""), Err(HostGlobError::Empty));
        assert_eq!(HostGlob::new("a\0"), Err(HostGlobError::Nul));
        assert_eq!(HostGlob::new(&"a".repeat(256)), Err(HostGlobError::TooLong));
        assert!(HostGlob::new(&"a".repeat(255)).is_ok());
    }
}
