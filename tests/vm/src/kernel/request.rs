//! The requested kernel.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::version::Version;

/// The kernels of a run that names none: the oldest supported one, long-term ones, the newest.
pub const MATRIX: [&str; 4] = ["5.10", "6.1", "6.12", "newest"];

/// The exit status if none of the default kernels is available, so that the tests' results are unknown.
pub(crate) const NO_KERNEL: u8 = 3;

/// The requested kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// The newest packaged kernel of this version.
    Version(Version),
    /// The newest packaged kernel.
    Newest,
    /// The kernel in this file.
    Image(PathBuf),
}

/// Returns the kernels that a command line names, each once; those of [`MATRIX`] if it names none.
pub(crate) fn requests(versions: &[Request], images: &[PathBuf]) -> Vec<Request> {
    if versions.is_empty() && images.is_empty() {
        return MATRIX.iter().filter_map(|name| name.parse().ok()).collect();
    }
    let mut unique = Vec::new();
    for request in versions.iter().cloned().chain(images.iter().cloned().map(Request::Image)) {
        if !unique.contains(&request) {
            unique.push(request);
        }
    }
    unique
}

impl FromStr for Request {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "newest" { Ok(Self::Newest) } else { text.parse().map(Self::Version) }
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(version) => version.fmt(f),
            Self::Newest => f.write_str("newest"),
            Self::Image(path) => f.write_str(&path.file_name().unwrap_or(path.as_os_str()).to_string_lossy()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kernel_is_requested_once() {
        let versions: Vec<Request> = ["6.1", "newest", "6.1"].iter().map(|text| text.parse().unwrap()).collect();
        let image = PathBuf::from("/vmlinuz");
        let all = requests(&versions, std::slice::from_ref(&image));
        assert_eq!(all, [versions[0].clone(), Request::Newest, Request::Image(image)]);
        assert_eq!(requests(&[], &[]).len(), MATRIX.len());
    }

    #[test]
    fn requests_are_versions_or_newest() {
        assert_eq!("newest".parse(), Ok(Request::Newest));
        assert_eq!("6.1".parse::<Request>().unwrap().to_string(), "6.1");
        assert!("latest".parse::<Request>().is_err());
        for name in MATRIX {
            assert_eq!(name.parse::<Request>().unwrap().to_string(), name);
        }
    }
}
