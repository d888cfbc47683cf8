//! A workspace's own tests: cargo builds them, and its messages list them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Deserialize;

use crate::error::{Error, Result};
use crate::libtest;
use crate::plan::Binary;

/// The manifest of this program's package.
pub(crate) const MANIFEST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");

/// The result of a build.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Suite {
    /// The test binaries.
    pub binaries: Vec<Binary>,
    /// The programs, by target name. Tests find them as `CARGO_BIN_EXE_NAME` and as `NAME_BIN`.
    pub programs: BTreeMap<String, PathBuf>,
    /// This program's own executable, if its package is in the workspace.
    pub(crate) this_program: Option<PathBuf>,
    /// The packages' directories that tests may read: the `tests` directory of each.
    pub folders: BTreeSet<PathBuf>,
}

/// One line of `cargo --message-format=json`: the fields that are used here.
#[derive(Deserialize)]
struct Artifact {
    reason: String,
    #[serde(default)]
    package_id: String,
    #[serde(default)]
    manifest_path: PathBuf,
    #[serde(default)]
    target: Target,
    #[serde(default)]
    profile: Profile,
    #[serde(default)]
    executable: Option<PathBuf>,
}

#[derive(Deserialize, Default)]
struct Target {
    name: String,
    kind: Vec<String>,
}

#[derive(Deserialize, Default)]
struct Profile {
    test: bool,
}

/// Builds the workspace around the current directory. `extra` is passed to cargo unchanged (`--exclude`, `--release`,
/// `--features`), `environment` is added to its own.
///
/// Collects the integration tests, and with `unit_tests` the unit tests too. Unit tests do not depend on the kernel, so
/// running them in slow software emulation gains nothing.
///
/// # Errors
/// If cargo is not installed or the build fails; cargo's own messages are already on stderr.
pub(crate) fn build(unit_tests: bool, extra: &[String], environment: &[(String, String)]) -> Result<Suite> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(&cargo)
        .args(["test", "--workspace", "--no-run", "--message-format=json-render-diagnostics"])
        .args(extra)
        .envs(environment.iter().cloned())
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(Error::file("run", &cargo))?;
    if !output.status.success() {
        return Err(Error::Refused {
            program: "cargo test --no-run".to_owned(),
            status: output.status.to_string(),
            said: "see above".to_owned(),
        });
    }
    let mut suite = gathered(&String::from_utf8_lossy(&output.stdout), unit_tests);
    for binary in &mut suite.binaries {
        let path = Path::new(&binary.path);
        let bytes = std::fs::read(path).map_err(Error::file("read", path))?;
        binary.harness = libtest::is_harness(&bytes);
    }
    Ok(suite)
}

/// Returns this program's executable in cargo's messages.
pub(crate) fn this_program(messages: &str) -> Option<PathBuf> {
    gathered(messages, false).this_program
}

fn gathered(messages: &str, unit_tests: bool) -> Suite {
    let mut suite = Suite::default();
    for artifact in messages.lines().filter_map(|line| serde_json::from_str::<Artifact>(line).ok()) {
        let Some(executable) = artifact.executable.as_ref().filter(|_| artifact.reason == "compiler-artifact") else {
            continue;
        };
        let is = |kind: &str| artifact.target.kind.iter().any(|other| other == kind);
        if artifact.profile.test {
            if !unit_tests && !is("test") {
                continue;
            }
            let directory = artifact.manifest_path.parent().unwrap_or(Path::new("/"));
            let tests = directory.join("tests");
            // A directory that is a package of its own does not belong to this package.
            if is("test") && tests.is_dir() && !tests.join("Cargo.toml").exists() {
                suite.folders.insert(tests);
            }
            suite.binaries.push(Binary {
                label: label(&artifact),
                path: executable.display().to_string(),
                directory: directory.display().to_string(),
                harness: true,
                environment: BTreeMap::from([("CARGO_MANIFEST_DIR".to_owned(), directory.display().to_string())]),
                ..Binary::default()
            });
        } else if is("bin") {
            if artifact.manifest_path == Path::new(MANIFEST) {
                suite.this_program = Some(executable.clone());
            }
            suite.programs.insert(artifact.target.name.clone(), executable.clone());
        }
    }
    suite.binaries.sort_by(|a, b| a.label.cmp(&b.label));
    suite
}

/// Returns `PACKAGE` for a library's unit tests, `PACKAGE::NAME` for an integration test, `PACKAGE::bin/NAME` for a
/// program's.
fn label(artifact: &Artifact) -> String {
    let package = package(&artifact.package_id);
    match artifact.target.kind.first().map(String::as_str) {
        Some("test") => format!("{package}::{}", artifact.target.name),
        Some(kind @ ("bin" | "example" | "bench")) => format!("{package}::{kind}/{}", artifact.target.name),
        _ => package.to_owned(),
    }
}

/// Returns the package name in cargo's id: `path+file:///folder/NAME#1.0.0`, or `…#NAME@1.0.0` if the directory has
/// another name.
fn package(id: &str) -> &str {
    let (location, end) = id.rsplit_once('#').unwrap_or(("", id));
    match end.split_once('@') {
        Some((name, _version)) => name,
        None => location.rsplit('/').next().unwrap_or(end),
    }
}

/// Returns the label of a binary given by path: its file name without cargo's hash.
#[must_use]
pub fn label_of(path: &Path) -> String {
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    match name.rsplit_once('-') {
        Some((stem, hash)) if hash.len() == 16 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()) => stem.to_owned(),
        _ => name.into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_and_programs_are_collected() {
        let messages = r#"{"reason":"compiler-artifact","package_id":"path+file:///w/ring#0.1.0","manifest_path":"/w/ring/Cargo.toml","target":{"kind":["lib"],"name":"ring"},"profile":{"test":true},"executable":"/t/deps/ring-0123456789abcdef"}
{"reason":"compiler-artifact","package_id":"path+file:///w/cli#tool-cli@0.1.0","manifest_path":"/w/cli/Cargo.toml","target":{"kind":["bin"],"name":"tool"},"profile":{"test":false},"executable":"/t/tool"}
{"reason":"compiler-artifact","package_id":"path+file:///w/cli#tool-cli@0.1.0","manifest_path":"/w/cli/Cargo.toml","target":{"kind":["test"],"name":"whole"},"profile":{"test":true},"executable":"/t/deps/whole-1"}
{"reason":"compiler-artifact","package_id":"registry+https://x#dep@1.0.0","manifest_path":"/r/dep/Cargo.toml","target":{"kind":["lib"],"name":"dep"},"profile":{"test":false},"executable":null}
{"reason":"build-finished","success":true}
"#;
        let suite = gathered(messages, false);
        assert_eq!(suite.binaries.len(), 1);
        let suite = gathered(messages, true);
        let labels: Vec<_> = suite.binaries.iter().map(|binary| binary.label.as_str()).collect();
        assert_eq!(labels, ["ring", "tool-cli::whole"]);
        assert_eq!(suite.binaries[1].directory, "/w/cli");
        assert_eq!(suite.programs.get("tool"), Some(&PathBuf::from("/t/tool")));
    }

    #[test]
    fn label_has_no_hash() {
        assert_eq!(label_of(Path::new("/t/debug/deps/live-0123456789abcdef")), "live");
        assert_eq!(label_of(Path::new("/bin/my-tool")), "my-tool");
    }
}
