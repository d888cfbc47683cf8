//! The report of a relocation: the requested value, and the result.

use std::{fmt, sync::Arc};

use super::record::RelocationKind;

/// The first id of functions that do not exist ("bad relo"). The index of the relocation's report is added to it.
pub(super) const POISON: i32 = 0x0bad_2310;

/// The error of a relocation.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// There is no BTF to relocate against.
    Target {
        /// The reason, and what to do.
        why: String,
    },
    /// A record contradicts its object, or several results are possible.
    Relocation {
        /// The code section.
        section: String,
        /// Bytes from its start to the instruction.
        offset: u32,
        /// The requested value.
        what: String,
        /// The reason.
        why: String,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Target { why } => write!(f, "its CO-RE relocations need the kernel's BTF: {why}"),
            Self::Relocation { section, offset, what, why } => {
                let number = offset / 8;
                write!(f, "CO-RE relocation of {what} (instruction {number} of section `{section}`) fails: {why}")
            }
        }
    }
}

impl std::error::Error for Error {}

/// The report of an applied relocation.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Applied {
    /// The code section.
    pub section: Arc<str>,
    /// Bytes from its start to the instruction.
    pub offset: u32,
    /// The kind of the requested value.
    pub kind: RelocationKind,
    /// The accessed field in C syntax, e.g. `struct task_struct.pid`.
    pub local: Arc<str>,
    /// The result.
    pub outcome: Outcome,
}

/// The result of a relocation.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// The instruction holds the kernel's value.
    Changed {
        /// The value that the compiler wrote.
        before: u64,
        /// The new value; usually equal to the old one.
        after: u64,
        /// The type of the kernel and the access from it; `None` if there is none, and `after` is 0 because of that.
        target: Option<Found>,
    },
    /// The instruction was replaced by one that the verifier refuses if the program can reach it.
    Poisoned {
        /// Why there is no value.
        why: Arc<str>,
    },
}

/// A type of the kernel, and the access from it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Found {
    /// The accessed field in C syntax, e.g. `struct task_struct.pid`.
    pub path: Arc<str>,
    /// The BTF id of the type.
    pub type_id: u32,
    /// The BTF that has it: `vmlinux` or a module's name.
    pub source: Arc<str>,
}

impl fmt::Display for Applied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: ", self.kind, self.local)?;
        match &self.outcome {
            Outcome::Changed { before, after, target: Some(found) } => {
                write!(f, "{before} -> {after} ({}, type {} of {})", found.path, found.type_id, found.source)
            }
            Outcome::Changed { before, after, target: None } => write!(f, "{before} -> {after} (does not exist)"),
            Outcome::Poisoned { why } => write!(f, "poisoned: {why}"),
        }
    }
}

/// Returns the relocation that poisoned the instruction for which the verifier rejected a program. `sentence` is the
/// verifier's reason, e.g. `invalid func unknown#195896081`; `applied` the whole list that relocation returned.
#[must_use]
pub fn unresolved<'a>(sentence: &str, applied: &'a [Applied]) -> Option<&'a Applied> {
    let (_, number) = sentence.split_once("unknown#")?;
    let digits = number.split(|c: char| !c.is_ascii_digit()).next()?;
    let number = digits.parse::<i32>().ok()?.checked_sub(POISON)?;
    let applied = applied.get(usize::try_from(number).ok()?)?;
    matches!(applied.outcome, Outcome::Poisoned { .. }).then_some(applied)
}
