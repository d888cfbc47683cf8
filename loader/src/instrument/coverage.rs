//! Marks the basic blocks that ran.

mod blocks;
mod inference;
#[cfg(test)]
mod interpreter;
mod liveness;
mod marks;
#[cfg(test)]
mod random_programs;
mod report;
mod scratch;
