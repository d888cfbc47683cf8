//! Keys and values of a map as Rust types: [`TypedMap`].

use std::{any::type_name, marker::PhantomData, vec};

use super::{
    Map,
    batch::{Batches, Entries},
    single::{PerCpu, per_cpu},
};
use crate::{Error, LookupFlags, Pod, UpdateFlags, object::bytes_of};

/// A map whose keys and values are read and written as Rust types: see [`Map::typed`].
///
/// `Send` and `Sync`. Borrows the map.
///
/// Needs this crate's feature `elements`.
#[doc(alias(
    "HashMap",
    "Array",
    "PerCpuHashMap",
    "PerCpuArray",
    "LruHashMap",
    "LpmTrie",
    "Queue",
    "Stack",
    "BloomFilter"
))]
#[derive(Debug)]
pub struct TypedMap<'m, K, V> {
    map: &'m Map,
    types: PhantomData<fn() -> (K, V)>,
}

impl<K, V> Clone for TypedMap<'_, K, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K, V> Copy for TypedMap<'_, K, V> {}

impl Map {
    /// Returns the map with keys of the type `K` and values of the type `V`, if these have the sizes of its keys and
    /// values. The types themselves are the caller's: `u64` and `[u8; 8]` fit the same map.
    ///
    /// Arrays have keys of the type `u32`; queues, stacks and Bloom filters have no key, so `K` is `()`. For a per-CPU
    /// map, `V` is the type of one CPU's value. Values that are maps, programs or sockets are `u32` (their fds in an
    /// update, their ids in a lookup).
    ///
    /// ```no_run
    /// # fn main() -> Result<(), cutaway::Error> {
    /// # let loaded = cutaway::Object::parse(&[])?.load()?;
    /// let calls = loaded.map("calls")?.typed::<u32, u64>()?; // BPF_MAP_TYPE_HASH: u32 pid to u64 count
    /// calls.set(&4321, &0)?;
    /// for element in calls.iter() {
    ///     let (pid, count) = element?;
    ///     println!("{pid}: {count} calls");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`], with the sizes, if `K` or `V` does not fit.
    #[doc(alias("HashMap::try_from", "Array::try_from"))]
    pub fn typed<K: Pod, V: Pod>(&self) -> Result<TypedMap<'_, K, V>, Error> {
        let value_size = self.elements.info().value_size as usize;
        let parts =
            [("keys", self.key_size(), K::SIZE, type_name::<K>()), ("values", value_size, V::SIZE, type_name::<V>())];
        match parts.into_iter().find(|(_, theirs, ours, _)| theirs != ours) {
            None => Ok(TypedMap { map: self, types: PhantomData }),
            Some((what, theirs, ours, name)) => {
                let why = format!("its {what} have {theirs} bytes, and `{name}` has {ours}");
                Err(self.unfit(&format!("read and write as `{name}` the {what} of"), why))
            }
        }
    }
}

impl<'m, K: Pod, V: Pod> TypedMap<'m, K, V> {
    /// Returns the map, for access by bytes.
    #[must_use]
    pub fn map(&self) -> &'m Map {
        self.map
    }

    /// Returns the value of `key`; `None` if the key does not exist.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if the map is per-CPU ([`TypedMap::get_per_cpu`]), or if the bytes in the map are not a value
    /// of the type `V`; otherwise as [`Map::lookup`].
    #[doc(alias("BPF_MAP_LOOKUP_ELEM", "Map.Lookup"))]
    pub fn get(&self, key: &K) -> Result<Option<V>, Error> {
        self.get_with(key, LookupFlags::empty())
    }

    /// Returns the value of `key`; `default` if the key does not exist.
    ///
    /// # Errors
    ///
    /// As [`TypedMap::get`].
    pub fn get_or(&self, key: &K, default: V) -> Result<V, Error> {
        Ok(self.get(key)?.unwrap_or(default))
    }

    /// Returns the value of `key` like [`TypedMap::get`], with the flags of [`Map::lookup_with`]. With
    /// [`LookupFlags::cpu`] it returns one CPU's value of a per-CPU map (Linux 7.0).
    ///
    /// # Errors
    ///
    /// As [`TypedMap::get`] and [`Map::lookup_with`].
    pub fn get_with(&self, key: &K, flags: LookupFlags) -> Result<Option<V>, Error> {
        if !flags.contains(LookupFlags::CPU) {
            self.check_one_value("look up a key in")?;
        }
        self.map.lookup_with(&bytes_of(key), flags)?.map(|bytes| self.value(&bytes)).transpose()
    }

    /// Sets the value of `key`, and adds the key if it does not exist.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if the map is per-CPU ([`TypedMap::set_per_cpu`], [`TypedMap::set_all_cpus`]); otherwise as
    /// [`Map::update`].
    #[doc(alias("BPF_MAP_UPDATE_ELEM", "Map.Put", "insert"))]
    pub fn set(&self, key: &K, value: &V) -> Result<(), Error> {
        self.set_with(key, value, UpdateFlags::ANY)
    }

    /// Sets the value of `key` like [`TypedMap::set`], with the flags of [`Map::update_with`]. With
    /// [`UpdateFlags::cpu`] or [`UpdateFlags::ALL_CPUS`] it sets one CPU's value, or those of all CPUs, in a per-CPU
    /// map (Linux 7.0).
    ///
    /// # Errors
    ///
    /// As [`TypedMap::set`] and [`Map::update_with`].
    #[doc(alias("BPF_NOEXIST", "BPF_EXIST", "Map.Update"))]
    pub fn set_with(&self, key: &K, value: &V, flags: UpdateFlags) -> Result<(), Error> {
        if !flags.intersects(UpdateFlags::CPU | UpdateFlags::ALL_CPUS) {
            self.check_one_value("set a value in")?;
        }
        self.map.update_with(&bytes_of(key), &bytes_of(value), flags)
    }

    /// Sets the values of many keys by few system calls ([`Map::update_batch`]).
    ///
    /// # Errors
    ///
    /// As [`TypedMap::set`] and [`Map::update_batch`].
    #[doc(alias("BPF_MAP_UPDATE_BATCH", "Map.BatchUpdate", "extend"))]
    pub fn set_many(&self, elements: impl IntoIterator<Item = (K, V)>) -> Result<(), Error> {
        self.check_one_value("set values in")?;
        let all: Vec<_> = elements.into_iter().map(|(key, value)| (bytes_of(&key), bytes_of(&value))).collect();
        self.map.update_batch(all.iter().map(|(key, value)| (key.as_slice(), value.as_slice())))
    }

    /// Removes `key`. Returns true if the key existed.
    ///
    /// # Errors
    ///
    /// As [`Map::delete`].
    #[doc(alias("BPF_MAP_DELETE_ELEM", "Map.Delete"))]
    pub fn remove(&self, key: &K) -> Result<bool, Error> {
        self.map.delete(&bytes_of(key))
    }

    /// Removes many keys by few system calls ([`Map::delete_batch`]), and returns how many of them existed.
    ///
    /// # Errors
    ///
    /// As [`Map::delete_batch`].
    #[doc(alias("BPF_MAP_DELETE_BATCH", "Map.BatchDelete"))]
    pub fn remove_many(&self, keys: impl IntoIterator<Item = K>) -> Result<usize, Error> {
        let all: Vec<_> = keys.into_iter().map(|key| bytes_of(&key)).collect();
        self.map.delete_batch(all.iter().map(Vec::as_slice))
    }

    /// Removes `key` and returns its value; `None` if it does not exist.
    ///
    /// # Errors
    ///
    /// As [`TypedMap::get`] and [`Map::lookup_and_delete`].
    #[doc(alias("BPF_MAP_LOOKUP_AND_DELETE_ELEM", "Map.LookupAndDelete"))]
    pub fn take(&self, key: &K) -> Result<Option<V>, Error> {
        self.check_one_value("take a value from")?;
        self.map.lookup_and_delete(&bytes_of(key))?.map(|bytes| self.value(&bytes)).transpose()
    }

    /// Iterates over the keys, one system call each ([`Map::keys`]).
    ///
    /// # Errors
    ///
    /// An item is an error as in [`Map::keys`], or [`Error::Invalid`] if the bytes are not a key of the type `K`.
    #[doc(alias("BPF_MAP_GET_NEXT_KEY", "bpf_map__get_next_key"))]
    pub fn keys(&self) -> impl Iterator<Item = Result<K, Error>> + use<'m, K, V> {
        let this = *self;
        self.map.keys().map(move |key| this.key(&key?))
    }

    /// Iterates over the elements. Many are read by one system call ([`Map::entries`]), so the result is not a
    /// snapshot: programs and other processes change the map meanwhile.
    ///
    /// # Errors
    ///
    /// An item is an error as in [`TypedMap::get`]. Bytes that are not of the type `K` or `V` do not end the iteration;
    /// other errors do.
    #[doc(alias("BPF_MAP_LOOKUP_BATCH", "Map.Iterate"))]
    pub fn iter(&self) -> impl Iterator<Item = Result<(K, V), Error>> + use<'m, K, V> {
        self.walk(self.map.entries())
    }

    /// Iterates over the elements like [`TypedMap::iter`], and removes them from the map, many at a time
    /// ([`Map::drain_entries`]). Elements that were read by the same system call are removed even if the iterator is
    /// dropped before them.
    ///
    /// # Errors
    ///
    /// As [`TypedMap::iter`] and [`Map::drain_entries`].
    #[doc(alias("BPF_MAP_LOOKUP_AND_DELETE_BATCH", "Map.BatchLookupAndDelete"))]
    pub fn drain(&self) -> impl Iterator<Item = Result<(K, V), Error>> + use<'m, K, V> {
        self.walk(self.map.drain_entries())
    }

    fn walk(&self, batches: Batches<'m>) -> impl Iterator<Item = Result<(K, V), Error>> + use<'m, K, V> {
        let this = *self;
        let checked = self.check_one_value("look up elements of");
        elements(batches, checked, move |key, value| Ok((this.key(key)?, this.value(value)?)))
    }

    /// Returns the values of `key` in a per-CPU map, one for each possible CPU; `None` if the key does not exist.
    ///
    /// # Errors
    ///
    /// As [`Map::lookup_per_cpu`]. [`Error::Invalid`] if the bytes of a CPU are not a value of the type `V`.
    #[doc(alias("PerCpuHashMap", "PerCpuArray"))]
    pub fn get_per_cpu(&self, key: &K) -> Result<Option<PerCpu<V>>, Error> {
        let Some(values) = self.map.lookup_per_cpu(&bytes_of(key))? else { return Ok(None) };
        values.into_iter().map(|(cpu, bytes)| Ok((cpu, self.value(&bytes)?))).collect::<Result<_, _>>().map(Some)
    }

    /// Sets the values of `key` in a per-CPU map: one for each possible CPU.
    ///
    /// # Errors
    ///
    /// As [`Map::update_per_cpu`].
    #[doc(alias("PerCpuHashMap", "PerCpuArray"))]
    pub fn set_per_cpu(&self, key: &K, values: &[(u32, V)]) -> Result<(), Error> {
        let values: PerCpu = values.iter().map(|(cpu, value)| (*cpu, bytes_of(value))).collect();
        self.map.update_per_cpu(&bytes_of(key), &values)
    }

    /// Sets the values of `key` on all possible CPUs to the same value, on every kernel.
    ///
    /// # Errors
    ///
    /// As [`Map::update_per_cpu`].
    #[doc(alias = "BPF_F_ALL_CPUS")]
    pub fn set_all_cpus(&self, key: &K, value: &V) -> Result<(), Error> {
        let bytes = bytes_of(value);
        let values = self.map.elements.cpus().iter().map(|&cpu| (cpu, bytes.clone())).collect();
        self.map.update_per_cpu(&bytes_of(key), &values)
    }

    /// Iterates over the elements of a per-CPU map, each with its values of all possible CPUs.
    ///
    /// # Errors
    ///
    /// As [`TypedMap::iter`]; [`Error::Invalid`] if the map is not per-CPU.
    #[doc(alias("PerCpuHashMap", "PerCpuArray"))]
    pub fn iter_per_cpu(&self) -> impl Iterator<Item = Result<(K, PerCpu<V>), Error>> + use<'m, K, V> {
        let this = *self;
        let checked = match self.map.map_type().is_per_cpu() {
            true => Ok(()),
            false => self.map.check_cpu(true, "look up a value for each CPU in"),
        };
        elements(self.map.entries(), checked, move |key, all| {
            let values = per_cpu(&this.map.elements, all).map(|(cpu, value)| Ok((cpu, this.value(value)?)));
            Ok((this.key(key)?, values.collect::<Result<_, Error>>()?))
        })
    }

    /// Checks that the map has one value for all CPUs.
    fn check_one_value(&self, what: &str) -> Result<(), Error> {
        if !self.map.map_type().is_per_cpu() {
            return Ok(());
        }
        let why = format!(
            "it is a {}, which has a value for each CPU: `get_per_cpu`, `set_per_cpu`, `set_all_cpus`, `iter_per_cpu`",
            self.map.map_type()
        );
        Err(self.map.unfit(what, why))
    }

    fn key(&self, bytes: &[u8]) -> Result<K, Error> {
        read(self.map, "key", bytes)
    }

    fn value(&self, bytes: &[u8]) -> Result<V, Error> {
        read(self.map, "value", bytes)
    }
}

impl<V: Pod> TypedMap<'_, (), V> {
    /// Adds a value to a queue or stack, or to the set of a Bloom filter.
    ///
    /// # Errors
    ///
    /// As [`Map::push`].
    #[doc(alias("bpf_map_push_elem", "insert"))]
    pub fn push(&self, value: &V) -> Result<(), Error> {
        self.map.push(&bytes_of(value))
    }

    /// Adds a value to a queue or stack, and removes the value that was pushed first if the map is full.
    ///
    /// # Errors
    ///
    /// As [`Map::push_evicting`].
    #[doc(alias("bpf_map_push_elem", "BPF_EXIST"))]
    pub fn push_evicting(&self, value: &V) -> Result<(), Error> {
        self.map.push_evicting(&bytes_of(value))
    }

    /// Removes the next value of a queue or stack, and returns it; `None` if the map is empty.
    ///
    /// # Errors
    ///
    /// As [`Map::pop`]. [`Error::Invalid`] if the bytes are not a value of the type `V`.
    #[doc(alias = "bpf_map_pop_elem")]
    pub fn pop(&self) -> Result<Option<V>, Error> {
        self.map.pop()?.map(|bytes| self.value(&bytes)).transpose()
    }

    /// Returns the value that [`TypedMap::pop`] would remove, and leaves it in the map; `None` if the map is empty.
    ///
    /// # Errors
    ///
    /// As [`TypedMap::pop`].
    #[doc(alias = "bpf_map_peek_elem")]
    pub fn peek(&self) -> Result<Option<V>, Error> {
        self.map.peek_value()?.map(|bytes| self.value(&bytes)).transpose()
    }

    /// Returns false if `value` was never pushed to this Bloom filter; true if it probably was.
    ///
    /// # Errors
    ///
    /// As [`Map::contains`].
    #[doc(alias = "lookup_bloom_filter")]
    pub fn contains(&self, value: &V) -> Result<bool, Error> {
        self.map.contains(&bytes_of(value))
    }
}

/// Converts bytes in the map to a key or value.
fn read<T: Pod>(map: &Map, what: &str, bytes: &[u8]) -> Result<T, Error> {
    T::read_from(bytes).ok_or_else(|| {
        let why = format!("its bytes {bytes:02x?} are not a value of the type `{}`", type_name::<T>());
        map.unfit(&format!("read a {what} of"), why)
    })
}

/// Iterates over the elements of batches, after the error of a check if it has failed.
fn elements<'m, T>(
    mut batches: Batches<'m>,
    checked: Result<(), Error>,
    convert: impl Fn(&[u8], &[u8]) -> Result<T, Error> + 'm,
) -> impl Iterator<Item = Result<T, Error>> + 'm
where
    T: 'm,
{
    let mut refused = checked.err();
    let mut ended = refused.is_some();
    let mut read: vec::IntoIter<Result<T, Error>> = Vec::new().into_iter();
    let all = move |entries: &Entries| -> Vec<_> { entries.iter().map(|(key, value)| convert(key, value)).collect() };
    std::iter::from_fn(move || {
        loop {
            if let Some(error) = refused.take() {
                return Some(Err(error));
            }
            if let Some(element) = read.next() {
                return Some(element);
            }
            if ended {
                return None;
            }
            match batches.next() {
                Some(Ok(entries)) => read = all(&entries).into_iter(),
                Some(Err(error)) => refused = Some(error),
                None => ended = true,
            }
        }
    })
}
