//! Counts the records that a buffer refused.

mod map_arguments;
