//! What the routines of this repository and the tests of its documents have in common.

pub mod book;
pub mod examples;
pub mod tools;
