//! The elements of one map: look up, update, delete, walk.
//!
//! For these commands the kernel takes the lengths of key and value from the map, not from the caller, so a wrong length
//! here would make it read or write foreign memory. [`Elements`] therefore asks the kernel what the map is before it
//! lets anybody touch an element, and checks every slice against that answer.
#![expect(unsafe_code, reason = "hands addresses of keys and values to bpf(2)")]

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use super::{
    attr::{MapElem, MapInfo, Pointer},
    bpf::{self, Command, number},
};
use crate::cpus;

/// A map's descriptor with the lengths that the kernel uses for its elements.
#[derive(Debug)]
pub(crate) struct Elements {
    map: OwnedFd,
    info: MapInfo,
    /// Bytes that a lookup fills: the value, or for a per-CPU map one value, padded to 8, for each possible CPU.
    value_len: usize,
}

impl Elements {
    pub(crate) fn new(map: OwnedFd) -> io::Result<Self> {
        let info = bpf::map_info(
            map.as_fd(),
            "asks the kernel what the map is, so that its keys and values get their true lengths",
        )?;
        let size = info.value_size as usize;
        let value_len =
            if info.map_type.is_per_cpu() { size.next_multiple_of(8) * cpus::possible()?.len() } else { size };
        Ok(Self { map, info, value_len })
    }

    pub(crate) fn info(&self) -> &MapInfo {
        &self.info
    }

    /// Bytes of one lookup's answer.
    pub(crate) fn value_len(&self) -> usize {
        self.value_len
    }

    /// Copies the value of `key` into `value`; `false` if there is none.
    pub(crate) fn lookup(&self, key: &[u8], value: &mut [u8]) -> io::Result<bool> {
        self.check(key, value.len())?;
        let mut attr = MapElem {
            map_fd: number(self.map.as_fd()),
            key: Pointer::to(key),
            value: Pointer::to_mut(value),
            ..Default::default()
        };
        // SAFETY: `check` compared both slices with the lengths that the kernel uses for this map; both are borrowed
        // for the call, `value` mutably.
        found(unsafe { bpf::bpf(Command::MAP_LOOKUP_ELEM, &mut attr, "reads one value of a map") })
    }

    /// Sets the value of `key`.
    pub(crate) fn update(&self, key: &[u8], value: &[u8], flags: u64) -> io::Result<()> {
        self.check(key, value.len())?;
        let mut attr = MapElem {
            map_fd: number(self.map.as_fd()),
            key: Pointer::to(key),
            value: Pointer::to(value),
            flags,
            ..Default::default()
        };
        // SAFETY: as in `lookup`; the kernel only reads both.
        unsafe { bpf::bpf(Command::MAP_UPDATE_ELEM, &mut attr, "sets one value of a map") }.map(drop)
    }

    /// Removes `key`; `false` if it was not there.
    pub(crate) fn delete(&self, key: &[u8]) -> io::Result<bool> {
        self.check(key, self.value_len)?;
        let mut attr = MapElem { map_fd: number(self.map.as_fd()), key: Pointer::to(key), ..Default::default() };
        // SAFETY: as in `lookup`; the kernel reads the key alone.
        found(unsafe { bpf::bpf(Command::MAP_DELETE_ELEM, &mut attr, "removes one key of a map") })
    }

    /// Turns `key` into the key after it, the first one for `None`; `false` after the last.
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

    fn check(&self, key: &[u8], value_len: usize) -> io::Result<()> {
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

/// ENOENT is an answer here, not a failure.
fn found(answer: io::Result<i64>) -> io::Result<bool> {
    match answer {
        Ok(_) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(false),
        Err(error) => Err(error),
    }
}
