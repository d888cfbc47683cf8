//! Limits the guests that run at the same time, over all runs of this user: `cargo nextest` starts a run for each test,
//! as many as the machine has CPUs, and the guests of all must fit its memory.

use std::fs::{self, File};
use std::time::Duration;

use crate::cache::Cache;
use crate::error::{Error, Result};
use crate::interrupt;

/// QEMU's own memory beside the guest's, in MiB.
const OWN_MIB: u64 = 128;

/// Waits until a guest of this size fits the machine, and returns what holds its slot until it is dropped.
pub(crate) fn take(cache: &Cache, memory_mib: u64) -> Result<File> {
    let folder = cache.path("slots");
    fs::create_dir_all(&folder).map_err(Error::file("create", &folder))?;
    let slots = number(memory_of_this_machine(), memory_mib);
    loop {
        for slot in 0..slots {
            let path = folder.join(slot.to_string());
            let file = File::create(&path).map_err(Error::file("create", &path))?;
            if file.try_lock().is_ok() {
                return Ok(file);
            }
        }
        if interrupt::seen() {
            return Err(Error::Interrupted);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Returns the number of guests that fit three quarters of the memory: at least one.
fn number(machine_mib: u64, memory_mib: u64) -> u64 {
    (machine_mib * 3 / 4 / (memory_mib + OWN_MIB)).max(1)
}

fn memory_of_this_machine() -> u64 {
    let about = rustix::system::sysinfo();
    (about.totalram as u64 * u64::from(about.mem_unit)) >> 20
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guests_fit_the_memory() {
        assert_eq!(number(16_384, 512), 19);
        assert_eq!(number(1024, 2048), 1, "one guest runs in any case; QEMU reports what it lacks");
        assert!(memory_of_this_machine() > 64);
    }

    #[test]
    fn slot_is_free_again_when_it_is_dropped() {
        let root = tempfile::tempdir().unwrap();
        let cache = Cache::at(root.path()).unwrap();
        let huge = 1 << 30;
        drop(take(&cache, huge).unwrap());
        drop(take(&cache, huge).unwrap());
    }
}
