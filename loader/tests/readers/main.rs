//! Two readers of objects: the results of aya-obj are compared with those of this crate's reader.
#![expect(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

mod bounds;
mod corpus;
mod crafted;
#[path = "../broken/damage.rs"]
mod damage;
mod damaged;
mod faults;
mod held;
mod kernels;
mod kinds;
mod overlaps;
mod transports;
mod way;
