//! Perf buffers of other processes, borrowed by `pidfd_getfd`.
//!
//! A `PERF_EVENT_ARRAY` does not say which events are in it, and an event does not say in which array it is. So buffers
//! are found by process: each of its perf events that runs no program is borrowed, and those with a buffer are mapped.
//! Events that share a buffer (`PERF_EVENT_IOC_SET_OUTPUT`) are recognized by the memory that they share.

use std::{fs, io};

use cutaway::{
    perf_reader::Peek,
    system::{self, FdKind, FdOwner, OpenFds},
};

use super::{
    super::{
        gauge::Gauge,
        rates::{Positions, Watched},
    },
    Snapshot, show, snapshot,
};
use crate::{
    diagnostics,
    error::{CliError, listed},
    terminal::one_line,
};

/// A perf buffer of a process, mapped.
pub(super) struct Buffer {
    pub(super) holder: FdOwner,
    peek: Peek,
    /// Fds of the other events that write into it.
    others: Vec<u32>,
    /// The same for all events of one buffer.
    identity: Option<u64>,
}

/// Borrows the perf buffers of these processes. `ringless` says that they are known to hold no ring.
pub(super) fn open(pids: &[u32], ringless: bool) -> Result<Vec<Buffer>, CliError> {
    let holders = system::open_fds()?;
    let events: Vec<_> = holders
        .found
        .into_iter()
        .filter(|holder| pids.contains(&holder.pid) && holder.kind == FdKind::PerfEvent)
        .collect();
    let who = listed(&pids.iter().map(u32::to_string).collect::<Vec<_>>());
    if events.is_empty() {
        let rings = if ringless { "ring and no " } else { "" };
        return Err(CliError::new(format!("process {who} has no {rings}visible perf event"))
            .advise("check the PID, and run as root"));
    }
    let (buffers, refused) = borrow(events);
    let refused: Vec<String> = refused.into_iter().map(|(_, why)| why).collect();
    if buffers.is_empty() {
        let why = refused.first().map_or("none of its perf events has a mapped buffer", String::as_str);
        return Err(CliError::new(format!("cannot map the perf buffers of process {who}: {why}"))
            .advise("this requires Linux 5.6 and permission to trace the process"));
    }
    for why in refused {
        diagnostics::say(&format!("cutaway: skipped one buffer: {why}"));
    }
    Ok(buffers)
}

/// Borrows the events that have a buffer. Returns the buffers, and the events that the kernel refuses, with the reason.
fn borrow(events: Vec<FdOwner>) -> (Vec<Buffer>, Vec<(FdOwner, String)>) {
    let (mut buffers, mut refused): (Vec<Buffer>, Vec<(FdOwner, String)>) = (Vec::new(), Vec::new());
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
            Err(error) => refused.push((holder, error.to_string())),
        }
    }
    (buffers, refused)
}

/// Returns the fill of every perf buffer of these processes, whose fds are `holders`.
pub(crate) fn gauges(pids: &[u32], holders: &OpenFds) -> Vec<Gauge> {
    let mine = |holder: &&FdOwner| pids.contains(&holder.pid) && holder.kind == FdKind::PerfEvent;
    let (buffers, refused) = borrow(holders.found.iter().filter(mine).cloned().collect());
    let unknown = |(holder, why): (FdOwner, String)| {
        Gauge::unknown(format!("perf event of {} ({}), fd {}", one_line(&holder.comm), holder.pid, holder.fd), &why)
    };
    let known = buffers.iter().map(|buffer| show::gauge(&buffer.snapshot(0)));
    // A process may have closed its buffer since the list was made, or have ended.
    let open = |(holder, _): &(FdOwner, String)| {
        fs::symlink_metadata(format!("/proc/{}/fd/{}", holder.pid, holder.fd))
            .map_or_else(|error| error.kind() != io::ErrorKind::NotFound, |_| true)
    };
    known.chain(refused.into_iter().filter(open).map(unknown)).collect()
}

impl Buffer {
    /// Takes a snapshot with at most `payloads` payloads.
    pub(super) fn snapshot(&self, payloads: usize) -> Snapshot {
        // An event can be read after its owner has closed it.
        let lost = self.peek.lost().ok().flatten();
        Snapshot::of(&self.peek.snapshot(), &self.holder, &self.others, lost, payloads)
    }
}

impl Watched for Buffer {
    fn positions(&self) -> Positions {
        let positions = self.peek.positions();
        snapshot::positions(positions.tail, positions.head)
    }

    fn tally(&self, from: u64, to: u64, most: u64) -> Option<(u64, u64)> {
        self.peek.count_records(from, to, most).map(|tally| (tally.records, tally.bytes))
    }
}
