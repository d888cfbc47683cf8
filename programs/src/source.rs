//! The Rust source of a program, quoted by line information.
//!
//! The kernel's verifier quotes the source line in front of the instructions that came from it. It takes the text from
//! the program's BTF, not from a file, so the object has to contain it. A module that builds programs passes its own
//! source to the [`ObjectBuilder`](crate::ObjectBuilder) with [`source!`](crate::source). Without it, the instruction's
//! own text replaces the line.

/// A file of Rust source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    /// Its path, as `file!()` gives it.
    pub file: &'static str,
    /// Its whole text.
    pub text: &'static str,
}

impl Source {
    /// Returns the text of a line, counted from 1, without the spaces around it.
    pub fn line(&self, number: u32) -> Option<&'static str> {
        let index = usize::try_from(number).ok()?.checked_sub(1)?;
        self.text.lines().nth(index).map(str::trim)
    }
}

/// The [`Source`] of the module that invokes the macro. The argument is the file's own name, without directories, as
/// `include_str!` needs it.
///
/// ```text
/// object.source(source!("leave.rs")); // in a file called leave.rs
/// ```
#[macro_export]
macro_rules! source {
    ($name:literal) => {
        $crate::Source { file: ::core::file!(), text: ::core::include_str!($name) }
    };
}
