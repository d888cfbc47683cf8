//! Splits the target of a uprobe or USDT probe into file and symbol, according to which files exist.
//!
//! Paths and symbols may both contain colons. Parsing an object ([`Target`]) opens no other file, so the split is
//! repeated here, before a program is attached.

use super::Library;
use crate::{
    Error,
    object::{Target, splits},
};

impl Target {
    /// Splits the text of a uprobe's or USDT probe's target according to which files exist.
    ///
    /// The part before the colon is the longest text that is the path of a file, or a library name that can be found.
    /// If `pid` is given, the name is searched for as that process sees it. Other targets, and texts with no more
    /// colons than they need, are returned unchanged.
    ///
    /// # Errors
    ///
    /// [`Error::Library`] if no split yields an existing file.
    pub fn by_files(&self, pid: Option<u32>) -> Result<Self, Error> {
        let split = |library: &str, rest: &str, parts| {
            split_by(&format!("{library}:{rest}"), parts, &|file| is_there(file, pid))
        };
        let mut new = self.clone();
        match &mut new {
            Self::Uprobe { library, symbol: rest, .. } | Self::UprobeMulti { library, pattern: rest, .. } => {
                (*library, *rest) = split(library, rest, 1)?;
            }
            Self::Usdt { library, provider, name } => {
                let (file, rest) = split(library, &format!("{provider}:{name}"), 2)?;
                *library = file;
                if let Some((first, second)) = rest.split_once(':') {
                    (*provider, *name) = (first.to_owned(), second.to_owned());
                }
            }
            _ => {}
        }
        Ok(new)
    }

    /// Returns the file or library that a probe is in.
    pub(super) fn library(&self) -> Option<&str> {
        match self {
            Self::Uprobe { library, .. } | Self::UprobeMulti { library, .. } | Self::Usdt { library, .. } => {
                Some(library)
            }
            _ => None,
        }
    }
}

/// Splits a text so that the rest has at least `parts` parts.
fn split_by(text: &str, parts: usize, is_there: &dyn Fn(&str) -> bool) -> Result<(String, String), Error> {
    let enough = |rest: &str| parts == 1 || splits(rest).next().is_some();
    let possible: Vec<_> = splits(text).filter(|(_, rest)| enough(rest)).collect();
    let found = match possible.as_slice() {
        // The only candidate is not checked here: attaching reports a missing file.
        [only] => Some(only),
        several => several.iter().find(|(file, _)| is_there(file)),
    };
    found.map(|(file, rest)| ((*file).to_owned(), (*rest).to_owned())).ok_or_else(|| {
        let tried: Vec<_> = possible.iter().take(8).map(|(file, _)| format!("`{file}`")).collect();
        let why = format!("none of {} is a file that exists", tried.join(", "));
        Error::Library { library: text.to_owned(), why }
    })
}

/// Returns true if the text is the path of a file, or a library name that can be found.
fn is_there(file: &str, pid: Option<u32>) -> bool {
    let mut library = Library::new(file);
    library.resolve_in_process = pid.filter(|_| !file.contains('/'));
    library.find().is_ok_and(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Section;

    fn target(name: &str) -> Option<Target> {
        Section::named(name).unwrap().target
    }

    fn probe(library: &str, symbol: &str, offset: u64, retprobe: bool) -> Option<Target> {
        Some(Target::Uprobe { library: library.into(), symbol: symbol.into(), offset, retprobe })
    }

    #[test]
    fn existing_files_decide_the_split() {
        let split = |text, parts, files: &[&str]| {
            split_by(text, parts, &|file| files.contains(&file)).map_err(|error| error.to_string())
        };
        let sides = |file: &str, rest: &str| Ok((file.to_owned(), rest.to_owned()));
        assert_eq!(split("/go:type:.eq.T", 1, &["/go"]), sides("/go", "type:.eq.T"));
        assert_eq!(split("/go:type:.eq.T", 1, &["/go", "/go:type"]), sides("/go:type", ".eq.T"));
        assert_eq!(split("/x:-[A b:c:]", 1, &["/x"]), sides("/x", "-[A b:c:]"));
        assert_eq!(split("/a:b::c", 1, &["/a"]), sides("/a", "b::c"));
        assert_eq!(split("go:example.com/a.T:b", 1, &["go"]), sides("go", "example.com/a.T:b"));
        assert_eq!(split("/a:f", 1, &[]), sides("/a", "f"));
        assert_eq!(split("/a:b:p:n", 2, &["/a:b"]), sides("/a:b", "p:n"));
        assert_eq!(split("/a:p:n", 2, &[]), sides("/a", "p:n"));
        assert_eq!(split("/a:p:n:m", 2, &["/a", "/a:p:n"]), sides("/a", "p:n:m"));
        let line = split("/go:type:.eq.T", 1, &[]).unwrap_err();
        assert!(line.contains("none of `/go:type`, `/go` is a file"), "{line}");
    }

    #[test]
    fn targets_are_split_by_files() {
        let own = std::env::current_exe().unwrap().display().to_string();
        let again = |kind: &str, rest: &str| target(&format!("{kind}/{own}:{rest}")).unwrap().by_files(None).unwrap();
        assert_eq!(Some(again("uretprobe", "type:.eq.T")), probe(&own, "type:.eq.T", 0, true));
        assert_eq!(Some(again("uprobe", "type:.eq.T+8")), probe(&own, "type:.eq.T", 8, false));
        let multi = Target::UprobeMulti { library: own.clone(), pattern: "a:*".into(), retprobe: false };
        assert_eq!(again("uprobe.multi", "a:*"), multi);
        let usdt = Target::Usdt { library: own.clone(), provider: "p".into(), name: "n:m".into() };
        assert_eq!(again("usdt", "p:n:m"), usdt);
        assert!(target("uprobe//no/such:a:b").unwrap().by_files(None).is_err());
    }
}
