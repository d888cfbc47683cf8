//! Which archives this machine's apt is set up with, and the same archives' other releases.
//!
//! No host is named here: `apt-get indextargets` says where the machine gets its own packages from, and a mirror that
//! carries one release of a distribution carries the others beside it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use super::deb822::{Paragraph, paragraphs};
use crate::error::{Error, Result};
use crate::tool::Tool;

/// Releases known to carry kernels of interest: 5.10, 6.1, 6.12. The machine's own release is added to them, and
/// `stable`, so that the newest backported kernel is found when these names are old.
const RELEASES: [&str; 4] = ["bullseye", "bookworm", "trixie", "stable"];

/// An archive: its address and how its signatures are checked.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Archive {
    uri: String,
    /// It holds `RELEASE-security` suites, and no others.
    security: bool,
    signed_by: Option<String>,
}

/// The text of a private `.sources` file with every release of the machine's own archives.
///
/// # Errors
/// [`Error::NoKernel`] if the machine has no apt or its apt no Debian archive.
pub(super) fn private() -> Result<String> {
    let targets = Tool::new("apt-get", "it comes with Debian and its derivatives; elsewhere give a kernel by --image")
        .args(["indextargets", "Created-By: Packages"])
        .output()?;
    let targets = paragraphs(&targets);
    let archives = archives(&targets, &|path| std::fs::read_to_string(path).unwrap_or_default());
    if archives.is_empty() {
        return Err(Error::NoKernel {
            wanted: "from packages".to_owned(),
            why: "apt is set up with no Debian archive here, or its lists are empty: run apt-get update, or give a kernel by --image".to_owned(),
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

/// What `Signed-By` a sources file gives for an address, in either of apt's two formats (sources.list(5)).
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
                // The alias would only repeat the lists of the release it stands for.
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
    fn the_machines_archives_with_their_other_releases() {
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
            "bullseye bullseye-backports bookworm bookworm-backports trixie trixie-backports stable-backports duke duke-backports"
        );
        assert_eq!(of(security, "Signed-By"), "/keys/b.gpg");
        assert_eq!(of(security, "Suites"), "bullseye-security bookworm-security trixie-security duke-security");
    }

    #[test]
    fn a_machine_of_another_distribution_has_none() {
        assert!(
            archives(&paragraphs("Repo-URI: http://a\nRelease: x\nOrigin: Other\nComponent: main\n"), &read).is_empty()
        );
    }
}
