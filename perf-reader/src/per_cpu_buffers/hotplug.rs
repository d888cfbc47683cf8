//! Handles CPU hotplug, and slots that another reader takes.

use std::os::fd::AsFd;

use super::{
    PerCpuBuffers,
    changes::{HotplugChanges, note},
    connect::connect,
};
use crate::buffer::Holder;
use crate::cpus::online_cpus;
use crate::error::Error;
use crate::event_array::EventArray;

impl PerCpuBuffers {
    /// Adapts the buffers to the CPUs that are online now, and puts all new events into their slots.
    ///
    /// A CPU that came online gets a buffer. A CPU that was offline, however briefly, and is online again gets a new
    /// event, because the kernel does not enable the old event again. The new event writes into the CPU's former ring.
    ///
    /// Before the refresh, `bpf_perf_event_output` fails on such a CPU: with ENOENT if it has no buffer, and with
    /// EOPNOTSUPP if its event is inactive. The kernel does not count these losses. So refresh often, and let programs
    /// count the failures.
    ///
    /// If the [`EventArray`] can query slots, this also checks whether they still hold this set's events. A slot that
    /// another reader of the map has taken is left to the other reader. A slot that is empty, because the other reader
    /// has ended, is taken back.
    ///
    /// If a CPU's slot cannot be set, the next refresh tries again. A set that was opened by
    /// [`open_on`](PerCpuBuffers::open_on) handles only the CPUs that were given to it.
    ///
    /// # Errors
    /// The first error, after all CPUs were handled: [`Error::OnlineCpus`], an error of
    /// [`Buffer::open`](crate::Buffer::open), or an error of [`connect`](PerCpuBuffers::connect). The changes are
    /// returned by the next refresh that succeeds, or by [`take_changes`](PerCpuBuffers::take_changes).
    pub fn refresh(&mut self, slots: &impl EventArray) -> Result<HotplugChanges, Error> {
        let online = online_cpus()?;
        let (mut failures, mut changes) = (Failures::default(), std::mem::take(&mut self.changes));
        for index in 0..self.buffers.len() {
            failures.note(self.refresh_buffer(index, &online, slots, &mut changes));
        }
        for cpu in online {
            failures.note(self.refresh_cpu(cpu, slots, &mut changes).map_err(|error| (cpu, error)));
        }
        self.check_slots(slots, &mut failures, &mut changes);
        match failures.first {
            None => Ok(changes),
            Some(error) => {
                self.changes = changes;
                Err(error)
            }
        }
    }

    /// Returns the changes that failed refreshes found since the last refresh that succeeded.
    pub fn take_changes(&mut self) -> HotplugChanges {
        std::mem::take(&mut self.changes)
    }

    /// Gives the buffer at `index` a new event if its CPU is online again. Returns an error with the CPU.
    fn refresh_buffer(
        &mut self,
        index: usize,
        online: &[u32],
        slots: &impl EventArray,
        changes: &mut HotplugChanges,
    ) -> Result<(), (u32, Error)> {
        let Some(buffer) = self.buffers.get_mut(index) else { return Ok(()) };
        let cpu = buffer.cpu();
        let of_cpu = |error| (cpu, error);
        let away = self.away.iter().position(|&away| away == cpu);
        if online.binary_search(&cpu).is_err() {
            if away.is_none() {
                self.away.push(cpu);
                note(&mut changes.removed, cpu);
            }
            return Ok(());
        }
        if away.is_none() {
            if buffer.is_active().map_err(of_cpu)? {
                return Ok(());
            }
            // The check of an inactive event takes 100 ms. It is not repeated if a later step fails.
            self.away.push(cpu);
        }
        match buffer.replacement(&self.options) {
            Ok(replacement) => {
                // Steps that can fail come first. If a step fails, the buffer keeps its inactive event, and the next
                // refresh tries again. Closing the new event removes it from epoll.
                self.waiter.watch(cpu, replacement.as_fd()).map_err(of_cpu)?;
                connect(cpu, replacement.as_fd(), slots).map_err(of_cpu)?;
                let former = buffer.replace_with(replacement);
                // EPOLL_CTL_ADD called the new event's `perf_poll`, which consumed the wake-up of earlier records.
                self.unfinished |= buffer.reader().fill() > 0;
                self.away.retain(|&away| away != cpu);
                note(&mut changes.restored, cpu);
                self.waiter.forget(cpu, former.as_fd()).map_err(of_cpu)
            }
            // The CPU went offline again meanwhile.
            Err(Error::Offline { .. }) => Ok(()),
            Err(error) => Err(of_cpu(error)),
        }
    }

    /// Opens a buffer for a CPU that is online and has none.
    fn refresh_cpu(&mut self, cpu: u32, slots: &impl EventArray, changes: &mut HotplugChanges) -> Result<(), Error> {
        let is_not_chosen = self.chosen.as_ref().is_some_and(|chosen| !chosen.contains(&cpu));
        if is_not_chosen || self.get(cpu).is_some() || self.without_slot.contains(&cpu) {
            return Ok(());
        }
        let Some(mut buffer) = self.opened(cpu)? else { return Ok(()) };
        // The slot is set before the buffer is added to the set. If it cannot be set, the next refresh opens the buffer
        // again.
        match buffer.connect(slots) {
            Err(error) if error.errno().is_some_and(|errno| errno.raw() == libc::E2BIG) => {
                self.go_without_slot(&[cpu]);
                return Ok(());
            }
            result => result?,
        }
        self.add(buffer)?;
        note(&mut changes.added, cpu);
        Ok(())
    }

    /// Finds slots that another reader has taken, and takes back empty slots. Skips CPUs whose events may be inactive,
    /// because a query would report another reader there.
    fn check_slots(&mut self, slots: &impl EventArray, failures: &mut Failures, changes: &mut HotplugChanges) {
        for buffer in &mut self.buffers {
            let cpu = buffer.cpu();
            if self.away.contains(&cpu) || failures.cpus.contains(&cpu) {
                continue;
            }
            match buffer.check_slot(slots) {
                Ok(Some(Holder::Another)) => note(&mut changes.taken, cpu),
                Ok(Some(Holder::Empty)) => note(&mut changes.regained, cpu),
                Ok(_) => {}
                Err(error) => failures.note(Err((cpu, error))),
            }
        }
    }
}

/// The failures of a refresh. After a failure of one CPU, the refresh goes on with the others.
#[derive(Default)]
struct Failures {
    first: Option<Error>,
    cpus: Vec<u32>,
}

impl Failures {
    fn note(&mut self, result: Result<(), (u32, Error)>) {
        if let Err((cpu, error)) = result {
            self.first.get_or_insert(error);
            self.cpus.push(cpu);
        }
    }
}
