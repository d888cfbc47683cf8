//! The archives of this machine's apt configuration, with their other releases.
//!
//! No host name is built in: `apt-get indextargets` lists the archives that the machine uses. A mirror that has one
//! release of a distribution has the others too.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use super::deb822::{Paragraph, paragraphs};
use crate::error::{Error, Result};
use crate::tool::Tool;

/// Releases known to have kernels of interest: 5.10, 6.1, 6.12. The machine's own release is added. `stable` finds the
/// newest backported kernel when these names are old.
const RELEASES: [&str; 4] = ["bullseye", "bookworm", "trixie", "stable"];

/// An archive: its URL, and the key that signs it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Archive {
    uri: String,
    /// Whether it has `RELEASE-security` suites only.
    security: bool,
    signed_by: Option<String>,
}

/// Returns the text of a private `.sources` file with every release of the machine's own archives.
///
/// # Errors
/// [`Error::NoKernel`] if the machine has no apt, or apt has no Debian archive.
pub(super) fn private() -> Result<String> {
    let targets = Tool::new("apt-get", "it is part of Debian and its derivatives; on other systems use --image")
        .args(["indextargets", "Created-By: Packages"])
        .output()?;
    let targets = paragraphs(&targets);
    let archives = archives(&targets, &|path| std::fs::read_to_string(path).unwrap_or_default());
    if archives.is_empty() {
        return Err(Error::NoKernel {
            wanted: "from packages".to_owned(),
            why: "apt has no Debian archive configured, or its lists are empty: run apt-get update, or use --image"
                .to_owned(),
        });
    }
    let own = targets.iter().filter_map(|target| target.get("Codename"));
    Ok(sources(&archives, own))
}

fn archives(targets: &[Paragraph], read: &dyn Fn(&Path) -> String) -> Vec<Archive> {
    let mut archives: BTreeMap<String, Archive> = BTreeMap::new();
    for target in targets {
        let (Some(uri), Some(release)) = (target.get("Repo-URI"), target.get("Release")) else { continue };
        if target.get("Origin") != Some("Debian") || target.get("Component") != Some("main") {
            continue;
        }
        let signed_by = target.get("Sourcesentry").and_then(|entry| {
            let (path, _line) = entry.rsplit_once(':')?;
            signed_by(&read(Path::new(path)), uri)
        });
        let security = release.ends_with("-security");
        archives.entry(uri.to_owned()).or_insert(Archive { uri: uri.to_owned(), security, signed_by });
    }
    archives.into_values().collect()
}

/// Returns the `Signed-By` that a sources file has for a URL, in either of apt's two formats (sources.list(5)).
fn signed_by(file: &str, uri: &str) -> Option<String> {
    let same = |other: &str| other.trim_end_matches('/') == uri.trim_end_matches('/');
    let modern = paragraphs(file).into_iter().find_map(|paragraph| {
        paragraph.get("URIs")?.split_whitespace().any(same).then(|| paragraph.get("Signed-By").map(str::to_owned))?
    });
    modern.or_else(|| {
        file.lines().filter(|line| line.split_whitespace().any(same)).find_map(|line| {
            let (_, options) = line.split_once('[')?;
            let (options, _) = options.split_once(']')?;
            options.split_whitespace().find_map(|option| option.strip_prefix("signed-by=").map(str::to_owned))
        })
    })
}

fn sources<'a>(archives: &[Archive], own: impl Iterator<Item = &'a str>) -> String {
    let mut releases: Vec<&str> = RELEASES.to_vec();
    for name in own {
        let (name, _) = name.split_once('-').unwrap_or((name, ""));
        if !releases.contains(&name) {
            releases.push(name);
        }
    }
    let mut text = String::new();
    for archive in archives {
        let suites: Vec<String> = releases
            .iter()
            .flat_map(|&release| match (archive.security, release) {
                // The alias would only repeat the lists of the release that it names.
                (false, "stable") => vec!["stable-backports".to_owned()],
                (true, "stable") => vec![],
                (false, _) => vec![release.to_owned(), format!("{release}-backports")],
                (true, _) => vec![format!("{release}-security")],
            })
            .collect();
        let _ = write!(
            text,
            "Types: deb\nURIs: {}\nSuites: {}\nComponents: main\nTargets: Packages\n",
            archive.uri,
            suites.join(" ")
        );
        if let Some(key) = &archive.signed_by {
            let _ = writeln!(text, "Signed-By: {}", key.trim_start_matches(' '));
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGETS: &str = "Repo-URI: http://mirror/debian/\nRelease: bookworm\nCodename: bookworm\nOrigin: Debian\nComponent: main\nSourcesentry: /etc/a.sources:1\n\n\
        Repo-URI: http://mirror/debian-security/\nRelease: bookworm-security\nCodename: bookworm-security\nOrigin: Debian\nComponent: main\nSourcesentry: /etc/b.list:3\n\n\
        Repo-URI: http://other/\nRelease: x\nCodename: x\nOrigin: Other\nComponent: main\n";

    fn read(path: &Path) -> String {
        match path.to_str() {
            Some("/etc/a.sources") => "Types: deb\nURIs: http://mirror/debian\nSigned-By: /keys/a.gpg\n",
            Some("/etc/b.list") => {
                "deb [arch=amd64 signed-by=/keys/b.gpg] http://mirror/debian-security bookworm-security main\n"
            }
            _ => "",
        }
        .to_owned()
    }

    #[test]
    fn archives_are_listed_with_their_other_releases() {
        let archives = archives(&paragraphs(TARGETS), &read);
        let text = sources(&archives, ["bookworm", "bookworm-security", "duke"].into_iter());
        let all = paragraphs(&text);
        assert_eq!(all.len(), 2, "{text}");
        let of = |uri: &str, field: &str| {
            all.iter().find(|one| one.get("URIs") == Some(uri)).and_then(|one| one.get(field)).unwrap().to_owned()
        };
        let (main, security) = ("http://mirror/debian/", "http://mirror/debian-security/");
        assert_eq!(of(main, "Signed-By"), "/keys/a.gpg");
        assert_eq!(
            of(main, "Suites"),
            "bullseye bullseye-backports bookworm bookworm-backports trixie trixie-backports stable-backports duke \
                 duke-backports"
        );
        assert_eq!(of(security, "Signed-By"), "/keys/b.gpg");
        assert_eq!(of(security, "Suites"), "bullseye-security bookworm-security trixie-security duke-security");
    }

    #[test]
    fn machine_of_another_distribution_has_no_archive() {
        assert!(
            archives(&paragraphs("Repo-URI: http://a\nRelease: x\nOrigin: Other\nComponent: main\n"), &read).is_empty()
        );
    }
}
