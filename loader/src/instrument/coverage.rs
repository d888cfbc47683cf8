//! Marks the basic blocks that ran.

mod blocks;
#[cfg(test)]
mod interpreter;
mod liveness;
mod marks;
mod report;
