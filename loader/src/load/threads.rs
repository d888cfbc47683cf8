//! Loads the programs of an object on several threads, if that is worth it.
//!
//! The kernel has no lock around the verifier for a loader with `CAP_BPF` (`bpf_check` takes `bpf_verifier_lock` only
//! for others), so as many programs are verified at a time as threads ask. The calling thread and its helpers
//! ([`helpers`](super::helpers)) take programs from one [`Queue`], which gives them out in the order of the file. So
//! when a program fails, all programs before it are already given out: the first error in the file is among the
//! outcomes.
//!
//! **Threads, not a pool.** A new thread inherits from the calling thread what the kernel checks: credentials,
//! namespaces, seccomp filter, affinity mask. The threads of a pool have those of the thread that started the pool.
//!
//! **Order.** Some maps have an owner, the first program that uses them (`__bpf_prog_map_compatible` in
//! `kernel/bpf/core.c`, `bpf_cgroup_storage_assign`). The kernel refuses later programs of another type. Which programs
//! those are would depend on the timing, so such objects are loaded on one thread.

use std::thread;

use cutaway_sys::report;

use super::{
    helpers::{self, Threads},
    options::LoadOptions,
    programs::Common,
    queue::{Job, Queue},
};
use crate::{MapType, Object, ProgramSpec, ProgramType};

/// The number of instructions in the object for each helper that is started at once. The verifier and the JIT compiler
/// take some milliseconds for them.
const LARGE: usize = 16 << 10;

/// Returns the threads for these programs: only this thread if the order of loading matters, or if system calls are
/// logged.
fn threads(options: &LoadOptions<'_>, object: &Object, queue: &Queue<'_>) -> Threads {
    let is_alone = report::is_enabled() || !is_order_free(options, object, queue);
    let functions = object.function_table().iter();
    let instructions: usize = functions.map(|(_, function)| function.instructions.len()).sum();
    Threads {
        most: if is_alone { 1 } else { options.most_threads().unwrap_or(usize::MAX) },
        at_once: if options.starts_at_once() { usize::MAX } else { instructions / LARGE },
        cpus: || thread::available_parallelism().map_or(1, usize::from),
    }
}

/// Returns whether the kernel accepts the same programs in any order.
fn is_order_free(options: &LoadOptions<'_>, object: &Object, queue: &Queue<'_>) -> bool {
    const WITH_OWNER: [MapType; 3] = [MapType::PROG_ARRAY, MapType::DEVMAP, MapType::CPUMAP];
    let has = |types: &[MapType]| object.maps().iter().any(|map| map.autocreate && types.contains(&map.map_type));
    // Before 5.9, such a map belongs to one program. Since 6.17, the owner of another map must have the storage of the
    // later programs, which the sections do not tell.
    if has(&[MapType::CGROUP_STORAGE, MapType::PERCPU_CGROUP_STORAGE]) {
        return false;
    }
    // The kernel treats a bound map as if an instruction referred to it.
    if !has(&WITH_OWNER) && !options.may_bind(&WITH_OWNER) {
        return true;
    }
    let key = |spec: &ProgramSpec| {
        let section = &spec.section;
        (section.program_type, section.expected_attach_type, section.fragments, section.sleepable)
    };
    // For these types the kernel also compares the functions that the programs are attached to.
    let has_function = |spec: &ProgramSpec| {
        matches!(
            spec.section.program_type,
            ProgramType::TRACING | ProgramType::LSM | ProgramType::EXT | ProgramType::STRUCT_OPS
        )
    };
    let mut programs = queue.programs();
    programs.next().is_none_or(|first| !has_function(first) && programs.all(|program| key(first) == key(program)))
}

/// Loads the programs on several threads. With `stops`, none is loaded after one that fails. If this thread is to load
/// them alone, the queue is returned as it is.
pub(super) fn load<'a>(
    mut queue: Queue<'a>,
    common: &Common<'_>,
    options: &LoadOptions<'_>,
    object: &Object,
    stops: bool,
) -> Queue<'a> {
    let threads = threads(options, object, &queue);
    if threads.most <= 1 || queue.programs().nth(1).is_none() {
        return queue;
    }
    if stops {
        queue.stop_at_errors();
    }
    let mut queue = helpers::run(queue, &threads, &|job: Job<'_>| job.load(common));
    queue.sort();
    queue
}
