//! The processes of `--only-command`: COMMAND and its descendants.
//!
//! A program on `task/task_newtask` adds each child of a process in the set. It is one of the programs of `cutaway
//! trace`. No process leaves the set when it ends, because its records can be read later. A process id that is used
//! again leaves it, unless the new process is a descendant too.

use cutaway::{Link, Loaded, MapType, Object, Tracepoint};
use cutaway_programs::getaddrinfo::{Losses, Transport, names};

use crate::{error::CliError, trace};

/// The set of processes, as the kernel maintains it.
pub(super) struct CommandTree {
    loaded: Loaded,
    _link: Link,
}

impl CommandTree {
    /// Loads and attaches the program. The set is empty.
    pub(super) fn start() -> Result<Self, CliError> {
        if let Some(why) = trace::cannot_follow() {
            return Err(CliError::new(format!("--only-command: the children of COMMAND cannot be followed: {why}")));
        }
        let bytes = Transport::PerfStack
            .object()
            .map_err(|error| CliError::new(format!("cannot assemble the program for --only-command: {error}")))?;
        let mut object = Object::parse(&bytes)?;
        let programs: Vec<String> = object.programs().iter().map(|program| program.name.clone()).collect();
        for name in programs {
            let section = &mut object.program_mut(&name)?.section;
            section.autoload = name == names::FOLLOW;
        }
        let buffers: Vec<String> = object
            .maps()
            .iter()
            .filter(|map| map.map_type == MapType::PERF_EVENT_ARRAY)
            .map(|map| map.name.clone())
            .collect();
        for name in buffers {
            object.map_mut(&name)?.autocreate = false;
        }
        let loaded = object.load()?;
        let link = Tracepoint::new("task", "task_newtask").attach(loaded.program(names::FOLLOW)?)?;
        Ok(Self { loaded, _link: link })
    }

    /// Calls `start` while this process is in the set, so that a process that it starts is in the set, too.
    pub(super) fn with_children<T>(&self, start: impl FnOnce() -> Result<T, CliError>) -> Result<T, CliError> {
        let processes = self.loaded.map(names::FOLLOWED)?;
        let own = std::process::id().to_ne_bytes();
        processes.update(&own, &[1])?;
        let started = start();
        processes.delete(&own)?;
        started
    }

    /// Returns the number of processes that did not fit into the set. Their descendants are not counted.
    pub(super) fn not_followed(&self) -> Result<u64, CliError> {
        let unknown = || CliError::new("the program's counters have an unknown layout");
        let values = self.loaded.map(names::LOSSES)?.lookup_per_cpu(&0_u32.to_ne_bytes())?.ok_or_else(unknown)?;
        let counts = values.iter().map(|(_, value)| Losses::read(value).map(|losses| losses.not_followed));
        counts.sum::<Option<u64>>().ok_or_else(unknown)
    }

    /// Returns whether the process is COMMAND or a descendant.
    pub(super) fn contains(&self, pid: u32) -> Result<bool, CliError> {
        Ok(self.loaded.map(names::FOLLOWED)?.lookup(&pid.to_ne_bytes())?.is_some())
    }
}
