//! CPUs that come and go, and slots that another reader takes.

use std::os::fd::AsFd;

use super::{PerCpuBuffers, connect::connect};
use crate::buffer::Holder;
use crate::cpus::online_cpus;
use crate::error::Error;
use crate::event_array::EventArray;

/// What [`PerCpuBuffers::refresh`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HotplugChanges {
    /// CPUs that have a buffer now and had none before.
    pub added: Vec<u32>,
    /// CPUs that were away and are back.
    pub restored: Vec<u32>,
    /// CPUs that went offline. What they had written is still there to be drained.
    pub removed: Vec<u32>,
    /// CPUs in whose slot another reader's event was found, for the first time. What programs send there goes to that
    /// reader.
    pub taken: Vec<u32>,
    /// CPUs whose slot was empty, as it is after the other reader of the map has ended, and is this set's again. What
    /// programs sent meanwhile is lost, and counted by the programs alone.
    pub regained: Vec<u32>,
}

impl PerCpuBuffers {
    /// Looks which CPUs are online now. Those that came get a buffer; those that were away and are back, however briefly, get a
    /// new event that writes into the ring they had, as the kernel does not revive the old one; both are put into their slots.
    ///
    /// Until then a program on such a CPU is refused (ENOENT without a buffer, EOPNOTSUPP with one whose event is dead): what
    /// it could not send is known to the program alone. So look often enough for what you do, and have programs count.
    ///
    /// Also looks whether the slots still hold this set's events, where the [`EventArray`] can tell. Those that another
    /// reader of the map has taken are left to it; those that are empty, since the other reader has ended, are taken
    /// back.
    ///
    /// A CPU whose slot could not be set is as if it had not been looked at: the next refresh tries again. Only the CPUs that the
    /// set was [opened on](PerCpuBuffers::open_on) count, if it was.
    ///
    /// # Errors
    /// [`Error::OnlineCpus`]; as [`Buffer::open`](crate::Buffer::open); and as [`connect`](PerCpuBuffers::connect).
    pub fn refresh(&mut self, slots: &impl EventArray) -> Result<HotplugChanges, Error> {
        let online = online_cpus()?;
        let mut changes = HotplugChanges::default();
        for buffer in &mut self.buffers {
            let cpu = buffer.cpu();
            let away = self.away.iter().position(|&away| away == cpu);
            if online.binary_search(&cpu).is_err() {
                if away.is_none() {
                    self.away.push(cpu);
                    changes.removed.push(cpu);
                }
                continue;
            }
            if let Some(at) = away {
                self.away.swap_remove(at);
            } else if buffer.is_alive()? {
                continue;
            }
            match buffer.replacement(&self.options) {
                Ok(replacement) => {
                    // What can fail comes first: then the buffer's event stays dead, and is found so the next time. Closing the
                    // new one takes it out of epoll.
                    self.waiter.watch(cpu, replacement.as_fd())?;
                    connect(cpu, replacement.as_fd(), slots)?;
                    let former = buffer.replace_with(replacement);
                    self.waiter.forget(cpu, former.as_fd())?;
                    changes.restored.push(cpu);
                }
                // Gone again meanwhile.
                Err(Error::Offline { .. }) => self.away.push(cpu),
                Err(error) => return Err(error),
            }
        }
        for cpu in online {
            let left_out = self.chosen.as_ref().is_some_and(|chosen| !chosen.contains(&cpu));
            if left_out || self.get(cpu).is_some() || self.without_slot.contains(&cpu) {
                continue;
            }
            let Some(mut buffer) = self.opened(cpu)? else { continue };
            // First: a buffer whose slot could not be set is none of this set's, and opened anew the next time.
            match buffer.connect(slots) {
                Err(error) if error.errno().is_some_and(|errno| errno.raw() == libc::E2BIG) => {
                    self.go_without_slot(&[cpu]);
                    continue;
                }
                result => result?,
            }
            self.add(buffer)?;
            changes.added.push(cpu);
        }
        self.check_slots(slots, &mut changes)?;
        Ok(changes)
    }

    /// Finds slots that another reader has taken, and takes back those that are empty.
    fn check_slots(&mut self, slots: &impl EventArray, changes: &mut HotplugChanges) -> Result<(), Error> {
        for buffer in &mut self.buffers {
            let cpu = buffer.cpu();
            if self.away.contains(&cpu) {
                continue;
            }
            match buffer.check_slot(slots)? {
                Some(Holder::Another) => changes.taken.push(cpu),
                Some(Holder::Nobody) => changes.regained.push(cpu),
                _ => {}
            }
        }
        Ok(())
    }
}
