//! The requested kernel.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::version::Version;

/// The kernels of a run that names none: the oldest supported one, long-term ones, the newest.
pub const MATRIX: [&str; 4] = ["5.10", "6.1", "6.12", "newest"];

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
    fn requests_are_versions_or_newest() {
        assert_eq!("newest".parse(), Ok(Request::Newest));
        assert_eq!("6.1".parse::<Request>().unwrap().to_string(), "6.1");
        assert!("latest".parse::<Request>().is_err());
        for name in MATRIX {
            assert_eq!(name.parse::<Request>().unwrap().to_string(), name);
        }
    }
}
