//! What is heard while a guest runs.

use crate::report::Test;

/// What is heard while a guest runs.
#[derive(Debug)]
#[non_exhaustive]
pub enum Heard<'a> {
    /// It is up.
    Booted,
    /// These many tests will run that were not known before.
    Listed(usize),
    /// A test began.
    Started(&'a str),
    /// The running test printed this.
    Output(&'a [u8]),
    /// A test ended.
    Ended(&'a Test),
}
