//! Progress of a running guest.

use crate::report::Test;

/// Progress of a running guest.
#[derive(Debug)]
#[non_exhaustive]
pub enum Heard<'a> {
    /// It has booted.
    Booted,
    /// This many more tests will run.
    Listed(usize),
    /// A test began.
    Started(&'a str),
    /// The running test printed these bytes.
    Output(&'a [u8]),
    /// The guest's shell printed these bytes.
    Shell(&'a [u8]),
    /// A test ended.
    Ended(&'a Test),
}
