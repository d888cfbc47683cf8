//! Single elements of a map: look up, update, delete, and walk the keys.

use super::Map;
use crate::{Error, LookupFlags, MapType, UpdateFlags, sys::elements::Elements};

/// One value for each possible CPU, with the CPU's id, in ascending order of the ids: bytes, or values of the type `V`.
/// The possible CPUs are those in `/sys/devices/system/cpu/possible`; some of them may be offline.
#[doc(alias("PerCpuValues", "BPF_MAP_TYPE_PERCPU_ARRAY"))]
pub type PerCpu<V = Vec<u8>> = Vec<(u32, V)>;

impl Map {
    /// Returns the value of `key`, which has [`Map::value_size`] bytes; `None` if the key does not exist.
    ///
    /// # Errors
    ///
    /// - [`Error::Invalid`] if `key` is not [`Map::key_size`] bytes long, or the map is a Bloom filter
    ///   ([`Map::contains`]). (No system call is made.)
    /// - [`Error::Syscall`] if the kernel refuses, for example because the map is a ring, which has no elements.
    #[doc(alias("BPF_MAP_LOOKUP_ELEM", "bpf_map__lookup_elem", "bpf_map_lookup_elem"))]
    pub fn lookup(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        self.look_up(key, 0)
    }

    /// Returns the value of `key` like [`Map::lookup`], with flags: [`LookupFlags::LOCK`] reads the value while holding
    /// its `bpf_spin_lock` (Linux 5.1), [`LookupFlags::cpu`] reads the value of one CPU of a per-CPU map (Linux 7.0).
    /// That value has the size that the map was created with, without padding.
    ///
    /// # Errors
    ///
    /// As [`Map::lookup`]. [`Error::Invalid`] if a flag does not fit the map's type; [`Error::Syscall`]: EINVAL if the
    /// value has no `bpf_spin_lock` or the kernel does not know the flag, ERANGE if there is no such CPU.
    #[doc(alias("BPF_F_LOCK", "BPF_F_CPU", "bpf_map_lookup_elem_flags"))]
    pub fn lookup_with(&self, key: &[u8], flags: LookupFlags) -> Result<Option<Vec<u8>>, Error> {
        const ATTEMPT: &str = "look up a key in";
        self.check_cpu(flags.contains(LookupFlags::CPU), ATTEMPT)?;
        let mut value = self.look_up(key, flags.bits()).map_err(|error| self.explain_flags(error, flags.bits()))?;
        if let Some(value) = value.as_mut().filter(|_| flags.contains(LookupFlags::CPU)) {
            value.truncate(self.elements.info().value_size as usize);
        }
        Ok(value)
    }

    fn look_up(&self, key: &[u8], flags: u64) -> Result<Option<Vec<u8>>, Error> {
        const ATTEMPT: &str = "look up a key in";
        if cfg!(feature = "advice") && self.map_type() == MapType::BLOOM_FILTER {
            return Err(self.keyless(ATTEMPT));
        }
        let mut value = vec![0; self.value_size()];
        let found = self.elements.lookup(key, &mut value, flags).map_err(|error| self.failed(ATTEMPT, &error))?;
        Ok(found.then_some(value))
    }

    /// Returns the values of `key` in a per-CPU map, one for each possible CPU; `None` if the key does not exist.
    /// [`Map::update_per_cpu`] sets them.
    ///
    /// # Errors
    ///
    /// As [`Map::lookup`]. [`Error::Invalid`] if the map is not per-CPU.
    #[doc(alias("bpf_map_lookup_elem", "BPF_MAP_LOOKUP_ELEM"))]
    pub fn lookup_per_cpu(&self, key: &[u8]) -> Result<Option<PerCpu>, Error> {
        if !self.map_type().is_per_cpu() {
            return Err(Error::Invalid {
                operation: format!("look up a value for each CPU in the map `{}`", self.name),
                why: format!("it is a {}, which has one value for all CPUs", self.map_type()),
            });
        }
        let Some(all) = self.lookup(key)? else { return Ok(None) };
        Ok(Some(per_cpu(&self.elements, &all).map(|(cpu, value)| (cpu, value.to_vec())).collect()))
    }

    /// Sets the value of `key`. Adds the key if it does not exist (`BPF_ANY`). [`Map::update_with`] takes flags.
    ///
    /// # Errors
    ///
    /// - [`Error::Invalid`] if `key` is not [`Map::key_size`] bytes long. (No system call is made.)
    /// - [`Error::Invalid`] if `value` is not [`Map::value_size`] bytes long. (No system call is made.)
    /// - [`Error::Syscall`] if the kernel refuses: E2BIG if the map is full, EPERM if it is frozen ([`Map::freeze`]).
    #[doc(alias("BPF_MAP_UPDATE_ELEM", "bpf_map__update_elem", "bpf_map_update_elem"))]
    pub fn update(&self, key: &[u8], value: &[u8]) -> Result<(), Error> {
        self.elements.update(key, value, 0).map_err(|error| self.failed("set a value in", &error))
    }

    /// Sets the value of `key` like [`Map::update`], with flags:
    ///
    /// - [`UpdateFlags::NOEXIST`] only adds a key, [`UpdateFlags::EXIST`] only changes the value of an existing one.
    /// - [`UpdateFlags::LOCK`] writes the value while holding its `bpf_spin_lock` (Linux 5.1).
    /// - [`UpdateFlags::cpu`] sets the value of one CPU of a per-CPU map, [`UpdateFlags::ALL_CPUS`] sets those of all
    ///   CPUs to the same value (Linux 7.0). Then `value` is one value, without padding. On older kernels,
    ///   [`Map::update_per_cpu`] sets the values of all CPUs.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), cutaway::Error> {
    /// # let map = cutaway::Map::from_pin("/sys/fs/bpf/counts")?;
    /// use cutaway::UpdateFlags;
    /// let (key, value) = (7_u32.to_ne_bytes(), 1_u64.to_ne_bytes());
    /// match map.update_with(&key, &value, UpdateFlags::NOEXIST) {
    ///     Err(error) if error.errno().is_some_and(|errno| errno.name() == Some("EEXIST")) => println!("known"),
    ///     answer => answer?,
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Map::update`]. [`Error::Invalid`] if a flag does not fit the map's type; [`Error::Syscall`]: EEXIST for
    /// `NOEXIST` if the key exists, ENOENT for `EXIST` if it does not, EINVAL if the value has no `bpf_spin_lock` or
    /// the kernel does not know the flag, ERANGE if there is no such CPU.
    #[doc(alias("BPF_NOEXIST", "BPF_EXIST", "BPF_F_LOCK", "BPF_F_CPU", "BPF_F_ALL_CPUS"))]
    pub fn update_with(&self, key: &[u8], value: &[u8], flags: UpdateFlags) -> Result<(), Error> {
        const ATTEMPT: &str = "set a value in";
        let one = flags.intersects(UpdateFlags::CPU | UpdateFlags::ALL_CPUS);
        self.check_cpu(one, ATTEMPT)?;
        let mut padded = Vec::new();
        let whole = if one {
            self.check_one(value, ATTEMPT)?;
            padded.extend_from_slice(value);
            padded.resize(self.value_size(), 0);
            &padded
        } else {
            value
        };
        let answer = self.elements.update(key, whole, flags.bits());
        answer.map_err(|error| self.explain_flags(self.failed(ATTEMPT, &error), flags.bits()))
    }

    /// Removes `key`. Returns `true` if the key existed.
    ///
    /// # Errors
    ///
    /// - [`Error::Invalid`] if `key` is not [`Map::key_size`] bytes long, or the map has no keys. (No system call is
    ///   made.)
    /// - [`Error::Syscall`] if the kernel refuses: EINVAL for an array, whose keys cannot be removed.
    #[doc(alias("BPF_MAP_DELETE_ELEM", "bpf_map__delete_elem", "bpf_map_delete_elem"))]
    pub fn delete(&self, key: &[u8]) -> Result<bool, Error> {
        const ATTEMPT: &str = "remove a key from";
        self.check_keyed(ATTEMPT)?;
        self.elements.delete(key).map_err(|error| self.failed(ATTEMPT, &error))
    }

    /// Returns the key that follows `key` in the kernel's order, or the first key for `None`; `None` after the last.
    /// If `key` does not exist, the kernel returns the first key of a hash. [`Map::keys`] walks over all keys.
    ///
    /// # Errors
    ///
    /// As [`Map::keys`]. [`Error::Invalid`] if `key` is not [`Map::key_size`] bytes long.
    #[doc(alias("BPF_MAP_GET_NEXT_KEY", "bpf_map__get_next_key", "bpf_map_get_next_key"))]
    pub fn next_key(&self, key: Option<&[u8]>) -> Result<Option<Vec<u8>>, Error> {
        const ATTEMPT: &str = "walk the keys of";
        self.check_keyed(ATTEMPT)?;
        let mut next = vec![0; self.key_size()];
        let found = self.elements.next_key(key, &mut next).map_err(|error| self.failed(ATTEMPT, &error))?;
        Ok(found.then_some(next))
    }

    /// Iterates over the keys, in the kernel's order, by one system call for each key. Programs and other processes may
    /// change the map meanwhile:
    ///
    /// - A key that is added during the iteration may be missing from it.
    /// - If the key that was returned last is removed, the kernel starts again at the first key. Keys are then returned
    ///   twice.
    ///
    /// The keys of an LPM trie come from the longest prefixes to the shorter ones that contain them (Linux 4.16).
    ///
    /// # Errors
    ///
    /// An item is [`Error::Invalid`] if the map has no keys, and [`Error::Syscall`] if the kernel refuses. The iterator
    /// ends after an error.
    #[doc(alias("BPF_MAP_GET_NEXT_KEY", "bpf_map__get_next_key", "bpf_map_get_next_key"))]
    pub fn keys(&self) -> impl Iterator<Item = Result<Vec<u8>, Error>> {
        let mut last: Option<Vec<u8>> = None;
        let mut ended = false;
        std::iter::from_fn(move || {
            if ended {
                return None;
            }
            let answer = self.next_key(last.as_deref());
            match &answer {
                Ok(Some(next)) => last = Some(next.clone()),
                Ok(None) | Err(_) => ended = true,
            }
            answer.transpose()
        })
    }
}

/// Splits the value of a per-CPU map into those of each possible CPU, without padding.
pub(super) fn per_cpu<'v>(elements: &Elements, all: &'v [u8]) -> impl Iterator<Item = (u32, &'v [u8])> {
    let size = elements.info().value_size as usize;
    let values = all.chunks(size.next_multiple_of(8).max(1)).filter_map(move |value| value.get(..size));
    elements.cpus().iter().copied().zip(values)
}
