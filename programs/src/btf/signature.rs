//! [`Signature`]: a function's arguments and return type.

use super::{describe::Describe, types::Type};

/// A function's arguments and return type.
///
/// ```
/// use cutaway_programs::btf::{Describe, Signature, Type};
///
/// let signature = Signature::returning(u32::describe())
///     .takes("context", Type::pointer(Type::Void))
///     .takes("length", u64::describe());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Signature {
    /// The return type.
    pub result: Type,
    /// The arguments' names and types, at most five.
    pub arguments: Vec<(String, Type)>,
}

impl Signature {
    /// Creates the signature of a function without arguments that returns `result`.
    pub fn returning(result: Type) -> Self {
        Self { result, arguments: Vec::new() }
    }

    /// Adds an argument.
    #[must_use]
    pub fn takes(mut self, name: &str, kind: Type) -> Self {
        self.arguments.push((name.to_owned(), kind));
        self
    }

    /// Returns the signature of every program: `int program(unsigned long long *ctx)`. The kernel knows the context's
    /// true type from the program type.
    pub(crate) fn program() -> Self {
        Self::returning(i32::describe()).takes("ctx", Type::pointer(u64::describe()))
    }
}
