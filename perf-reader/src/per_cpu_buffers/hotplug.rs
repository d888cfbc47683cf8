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
    /// Adapts the buffers to the CPUs that are online now. A CPU that came online gets a buffer. A CPU that was
    /// offline, however briefly, and is online again gets a new event that writes into its former ring, because the
    /// kernel does not revive the old event. Both are put into their slots.
    ///
    /// Until then the helper fails on such a CPU (ENOENT without a buffer, EOPNOTSUPP with a buffer whose event is
    /// dead). Only the program knows of these losses. So refresh often enough for your purpose, and let programs count.
    ///
    /// Also checks whether the slots still hold this set's events, if the [`EventArray`] can query them. Slots that
    /// another reader of the map has taken are left to it. Slots that are empty, because the other reader has ended,
    /// are taken back.
    ///
    /// If a CPU's slot cannot be set, the next refresh tries again. A set that was [opened on](PerCpuBuffers::open_on)
    /// given CPUs handles only those.
    ///
    /// # Errors
    /// The first error, after all CPUs were handled. The changes are returned by the next refresh that succeeds, or by
    /// [`take_changes`](PerCpuBuffers::take_changes). [`Error::OnlineCpus`]; as [`Buffer::open`](crate::Buffer::open);
    /// and as [`connect`](PerCpuBuffers::connect).
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

    /// Returns the changes that failed refreshes found, since the last one that succeeded.
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
            // Checking a dead event takes 100 ms. It is not repeated if a later step fails.
            self.away.push(cpu);
        }
        match buffer.replacement(&self.options) {
            Ok(replacement) => {
                // Steps that can fail come first. If one fails, the buffer's event stays dead, and the next refresh
                // finds it so. Closing the new event removes it from epoll.
                self.waiter.watch(cpu, replacement.as_fd()).map_err(of_cpu)?;
                connect(cpu, replacement.as_fd(), slots).map_err(of_cpu)?;
                let former = buffer.replace_with(replacement);
                // Adding the new event to epoll polled the ring, which consumes the wake-up of earlier records.
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
        // Before the buffer is added: a buffer whose slot cannot be set does not join the set, and the next refresh
        // opens it again.
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

    /// Finds slots that another reader has taken, and takes back empty ones. Skips CPUs whose events may be dead: their
    /// slots would seem to be another reader's.
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

/// The failures of a refresh. A failure of one CPU must not keep the others from being handled.
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
