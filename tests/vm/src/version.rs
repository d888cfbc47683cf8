//! Kernel versions, as users write them (`6.1`), as `uname -r` prints them (`6.1.0-50-cloud-amd64`) and as packages
//! have them (`6.1.176-1`). All three begin with numbers between dots; only these are compared.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The leading numbers of a kernel's version: two or three.
///
/// Ordered like kernels; a missing third number counts as 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Version {
    /// `6` in `6.12.107`.
    pub major: u32,
    /// `12` in `6.12.107`.
    pub minor: u32,
    /// `107` in `6.12.107`, `None` in `6.12`.
    pub patch: Option<u32>,
}

impl Version {
    /// Parses the version at the start of `text`. Returns it and the rest. `None` if `text` does not begin with a
    /// number, a dot and a number.
    #[must_use]
    pub fn leading(text: &str) -> Option<(Self, &str)> {
        let (major, rest) = number(text)?;
        let (minor, rest) = number(rest.strip_prefix('.')?)?;
        let (patch, rest) = match rest.strip_prefix('.').and_then(number) {
            Some((patch, rest)) => (Some(patch), rest),
            None => (None, rest),
        };
        let version = Self { major, minor, patch };
        Some((version, rest))
    }

    /// Returns true if `other` meets a request for `self`: every `6.1.x` meets `6.1`, only 6.1.176 meets `6.1.176`.
    #[must_use]
    pub fn is_met_by(self, other: Self) -> bool {
        (self.major, self.minor) == (other.major, other.minor) && (self.patch.is_none() || self.patch == other.patch)
    }

    /// Returns true if a kernel of version `self` has the features introduced with `needed`.
    #[must_use]
    pub fn reaches(self, needed: Self) -> bool {
        (self.major, self.minor, self.patch.unwrap_or(0)) >= (needed.major, needed.minor, needed.patch.unwrap_or(0))
    }
}

fn number(text: &str) -> Option<(u32, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at_checked(end)?;
    Some((digits.parse().ok()?, rest))
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)?;
        match self.patch {
            Some(patch) => write!(f, ".{patch}"),
            None => Ok(()),
        }
    }
}

impl FromStr for Version {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match Self::leading(text) {
            Some((version, "")) => Ok(version),
            _ => Err(format!("{text:?} is not a kernel version such as 6.1 or 6.12.107")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v(text: &str) -> Version {
        Version::leading(text).unwrap().0
    }

    #[test]
    fn all_three_forms_are_parsed() {
        assert_eq!(v("6.1").to_string(), "6.1");
        assert_eq!(v("6.1.0-50-cloud-amd64").to_string(), "6.1.0");
        assert_eq!(v("6.12.107+deb13-cloud-amd64").to_string(), "6.12.107");
        assert_eq!(v("7.3-rc1").to_string(), "7.3");
        assert_eq!(Version::leading("6.12: links").unwrap().1, ": links");
        assert!(Version::leading("six").is_none());
        assert!(Version::leading("6").is_none());
        assert!(Version::leading("99999999999.1").is_none());
        assert!("6.1x".parse::<Version>().is_err());
    }

    #[test]
    fn numbers_are_compared_not_letters() {
        assert!(v("6.12") > v("6.2"));
        assert!(v("5.10.262").reaches(v("5.10")));
        assert!(!v("5.10").reaches(v("5.10.1")));
        assert!(v("6.1").is_met_by(v("6.1.176")));
        assert!(!v("6.1").is_met_by(v("6.12.1")));
        assert!(!v("6.1.1").is_met_by(v("6.1.176")));
    }
}
