//! The code that the routines of this repository share with the tests of its documents.

pub mod book;
pub mod examples;
pub mod tools;
