//! The elements of a map: look up, update, delete and walk, one or many at a time.
//!
//! For these commands the kernel takes the lengths of key and value from the map, not from the caller. A wrong length
//! here would make the kernel read or write beyond the slices. So [`Elements`] first reads the map's type and sizes
//! from the kernel, and checks every slice against them. For a per-CPU map, the kernel copies a value for each possible
//! CPU (`bpf_map_value_size` in `kernel/bpf/syscall.c`); the number of these CPUs is in sysfs. For a map type that this
//! crate does not know, the length is unknown, and every access is refused.
#![expect(unsafe_code, reason = "hands addresses of keys and values to bpf(2)")]

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use cutaway_sys::cpus;

#[cfg(feature = "elements")]
use super::attr::MapBatch;
use super::{
    attr::{MapElem, MapInfo, Pointer},
    bpf::{self, Command, bpf_logged, number},
    constant_names::{Hex, LoggedAs},
};

/// A command on many elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BatchCommand {
    Lookup,
    LookupAndDelete,
    Update,
    Delete,
}

/// A map's fd, with the lengths that the kernel uses for its elements.
#[derive(Debug)]
pub(crate) struct Elements {
    map: OwnedFd,
    info: MapInfo,
    /// Bytes that a lookup writes: the value; for a per-CPU map, one value padded to 8 bytes for each possible CPU.
    value_len: usize,
    /// For a per-CPU map the possible CPUs, ascending; otherwise empty.
    cpus: Vec<u32>,
}

impl Elements {
    pub(crate) fn new(map: OwnedFd) -> io::Result<Self> {
        let info = bpf::map_info(map.as_fd(), "reads the map's type and sizes, to check lengths of keys and values")?;
        let size = info.value_size as usize;
        let (value_len, cpus) = match info.map_type.is_per_cpu() {
            true => {
                let cpus = cpus::possible()?;
                let all = size.checked_next_multiple_of(8).and_then(|size| size.checked_mul(cpus.len()));
                (all.ok_or(io::ErrorKind::OutOfMemory)?, cpus)
            }
            false => (size, Vec::new()),
        };
        Ok(Self { map, info, value_len, cpus })
    }

    /// Returns the possible CPUs, ascending, for a per-CPU map: its values are in this order. Empty for other maps.
    pub(crate) fn cpus(&self) -> &[u32] {
        &self.cpus
    }

    pub(crate) fn info(&self) -> &MapInfo {
        &self.info
    }

    /// Returns the number of bytes that a lookup writes.
    pub(crate) fn value_len(&self) -> usize {
        self.value_len
    }

    /// Copies the value of `key` into `value`; returns false if there is none. With `BPF_F_CPU` the kernel writes only
    /// the start of `value`, but `value` has the length for all CPUs, because older kernels do not know that flag.
    pub(crate) fn lookup(&self, key: &[u8], value: &mut [u8], flags: u64) -> io::Result<bool> {
        self.check(key, value.len())?;
        let mut attr = MapElem {
            map_fd: number(self.map.as_fd()),
            key: Pointer::to(key),
            value: Pointer::to_mut(value),
            flags,
            ..Default::default()
        };
        // SAFETY: `check` compared both slices with the lengths that the kernel uses for this map; both are borrowed
        // for the call, `value` mutably.
        found(unsafe {
            bpf_logged(Command::MAP_LOOKUP_ELEM, &mut attr, &[("key", &Hex(key))], "reads one value of a map")
        })
    }

    /// Sets the value of `key`. `value` has the length for all CPUs, as in `lookup`.
    pub(crate) fn update(&self, key: &[u8], value: &[u8], flags: u64) -> io::Result<()> {
        self.check(key, value.len())?;
        let mut attr = MapElem {
            map_fd: number(self.map.as_fd()),
            key: Pointer::to(key),
            value: Pointer::to(value),
            flags,
            ..Default::default()
        };
        let logged: LoggedAs<'_> = &[("key", &Hex(key)), ("value", &Hex(value))];
        // SAFETY: as in `lookup`; the kernel only reads both.
        unsafe { bpf_logged(Command::MAP_UPDATE_ELEM, &mut attr, logged, "sets one value of a map") }.map(drop)
    }

    /// Removes `key`; returns false if it does not exist.
    pub(crate) fn delete(&self, key: &[u8]) -> io::Result<bool> {
        self.check(key, self.value_len)?;
        let mut attr = MapElem { map_fd: number(self.map.as_fd()), key: Pointer::to(key), ..Default::default() };
        // SAFETY: as in `lookup`; the kernel reads the key alone.
        found(unsafe {
            bpf_logged(Command::MAP_DELETE_ELEM, &mut attr, &[("key", &Hex(key))], "removes one key of a map")
        })
    }

    /// Writes the key after `key` to `next`, the first key for `None`; returns false after the last.
    pub(crate) fn next_key(&self, key: Option<&[u8]>, next: &mut [u8]) -> io::Result<bool> {
        self.check(key.unwrap_or(next), self.value_len)?;
        self.check(next, self.value_len)?;
        let mut attr = MapElem {
            map_fd: number(self.map.as_fd()),
            key: key.map_or_else(Pointer::default, Pointer::to),
            value: Pointer::to_mut(next),
            ..Default::default()
        };
        // SAFETY: both slices have the map's key length; a null key is the kernel's "from the start" (4.12).
        found(unsafe { bpf::bpf(Command::MAP_GET_NEXT_KEY, &mut attr, "walks to the next key of a map") })
    }

    /// Copies the value of `key` into `value` and removes it; returns false if there is none.
    pub(crate) fn lookup_and_delete(&self, key: &[u8], value: &mut [u8], flags: u64) -> io::Result<bool> {
        self.check(key, value.len())?;
        let mut attr = MapElem {
            map_fd: number(self.map.as_fd()),
            key: Pointer::to(key),
            value: Pointer::to_mut(value),
            flags,
            ..Default::default()
        };
        // SAFETY: as in `lookup`.
        found(unsafe {
            bpf::bpf(Command::MAP_LOOKUP_AND_DELETE_ELEM, &mut attr, "reads and removes one element of a map")
        })
    }

    /// Performs `command` on up to `count` elements. `position` is the position at which an earlier call stopped;
    /// `next` receives the position of this call. Commands that only take keys or elements need neither.
    ///
    /// Returns the number of processed elements, and the error that stopped the call, if any: ENOENT after the last
    /// element. With `BPF_F_CPU` or `BPF_F_ALL_CPUS` in `elem_flags`, the kernel uses only the start of `values`, where
    /// the values follow each other without padding.
    #[cfg(feature = "elements")]
    pub(crate) fn batch(
        &self,
        command: BatchCommand,
        position: Option<&[u8]>,
        next: &mut [u8],
        (keys, values): (&mut [u8], &mut [u8]),
        count: usize,
        elem_flags: u64,
    ) -> io::Result<(usize, Option<io::Error>)> {
        self.check_kind()?;
        let key_size = self.info.key_size as usize;
        let (code, walks, has_values, why) = match command {
            BatchCommand::Lookup => (Command::MAP_LOOKUP_BATCH, true, true, "reads many elements of a map at once"),
            BatchCommand::LookupAndDelete => {
                (Command::MAP_LOOKUP_AND_DELETE_BATCH, true, true, "reads and removes many elements of a map at once")
            }
            BatchCommand::Update => (Command::MAP_UPDATE_BATCH, false, true, "sets many elements of a map at once"),
            BatchCommand::Delete => (Command::MAP_DELETE_BATCH, false, false, "removes many keys of a map at once"),
        };
        let positions = if walks { key_size.max(size_of::<u32>()) } else { 0 };
        let fits = keys.len() == count.saturating_mul(key_size)
            && values.len() == if has_values { count.saturating_mul(self.value_len) } else { 0 }
            && next.len() == positions
            && position.is_none_or(|position| position.len() == positions);
        if !fits {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the number of keys or values is wrong"));
        }
        let mut attr = MapBatch {
            in_batch: position.map_or_else(Pointer::default, Pointer::to),
            out_batch: Pointer::to_mut(next),
            keys: Pointer::to_mut(keys),
            values: Pointer::to_mut(values),
            count: bpf::length(count)?,
            map_fd: number(self.map.as_fd()),
            elem_flags,
            ..Default::default()
        };
        // SAFETY: `fits` has compared the slices with `count` and the lengths that the kernel uses for this map; a
        // position takes the bytes of a key, or of a u32 in hashes. All are borrowed for the call, mutably where it
        // writes.
        let error = unsafe { bpf::bpf(code, &mut attr, why) }.err();
        // If the kernel fails early, it leaves `count` unchanged.
        let stopped = error.as_ref().and_then(io::Error::raw_os_error);
        let early = matches!(stopped, Some(errno) if errno != libc::ENOENT && attr.count as usize >= count);
        let done = if early { 0 } else { (attr.count as usize).min(count) };
        Ok((done, error))
    }

    /// Checks the lengths of a key and a value.
    pub(crate) fn check_lengths(&self, key: &[u8], value: &[u8]) -> io::Result<()> {
        self.check(key, value.len())
    }

    /// Checks the length of a key.
    pub(crate) fn check_key(&self, key: &[u8]) -> io::Result<()> {
        self.check(key, self.value_len)
    }

    /// Fails if it is unknown how many bytes the kernel copies for an element of this type of map.
    fn check_kind(&self) -> io::Result<()> {
        match self.info.map_type.name() {
            Some(_) => Ok(()),
            None => Err(io::Error::new(
                io::ErrorKind::Unsupported,
                format!(
                    "the length of its values is unknown: its type ({}) is newer than this crate",
                    self.info.map_type
                ),
            )),
        }
    }

    fn check(&self, key: &[u8], value_len: usize) -> io::Result<()> {
        self.check_kind()?;
        if key.len() == self.info.key_size as usize && value_len == self.value_len {
            return Ok(());
        }
        Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!(
                "the map has keys of {} bytes and values of {}; {} and {value_len} were given",
                self.info.key_size,
                self.value_len,
                key.len(),
            ),
        ))
    }
}

impl AsFd for Elements {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.map.as_fd()
    }
}

/// Converts ENOENT to false: here it is no failure.
fn found(answer: io::Result<i64>) -> io::Result<bool> {
    match answer {
        Ok(_) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(all(test, feature = "elements"))]
mod tests {
    use std::fs::File;

    use super::*;
    use crate::MapType;

    /// For an unknown map type the kernel might copy several values, as for per-CPU maps.
    #[test]
    fn elements_of_unknown_map_types_are_refused() {
        let info = |map_type| MapInfo { map_type, key_size: 4, value_size: 8, max_entries: 1, ..MapInfo::default() };
        for (map_type, known) in [(MapType(4711), false), (MapType(u32::MAX), false), (MapType::ARRAY, true)] {
            // For an fd that is no map, the kernel returns EBADF or EINVAL.
            let map = File::open("/dev/null").unwrap().into();
            let elements = Elements { map, info: info(map_type), value_len: 8, cpus: Vec::new() };
            let (mut key, mut value, mut next) = ([0; 4], [0; 8], [0; 4]);
            let answers = [
                elements.lookup(&key, &mut value, 0).err(),
                elements.update(&key, &value, 0).err(),
                elements.delete(&key).err(),
                elements.lookup_and_delete(&key, &mut value, 0).err(),
                elements.batch(BatchCommand::Lookup, None, &mut next, (&mut key, &mut value), 1, 0).err(),
            ];
            let refused = answers.iter().flatten().filter(|error| error.kind() == io::ErrorKind::Unsupported).count();
            assert_eq!(refused, if known { 0 } else { answers.len() }, "{map_type}: {answers:?}");
        }
    }
}
