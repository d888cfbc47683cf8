//! Errors of a program or an object, found when it is finished.
//!
//! Nearly all of them are mistakes in the Rust code that builds the program, so every error names the Rust line.

use std::{
    fmt::{self, Display, Formatter},
    panic::Location,
};

/// A line of Rust source, printed as `file:line:column`.
pub(crate) type At = &'static Location<'static>;

/// The reason why a function could not be assembled or an object could not be written.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// A label was created, and perhaps jumped to, but never bound.
    LabelUnbound {
        /// The label's name.
        label: &'static str,
        /// The Rust line of the first jump to it, or of its creation if there is no jump.
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
    /// A label was bound or jumped to in an assembler that did not create it.
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
        /// The kind of the reference: `map`, `variable` or `function`.
        kind: &'static str,
        /// The Rust line that used it.
        at: At,
    },
    /// A function has no instructions.
    EmptyFunction {
        /// Its name.
        function: String,
        /// The Rust line that added it to the object.
        at: At,
    },
    /// A function's last instruction does not end it: execution would run past the end.
    RunsOffTheEnd {
        /// Its name.
        function: String,
        /// The Rust line of that instruction, or of a label bound after it.
        at: At,
    },
    /// Two items of one object have the same name.
    NameTaken {
        /// The name.
        name: String,
        /// The Rust line that used it the second time.
        at: At,
    },
    /// A name is not an identifier: letters, digits and `_`, not starting with a digit.
    BadName {
        /// The name.
        name: String,
        /// The Rust line that gave it.
        at: At,
    },
    /// A section's name does not suit the item in it.
    BadSection {
        /// The name.
        section: String,
        /// The expected form of the name.
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
        /// The problem with the definition.
        problem: &'static str,
        /// The Rust line that gave it.
        at: At,
    },
    /// The object does not fit the file format: for instance, a section or a name is larger than 4 GiB.
    Format {
        /// The part that does not fit, and the reason.
        problem: String,
    },
}

impl Display for Error {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::LabelUnbound { label, at } => {
                write!(f, "label `{label}`, used at {at}, is never bound: call `bind`")
            }
            Self::LabelBoundTwice { label, first, second } => {
                write!(f, "label `{label}`, bound at {first}, is bound again at {second}: use two labels")
            }
            Self::ForeignLabel { label, at } => {
                write!(
                    f,
                    "label `{label}`, used at {at}, belongs to another assembler: a label is valid in one function only"
                )
            }
            Self::JumpTooFar { label, distance, at } => write!(
                f,
                "label `{label}` is {distance} slots away from the jump at {at}, which reaches from -32768 to \
                 32767: use `jump_long` with a condition that jumps around it, or move code into a function"
            ),
            Self::ForeignReference { kind, at } => {
                write!(
                    f,
                    "the {kind} used at {at} belongs to another object: use one that this object's builder returned"
                )
            }
            Self::EmptyFunction { function, at } => {
                write!(f, "function `{function}`, added at {at}, has no instructions: it needs at least an `exit`")
            }
            Self::RunsOffTheEnd { function, at } => {
                write!(f, "function `{function}` runs off its end at {at}: end it with `exit` or a jump")
            }
            Self::NameTaken { name, at } => {
                write!(f, "the name `{name}`, given at {at}, is already used in this object: choose another")
            }
            Self::BadName { name, at } => {
                write!(f, "the name `{name:?}`, given at {at}, is not an identifier: use letters, digits and `_`")
            }
            Self::BadSection { section, expected, at } => {
                write!(f, "the section name {section:?}, given at {at}, is not valid: expected {expected}")
            }
            Self::BadVariable { variable, at } => {
                write!(f, "variable `{variable}`, given at {at}, has a type without a size, or one larger than 4 GiB")
            }
            Self::BadMap { map, problem, at } => {
                write!(f, "map `{map}`, given at {at}, cannot be written: {problem}")
            }
            Self::Format { problem } => write!(f, "the object file cannot be written: {problem}"),
        }
    }
}

impl std::error::Error for Error {}
