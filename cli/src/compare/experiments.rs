//! The experiments, a module for each.

mod copies;
mod full_buffer;
mod max_entries;
mod memory;
mod order;
mod real_work;
mod shared_memory;
mod stack_limit;
mod throughput;
mod variable_length;
mod wake_ups;

use super::experiment::Experiment;

/// All experiments, in the order in which they run and are printed.
pub(super) const ALL: &[Experiment] = &[
    stack_limit::EXPERIMENT,
    copies::EXPERIMENT,
    full_buffer::EXPERIMENT,
    shared_memory::EXPERIMENT,
    variable_length::EXPERIMENT,
    wake_ups::EXPERIMENT,
    order::EXPERIMENT,
    max_entries::EXPERIMENT,
    memory::EXPERIMENT,
    throughput::EXPERIMENT,
    real_work::EXPERIMENT,
];
