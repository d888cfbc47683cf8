//! CPUs that come and go, and slots that another reader takes.

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
    /// Looks which CPUs are online now. Those that came get a buffer; those that were away and are back, however
    /// briefly, get a new event that writes into the ring they had, as the kernel does not revive the old one; both are
    /// put into their slots.
    ///
    /// Until then a program on such a CPU is refused (ENOENT without a buffer, EOPNOTSUPP with one whose event is
    /// dead): what it could not send is known to the program alone. So look often enough for what you do, and have
    /// programs count.
    ///
    /// Also looks whether the slots still hold this set's events, where the [`EventArray`] can tell. Those that another
    /// reader of the map has taken are left to it; those that are empty, since the other reader has ended, are taken
    /// back.
    ///
    /// A CPU whose slot could not be set is as if it had not been looked at: the next refresh tries again. Only the
    /// CPUs that the set was [opened on](PerCpuBuffers::open_on) count, if it was.
    ///
    /// # Errors
    /// The first one, after all CPUs were looked at; the changes are returned by the next refresh that succeeds, or by
    /// [`take_changes`](PerCpuBuffers::take_changes).
    /// [`Error::OnlineCpus`]; as [`Buffer::open`](crate::Buffer::open); and as [`connect`](PerCpuBuffers::connect).
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

    /// Returns the changes that refreshes found which failed, since the last one that succeeded.
    pub fn take_changes(&mut self) -> HotplugChanges {
        std::mem::take(&mut self.changes)
    }

    /// Gives the buffer at `index` a new event if its CPU is back. Returns an error with the CPU.
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
            if buffer.is_alive().map_err(of_cpu)? {
                return Ok(());
            }
            // Asking a dead event takes 100 ms: not again if what follows fails.
            self.away.push(cpu);
        }
        match buffer.replacement(&self.options) {
            Ok(replacement) => {
                // What can fail comes first: then the buffer's event stays dead, and is found so the next time. Closing
                // the new one takes it out of epoll.
                self.waiter.watch(cpu, replacement.as_fd()).map_err(of_cpu)?;
                connect(cpu, replacement.as_fd(), slots).map_err(of_cpu)?;
                let former = buffer.replace_with(replacement);
                // Adding the new event to epoll polled the ring, which takes the wake-up of what came before.
                self.unfinished |= buffer.reader().fill() > 0;
                self.away.retain(|&away| away != cpu);
                note(&mut changes.restored, cpu);
                self.waiter.forget(cpu, former.as_fd()).map_err(of_cpu)
            }
            // Gone again meanwhile.
            Err(Error::Offline { .. }) => Ok(()),
            Err(error) => Err(of_cpu(error)),
        }
    }

    /// Opens a buffer for a CPU that is online and has none.
    fn refresh_cpu(&mut self, cpu: u32, slots: &impl EventArray, changes: &mut HotplugChanges) -> Result<(), Error> {
        let left_out = self.chosen.as_ref().is_some_and(|chosen| !chosen.contains(&cpu));
        if left_out || self.get(cpu).is_some() || self.without_slot.contains(&cpu) {
            return Ok(());
        }
        let Some(mut buffer) = self.opened(cpu)? else { return Ok(()) };
        // First: a buffer whose slot could not be set is not in this set, and is opened anew the next time.
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

    /// Finds slots that another reader has taken, and takes back those that are empty. Leaves out CPUs whose events may
    /// be dead: their slots would seem to be another reader's.
    fn check_slots(&mut self, slots: &impl EventArray, failures: &mut Failures, changes: &mut HotplugChanges) {
        for buffer in &mut self.buffers {
            let cpu = buffer.cpu();
            if self.away.contains(&cpu) || failures.cpus.contains(&cpu) {
                continue;
            }
            match buffer.check_slot(slots) {
                Ok(Some(Holder::Another)) => note(&mut changes.taken, cpu),
                Ok(Some(Holder::Nobody)) => note(&mut changes.regained, cpu),
                Ok(_) => {}
                Err(error) => failures.note(Err((cpu, error))),
            }
        }
    }
}

/// What failed in a refresh. One CPU must not keep the others from being looked at.
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
