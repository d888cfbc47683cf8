//! What can be wrong with a program or an object, found when it is finished.
//!
//! Nearly all of it is a slip in the Rust code that builds the program, so every error names the Rust line to look at.

use std::{
    fmt::{self, Display, Formatter},
    panic::Location,
};

/// A line of Rust, `file:line:column` when printed.
pub(crate) type At = &'static Location<'static>;

/// Why a function could not be assembled or an object not be written.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// A label was made, and perhaps jumped to, but never bound.
    LabelUnbound {
        /// The label's name.
        label: &'static str,
        /// The Rust line of the first jump to it, or of its making if there is no jump.
        at: At,
    },
    /// A label was bound twice.
    LabelBoundTwice {
        /// The label's name.
        label: &'static str,
        /// The Rust line that bound it first.
        first: At,
        /// The Rust line that bound it again.
        second: At,
    },
    /// A label was bound or jumped to in an assembler that did not make it.
    ForeignLabel {
        /// The label's name.
        label: &'static str,
        /// The Rust line that did so.
        at: At,
    },
    /// A label is too far away from a jump to it.
    JumpTooFar {
        /// The label's name.
        label: &'static str,
        /// The distance in slots of eight bytes; a jump reaches from -32,768 to 32,767.
        distance: i64,
        /// The Rust line of the jump.
        at: At,
    },
    /// A map, variable or function of one object was used in another.
    ForeignReference {
        /// What kind of thing it is: `map`, `variable` or `function`.
        kind: &'static str,
        /// The Rust line that used it.
        at: At,
    },
    /// A function has no instructions.
    EmptyFunction {
        /// Its name.
        function: String,
        /// The Rust line that gave it to the object.
        at: At,
    },
    /// A function's last instruction lets control run on past its end.
    RunsOffTheEnd {
        /// Its name.
        function: String,
        /// The Rust line of the instruction, or of a label bound behind it.
        at: At,
    },
    /// Two things of one object have the same name.
    NameTaken {
        /// The name.
        name: String,
        /// The Rust line that used it the second time.
        at: At,
    },
    /// A name that is no identifier: letters, digits and `_`, not starting with a digit.
    BadName {
        /// The name.
        name: String,
        /// The Rust line that gave it.
        at: At,
    },
    /// A section name that does not fit what is to be put there.
    BadSection {
        /// The name.
        section: String,
        /// What it should have been.
        expected: &'static str,
        /// The Rust line that gave it.
        at: At,
    },
    /// A variable's type has no size, or the variable takes more than 4 GiB.
    BadVariable {
        /// The variable's name.
        variable: String,
        /// The Rust line that gave it.
        at: At,
    },
    /// A map's definition cannot be expressed.
    BadMap {
        /// The map's name.
        map: String,
        /// What is wrong with it.
        problem: &'static str,
        /// The Rust line that gave it.
        at: At,
    },
    /// Something does not fit the object file's format: a section, or a name, beyond 4 GiB for instance.
    Format {
        /// What does not fit, and why.
        problem: String,
    },
}

impl Display for Error {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::LabelUnbound { label, at } => {
                write!(f, "label `{label}`, wanted at {at}, is never bound: say where it is with `bind`")
            }
            Self::LabelBoundTwice { label, first, second } => write!(
                f,
                "label `{label}`, bound at {first}, is bound again at {second}: a label is one location, make two"
            ),
            Self::ForeignLabel { label, at } => {
                write!(
                    f,
                    "label `{label}`, wanted at {at}, was made by another assembler: a label belongs to one function"
                )
            }
            Self::JumpTooFar { label, distance, at } => write!(
                f,
                "label `{label}` is {distance} instructions away from the jump at {at}, which reaches from -32768 to \
                 32767: go there by `jump_long`, around which a condition can jump, or make the part between a function"
            ),
            Self::ForeignReference { kind, at } => {
                write!(f, "the {kind} at {at} belongs to another object: use one that this object's builder returned")
            }
            Self::EmptyFunction { function, at } => {
                write!(f, "function `{function}`, given at {at}, has no instructions: it needs at least an `exit`")
            }
            Self::RunsOffTheEnd { function, at } => {
                write!(f, "function `{function}` runs off its end at {at}: finish it with `exit` or a jump")
            }
            Self::NameTaken { name, at } => {
                write!(f, "the name `{name}`, given at {at}, is taken in this object: choose another")
            }
            Self::BadName { name, at } => {
                write!(f, "the name `{name:?}`, given at {at}, is no identifier: use letters, digits and `_`")
            }
            Self::BadSection { section, expected, at } => {
                write!(f, "the section name `{section:?}`, given at {at}, will not do: it should be {expected}")
            }
            Self::BadVariable { variable, at } => write!(
                f,
                "variable `{variable}`, given at {at}, is of a type without a size, or one of more than 4 GiB"
            ),
            Self::BadMap { map, problem, at } => {
                write!(f, "map `{map}`, given at {at}, cannot be written: {problem}")
            }
            Self::Format { problem } => write!(f, "the object file cannot be written: {problem}"),
        }
    }
}

impl std::error::Error for Error {}
