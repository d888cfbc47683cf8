//! The code that the routines of this repository share with the tests of its documents.

pub mod api;
pub mod book;
pub mod examples;
pub mod packages;
pub mod tools;
