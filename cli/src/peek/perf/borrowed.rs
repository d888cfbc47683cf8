//! Perf buffers, borrowed from those who own them.
//!
//! A `PERF_EVENT_ARRAY` does not tell which events are in it, and an event does not tell which array it is in: so it is by
//! process that they are found. Each of its perf events that runs no program is borrowed, and those that have a ring are
//! looked at. Events that write into the ring of another one are told by the memory that they share.

use cutaway::{
    perf_reader::Peek,
    system::{self, Held, Holder},
};

use super::{
    super::motion::{Positions, Watched},
    Look, look,
};
use crate::{
    diagnostics,
    failure::{Failure, listed},
};

/// A ring of a process, opened.
pub(super) struct Buffer {
    pub(super) holder: Holder,
    peek: Peek,
    /// Descriptors whose events write into it as well.
    others: Vec<u32>,
    /// What tells one ring from another.
    identity: Option<u64>,
}

/// Borrows what these processes have; `ringless` if it is known that they hold no ring, for which one would look first.
pub(super) fn open(pids: &[u32], ringless: bool) -> Result<Vec<Buffer>, Failure> {
    let holders = system::holders()?;
    let events: Vec<_> = holders
        .found
        .into_iter()
        .filter(|holder| pids.contains(&holder.pid) && holder.held == Held::PerfEvent)
        .collect();
    let who = listed(&pids.iter().map(u32::to_string).collect::<Vec<_>>());
    if events.is_empty() {
        let rings = if ringless { "ring and no " } else { "" };
        return Err(Failure::new(format!("process {who} has no {rings}perf event that can be seen"))
            .advise("is it the right one, and are you root?"));
    }
    let (mut buffers, mut refused): (Vec<Buffer>, Vec<String>) = (Vec::new(), Vec::new());
    for holder in events {
        if holder.runs_a_program() == Some(true) {
            continue;
        }
        match Peek::of_process(holder.pid, holder.fd) {
            Ok(None) => {}
            Ok(Some(peek)) => {
                let identity = peek.ring_identity();
                match buffers.iter_mut().find(|buffer| identity.is_some() && buffer.identity == identity) {
                    Some(buffer) => buffer.others.push(holder.fd),
                    None => buffers.push(Buffer { holder, peek, others: Vec::new(), identity }),
                }
            }
            Err(error) => refused.push(error.to_string()),
        }
    }
    if buffers.is_empty() {
        let why = refused.first().map_or("none of its perf events has a ring", String::as_str);
        return Err(Failure::new(format!("cannot look at the perf buffers of process {who}: {why}"))
            .advise("it takes Linux 5.6 and the right to trace the process"));
    }
    for why in refused {
        diagnostics::say(&format!("cutaway: one buffer is missing: {why}"));
    }
    Ok(buffers)
}

impl Buffer {
    /// One look, with at most so many payloads.
    pub(super) fn look(&self, payloads: usize) -> Look {
        // An event whose owner has closed it can still be asked.
        let lost = self.peek.lost().ok().flatten();
        Look::of(&self.peek.snapshot(), &self.holder, &self.others, lost, payloads)
    }
}

impl Watched for Buffer {
    fn positions(&self) -> Positions {
        let positions = self.peek.positions();
        look::positions(positions.tail, positions.head)
    }

    fn tally(&self, from: u64, to: u64, most: u64) -> Option<(u64, u64)> {
        self.peek.count_records(from, to, most).map(|tally| (tally.records, tally.bytes))
    }
}
