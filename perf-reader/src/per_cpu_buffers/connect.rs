//! Puts the buffers into the slots of the programs' map.

use std::os::fd::BorrowedFd;

use super::PerCpuBuffers;
use crate::error::Error;
use crate::event_array::{EventArray, Slot};

impl PerCpuBuffers {
    /// Puts the fd of every buffer into its CPU's slot. Closes the buffers of CPUs without a slot in the map, and logs
    /// one warning for all of them (crate `log`): see [`without_slot`](PerCpuBuffers::without_slot).
    ///
    /// # Errors
    /// [`Error::Syscall`] with the errno of [`EventArray::set`]. The errno is E2BIG if no CPU has a slot.
    #[doc(alias("bpf_map_update_elem", "BPF_MAP_UPDATE_ELEM"))]
    pub fn connect(&mut self, slots: &impl EventArray) -> Result<(), Error> {
        let mut without = Vec::new();
        let mut held = Vec::new();
        let mut first = None;
        for buffer in &mut self.buffers {
            let cpu = buffer.cpu();
            if let Ok(Some(Slot::Enabled(_) | Slot::Other)) = slots.query(cpu, 0) {
                held.push(cpu);
            }
            match buffer.connect(slots) {
                Err(error) if error.errno().is_some_and(|errno| errno.raw() == libc::E2BIG) => {
                    without.push(cpu);
                    first = first.or(Some(error));
                }
                result => result?,
            }
        }
        if let Some(error) = first.filter(|_| without.len() == self.buffers.len()) {
            return Err(error);
        }
        if !held.is_empty() {
            log::warn!(
                "the map's slots held the events of another reader, on CPU {}: that reader gets no records from now on",
                list(&held)
            );
        }
        self.buffers.retain(|buffer| !without.contains(&buffer.cpu()));
        self.go_without_slot(&without);
        Ok(())
    }

    /// Notes CPUs without a slot, and warns.
    pub(super) fn go_without_slot(&mut self, cpus: &[u32]) {
        let Some(last) = cpus.iter().max() else { return };
        log::warn!(
            "the map has no slot for CPU {}: samples of programs there are refused (E2BIG), and not counted; its max_entries must \
             be {} or more",
            list(cpus),
            last.saturating_add(1)
        );
        self.without_slot.extend(cpus);
    }

    /// Returns the CPUs without a slot in the map, because the map's `max_entries` is not above their ids. Such a CPU
    /// has no buffer, and the kernel refuses samples of programs on it (E2BIG). [`connect`](PerCpuBuffers::connect)
    /// finds these CPUs. [`refresh`](PerCpuBuffers::refresh) finds those that come online later.
    pub fn without_slot(&self) -> &[u32] {
        &self.without_slot
    }
}

pub(super) fn connect(cpu: u32, event: BorrowedFd<'_>, slots: &impl EventArray) -> Result<(), Error> {
    slots.set(cpu, event).map_err(|error| Error::slot(cpu, &error))
}

/// Formats CPUs for a message: `0, 2, 3`, at most 16 of them.
fn list(cpus: &[u32]) -> String {
    const SHOWN: usize = 16;
    let shown: Vec<String> = cpus.iter().take(SHOWN).map(u32::to_string).collect();
    match cpus.len().saturating_sub(SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}
