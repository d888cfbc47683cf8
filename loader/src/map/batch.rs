//! Reads and writes many elements by one system call: `BPF_MAP_LOOKUP_BATCH` and its relatives (Linux 5.6; later
//! releases support more map types).
//!
//! ```text
//!     entries()        position ──▶ kernel ──▶ keys, values and the next position …  until ENOENT
//!     drain_entries()   the same; each returned element is deleted from the map
//!     update_batch(), delete_batch()       all in one call
//! ```
//!
//! If the kernel has no such command for a map type, the elements are accessed one at a time, and the log says so. A
//! position is opaque: for hashes it is a bucket index, and the kernel returns whole buckets. Other processes and
//! programs change the map meanwhile, so the result is not a snapshot.

use std::{io, slice::ChunksExact};

use log::debug;

use cutaway_sys::errno::ENOTSUPP;

use super::{Map, single::PerCpu};
use crate::{Error, LookupFlags, UpdateFlags, sys::elements::BatchCommand};

/// Some of a map's keys with their values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entries {
    keys: Vec<u8>,
    values: Vec<u8>,
    key_size: usize,
    value_size: usize,
}

impl Entries {
    /// Returns the number of elements.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len() / self.key_size.max(1)
    }

    /// Returns true if there are no elements.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Iterates over the keys with their values, in the kernel's order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&[u8], &[u8])> {
        chunks(&self.keys, self.key_size).zip(chunks(&self.values, self.value_size))
    }
}

/// Splits bytes into chunks of the same size.
fn chunks(bytes: &[u8], size: usize) -> ChunksExact<'_, u8> {
    bytes.chunks_exact(size.max(1))
}

/// An iterator over the elements of a map, which returns many of them at a time.
#[doc(alias("BPF_MAP_LOOKUP_BATCH", "BPF_MAP_LOOKUP_AND_DELETE_BATCH"))]
#[derive(Debug)]
#[must_use = "no element is read before `next`"]
pub struct Batches<'m> {
    map: &'m Map,
    take: bool,
    count: usize,
    flags: LookupFlags,
    state: State,
    /// How often it may still start again because its position was lost.
    restarts: u32,
}

#[derive(Debug)]
enum State {
    Start,
    /// After this position, which the kernel returned.
    Behind(Vec<u8>),
    /// The kernel has no such command: one element at a time, after this key.
    OneByOne(Option<Vec<u8>>),
    Ended,
}

impl Batches<'_> {
    /// Returns at most `count` elements at a time, unless a bucket of the kernel holds more. The default is about 256
    /// KiB at a time.
    pub fn at_most(self, count: usize) -> Self {
        Self { count: count.clamp(1, self.map.most_at_a_time()), ..self }
    }

    /// Sets flags of the lookups: [`LookupFlags::LOCK`] reads each value while holding its `bpf_spin_lock`,
    /// [`LookupFlags::cpu`] reads the values of one CPU of a per-CPU map (Linux 7.0). Those values have the size that
    /// the map was created with, without padding.
    pub fn with(self, flags: LookupFlags) -> Self {
        Self { flags, ..self }
    }

    fn command(&self) -> BatchCommand {
        if self.take { BatchCommand::LookupAndDelete } else { BatchCommand::Lookup }
    }

    /// Returns the next elements; none at the end.
    fn piece(&mut self) -> Result<Entries, Error> {
        loop {
            let position = match &self.state {
                State::Start => None,
                State::Behind(position) => Some(position.clone()),
                State::OneByOne(_) => return self.one_by_one(),
                State::Ended => return Ok(self.map.entries_of(0)),
            };
            self.map.check_keyed(self.attempt())?;
            self.map.check_cpu(self.flags.contains(LookupFlags::CPU), self.attempt())?;
            let mut entries = self.map.entries_of(self.count);
            let mut next = vec![0; self.map.key_size().max(4)];
            let answer = self.map.elements.batch(
                self.command(),
                position.as_deref(),
                &mut next,
                (&mut entries.keys, &mut entries.values),
                self.count,
                self.flags.bits(),
            );
            let (count, error) = answer.map_err(|error| self.failed(&error))?;
            match error.as_ref().and_then(io::Error::raw_os_error) {
                None => self.state = State::Behind(next),
                Some(libc::ENOENT) => self.state = State::Ended,
                // A bucket does not fit into the buffers.
                Some(libc::ENOSPC) if self.count < 1 << 24 => {
                    self.count *= 2;
                    continue;
                }
                // The position is the next element, and it was removed meanwhile (`RHASH`).
                Some(libc::EAGAIN) if matches!(self.state, State::Behind(_)) && self.restarts > 0 => {
                    debug!("the position in the map `{}` was removed: its elements are read again", self.map.name);
                    (self.state, self.restarts) = (State::Start, self.restarts - 1);
                    continue;
                }
                // The kernel refuses flags for single CPUs there for the same reasons as here.
                Some(libc::EINVAL | libc::EOPNOTSUPP | ENOTSUPP)
                    if matches!(self.state, State::Start) && !self.flags.contains(LookupFlags::CPU) =>
                {
                    debug!("the kernel returns the elements of the map `{}` only one at a time", self.map.name);
                    self.state = State::OneByOne(None);
                    continue;
                }
                Some(_) => return Err(self.failed(&error.unwrap_or_else(|| io::ErrorKind::Other.into()))),
            }
            entries.keys.truncate(count * entries.key_size);
            entries.value_size = self.map.distance(self.flags.contains(LookupFlags::CPU));
            entries.values.truncate(count * entries.value_size);
            if !entries.is_empty() || matches!(self.state, State::Ended) {
                return Ok(entries);
            }
        }
    }

    /// Does the same by a system call for each element.
    fn one_by_one(&mut self) -> Result<Entries, Error> {
        let mut entries = self.map.entries_of(0);
        let State::OneByOne(last) = &mut self.state else { return Ok(entries) };
        let mut key = vec![0; self.map.key_size()];
        while entries.len() < self.count {
            // Earlier elements are deleted, so the next one is the first.
            let before = if self.take { None } else { last.as_deref() };
            let there = self.map.elements.next_key(before, &mut key);
            let value = there.map_err(|error| self.map.failed("walk the keys of", &error)).and_then(|there| {
                Ok(match (there, self.take) {
                    (false, _) => None,
                    (true, true) => Some(self.map.lookup_and_delete_with(&key, self.flags)?),
                    (true, false) => Some(self.map.lookup_with(&key, self.flags)?),
                })
            });
            let value = match value {
                Ok(Some(value)) => value,
                Ok(None) => {
                    self.state = State::Ended;
                    break;
                }
                // Those that were taken before are in the map no longer. The next call fails again.
                Err(_) if !entries.is_empty() => break,
                Err(error) => return Err(error),
            };
            // The element may have been deleted since.
            if let Some(value) = value {
                entries.keys.extend_from_slice(&key);
                entries.values.extend_from_slice(&value);
            }
            *last = Some(key.clone());
        }
        Ok(entries)
    }

    fn failed(&self, error: &io::Error) -> Error {
        self.map.explain_flags(self.map.failed(self.attempt(), error), self.flags.bits())
    }

    fn attempt(&self) -> &'static str {
        if self.take { "take elements from" } else { "look up elements of" }
    }
}

impl Iterator for Batches<'_> {
    type Item = Result<Entries, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.piece() {
            Ok(entries) if entries.is_empty() => None,
            Ok(entries) => Some(Ok(entries)),
            Err(error) => {
                self.state = State::Ended;
                Some(Err(error))
            }
        }
    }
}

impl Map {
    /// Iterates over all elements, many at a time: by `BPF_MAP_LOOKUP_BATCH` (Linux 5.6, for per-CPU arrays 5.13), or
    /// one at a time where the kernel has no such command.
    ///
    /// Programs and other processes may change the map meanwhile. If they remove the element from which the kernel goes
    /// on, elements of an `RHASH`, and of a map whose elements are read one at a time, are returned twice.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), cutaway::Error> {
    /// # let map = cutaway::Map::from_pin("/sys/fs/bpf/counts")?;
    /// for entries in map.entries() {
    ///     for (key, value) in entries?.iter() {
    ///         println!("{key:02x?} {value:02x?}");
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    #[doc(alias("BPF_MAP_LOOKUP_BATCH", "bpf_map_lookup_batch"))]
    pub fn entries(&self) -> Batches<'_> {
        self.batches(false)
    }

    /// Returns the elements like [`Map::entries`], but deletes each returned element from the map:
    /// `BPF_MAP_LOOKUP_AND_DELETE_BATCH` (hashes; Linux 5.6), or [`Map::lookup_and_delete`] one by one. Elements after
    /// the last call of `next` stay in the map.
    #[doc(alias("BPF_MAP_LOOKUP_AND_DELETE_BATCH", "bpf_map_lookup_and_delete_batch"))]
    pub fn drain_entries(&self) -> Batches<'_> {
        self.batches(true)
    }

    fn batches(&self, take: bool) -> Batches<'_> {
        const BYTES: usize = 256 << 10;
        /// Each time, a program or process must have removed the one element that is next.
        const RESTARTS: u32 = 100;
        let count = BYTES / (self.key_size() + self.value_size()).max(1);
        let count = count.clamp(1, self.most_at_a_time().min(4096));
        Batches { map: self, take, count, flags: LookupFlags::empty(), state: State::Start, restarts: RESTARTS }
    }

    /// Returns the highest number of elements that one call can return, with one more, so that the kernel sees the end:
    /// a buffer for others would only take memory.
    fn most_at_a_time(&self) -> usize {
        (self.max_entries() as usize).saturating_add(1).min(1 << 20)
    }

    /// Allocates buffers for `count` elements.
    fn entries_of(&self, count: usize) -> Entries {
        let (key_size, value_size) = (self.key_size(), self.value_size());
        Entries { keys: vec![0; count * key_size], values: vec![0; count * value_size], key_size, value_size }
    }

    /// Sets the values of many keys, existing ones or new ones: by `BPF_MAP_UPDATE_BATCH` (Linux 5.6), or one at a
    /// time.
    ///
    /// # Errors
    ///
    /// As [`Map::update`]; the error says how many have been set before it.
    #[doc(alias("BPF_MAP_UPDATE_BATCH", "bpf_map_update_batch"))]
    pub fn update_batch<'e>(&self, entries: impl IntoIterator<Item = (&'e [u8], &'e [u8])>) -> Result<(), Error> {
        self.update_batch_with(entries, UpdateFlags::ANY)
    }

    /// Sets the values of many keys like [`Map::update_batch`], with the flags of [`Map::update_with`].
    ///
    /// # Errors
    ///
    /// As [`Map::update_with`]; the error says how many have been set before it. If the kernel refuses `NOEXIST` or
    /// `EXIST` in a batch (EINVAL), the elements are set one at a time.
    #[doc(alias("BPF_MAP_UPDATE_BATCH", "elem_flags"))]
    pub fn update_batch_with<'e>(
        &self,
        entries: impl IntoIterator<Item = (&'e [u8], &'e [u8])>,
        flags: UpdateFlags,
    ) -> Result<(), Error> {
        const ATTEMPT: &str = "set values in";
        let one = flags.intersects(UpdateFlags::CPU | UpdateFlags::ALL_CPUS);
        self.check_cpu(one, ATTEMPT)?;
        let mut all = Entries { value_size: self.distance(one), ..self.entries_of(0) };
        for (key, value) in entries {
            if one {
                self.check_one(value, ATTEMPT)?;
            }
            let checked = if one { self.elements.check_key(key) } else { self.elements.check_lengths(key, value) };
            checked.map_err(|error| self.failed(ATTEMPT, &error))?;
            all.keys.extend_from_slice(key);
            all.values.extend_from_slice(value);
        }
        let count = all.len();
        if count == 0 {
            return Ok(());
        }
        // The buffer has the length for all CPUs: an older kernel does not know the flags for single ones.
        let used = all.values.len();
        all.values.resize(count * self.value_size(), 0);
        let values = (all.keys.as_mut_slice(), all.values.as_mut_slice());
        let failed = |done, error: &io::Error| {
            let attempt = format!("set more than {done} of {count} values in");
            self.explain_flags(self.failed(&attempt, error), flags.bits())
        };
        let answer = self.elements.batch(BatchCommand::Update, None, &mut [], values, count, flags.bits());
        let (done, error) = answer.map_err(|error| failed(0, &error))?;
        let Some(error) = error else { return Ok(()) };
        if one || !(done == 0 && is_unknown(&error)) {
            return Err(failed(done, &error));
        }
        all.values.truncate(used);
        for (done, (key, value)) in all.iter().enumerate() {
            self.elements.update(key, value, flags.bits()).map_err(|error| failed(done, &error))?;
        }
        Ok(())
    }

    /// Returns the distance between the values of a batch: with a flag for single CPUs, without those of other CPUs.
    fn distance(&self, one: bool) -> usize {
        if one { self.elements.info().value_size as usize } else { self.value_size() }
    }

    /// Removes many keys and returns how many of them existed: by `BPF_MAP_DELETE_BATCH` (hashes; Linux 5.6), or one at
    /// a time.
    ///
    /// # Errors
    ///
    /// As [`Map::delete`]; some may have been removed before it.
    #[doc(alias("BPF_MAP_DELETE_BATCH", "bpf_map_delete_batch"))]
    pub fn delete_batch<'k>(&self, keys: impl IntoIterator<Item = &'k [u8]>) -> Result<usize, Error> {
        let mut all = Vec::new();
        for key in keys {
            self.elements.check_key(key).map_err(|error| self.failed("remove keys from", &error))?;
            all.extend_from_slice(key);
        }
        let size = self.key_size().max(1);
        let (mut removed, mut start) = (0, 0);
        while let Some(rest) = all.get_mut(start * size..).filter(|rest| !rest.is_empty()) {
            let count = rest.len() / size;
            let answer = self.elements.batch(BatchCommand::Delete, None, &mut [], (rest, &mut []), count, 0);
            let (done, error) = answer.map_err(|error| self.failed("remove keys from", &error))?;
            removed += done;
            start += done;
            match error {
                None => break,
                // The kernel stops at a key that does not exist.
                Some(error) if error.raw_os_error() == Some(libc::ENOENT) => start += 1,
                Some(error) if done == 0 && removed == 0 && is_unknown(&error) => {
                    for key in chunks(all.get(start * size..).unwrap_or_default(), size) {
                        removed += usize::from(self.delete(key)?);
                    }
                    break;
                }
                Some(error) => return Err(self.failed("remove keys from", &error)),
            }
        }
        Ok(removed)
    }

    /// Removes `key` and returns its value; `None` if it does not exist. For a queue or stack, with an empty key, it
    /// returns the next value (Linux 4.20). For hashes this is atomic since 5.14; on older kernels a change between
    /// lookup and removal is lost.
    ///
    /// # Errors
    ///
    /// As [`Map::lookup`] and [`Map::delete`].
    #[doc(alias("BPF_MAP_LOOKUP_AND_DELETE_ELEM", "bpf_map__lookup_and_delete_elem"))]
    pub fn lookup_and_delete(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        self.lookup_and_delete_with(key, LookupFlags::empty())
    }

    /// Removes `key` and returns its value like [`Map::lookup_and_delete`], with flags: [`LookupFlags::LOCK`] reads the
    /// value while holding its `bpf_spin_lock` (hashes; Linux 5.14).
    ///
    /// # Errors
    ///
    /// As [`Map::lookup_with`] and [`Map::delete`]; EINVAL for [`LookupFlags::CPU`], which this command does not have.
    #[doc(alias("BPF_MAP_LOOKUP_AND_DELETE_ELEM", "bpf_map_lookup_and_delete_elem_flags"))]
    pub fn lookup_and_delete_with(&self, key: &[u8], flags: LookupFlags) -> Result<Option<Vec<u8>>, Error> {
        let mut value = vec![0; self.value_size()];
        match self.elements.lookup_and_delete(key, &mut value, flags.bits()) {
            Ok(found) => Ok(found.then_some(value)),
            Err(error) if is_unknown(&error) && flags.is_empty() && self.key_size() != 0 => {
                let value = self.lookup(key)?;
                // If another process or program has removed it first, that one has the value.
                Ok(if value.is_some() && self.delete(key)? { value } else { None })
            }
            Err(error) => Err(self.explain_flags(self.failed("take a value from", &error), flags.bits())),
        }
    }

    /// Sets the values of `key` in a per-CPU map: one value for each possible CPU.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if the map is not per-CPU, or a CPU has no value or one of a wrong length; otherwise as
    /// [`Map::update`].
    #[doc(alias("bpf_map_update_elem", "BPF_MAP_UPDATE_ELEM"))]
    pub fn update_per_cpu(&self, key: &[u8], values: &PerCpu) -> Result<(), Error> {
        let unfit = |why: String| Error::Invalid {
            operation: format!("set a value for each CPU in the map `{}`", self.name),
            why,
        };
        if !self.map_type().is_per_cpu() {
            return Err(unfit(format!("it is a {}, which has one value for all CPUs", self.map_type())));
        }
        let size = self.elements.info().value_size as usize;
        let mut all = Vec::with_capacity(self.value_size());
        for &cpu in self.elements.cpus() {
            let value = values.iter().find(|(known, _)| *known == cpu).map(|(_, value)| value);
            let value = value.ok_or_else(|| unfit(format!("there is no value for CPU {cpu}")))?;
            if value.len() != size {
                let length = value.len();
                return Err(unfit(format!("its values have {size} bytes each, and that for CPU {cpu} has {length}")));
            }
            all.extend_from_slice(value);
            all.resize(all.len().next_multiple_of(8), 0);
        }
        self.update(key, &all)
    }
}

/// Returns true if the kernel does not have the command, or not for this map type.
fn is_unknown(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EINVAL | libc::EOPNOTSUPP | ENOTSUPP))
}
