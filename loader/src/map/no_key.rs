//! Maps without keys: queues, stacks (Linux 4.20) and Bloom filters (Linux 5.16).

use super::Map;
use crate::{Error, LookupFlags, MapType, UpdateFlags};

impl Map {
    /// Adds a value to a queue or stack, or to the set of a Bloom filter.
    ///
    /// # Errors
    ///
    /// - [`Error::Invalid`] if the map has another type, or `value` is not [`Map::value_size`] bytes long. (No system
    ///   call is made.)
    /// - [`Error::Syscall`]: E2BIG if a queue or stack is full; [`Map::push_evicting`] removes the oldest value then.
    #[doc(alias("bpf_map_push_elem", "BPF_MAP_UPDATE_ELEM", "insert"))]
    pub fn push(&self, value: &[u8]) -> Result<(), Error> {
        const ATTEMPT: &str = "push a value to";
        self.check_no_key(&[MapType::QUEUE, MapType::STACK, MapType::BLOOM_FILTER], ATTEMPT)?;
        let answer = self.elements.update(&[], value, 0);
        answer.map_err(|error| {
            let plain = self.failed(ATTEMPT, &error);
            match error.raw_os_error() {
                Some(libc::E2BIG) => plain.advise("it is full: pop a value first, or use `Map::push_evicting`"),
                _ => plain,
            }
        })
    }

    /// Adds a value to a queue or stack like [`Map::push`], and removes the value that was pushed first if the map is
    /// full (`BPF_EXIST`).
    ///
    /// # Errors
    ///
    /// As [`Map::push`], without E2BIG; [`Error::Invalid`] for a Bloom filter, which is never full.
    #[doc(alias("bpf_map_push_elem", "BPF_EXIST"))]
    pub fn push_evicting(&self, value: &[u8]) -> Result<(), Error> {
        const ATTEMPT: &str = "push a value to";
        self.check_no_key(&[MapType::QUEUE, MapType::STACK], ATTEMPT)?;
        let answer = self.elements.update(&[], value, UpdateFlags::EXIST.bits());
        answer.map_err(|error| self.failed(ATTEMPT, &error))
    }

    /// Removes the next value of a queue (the one that was pushed first) or stack (the one that was pushed last), and
    /// returns it; `None` if the map is empty.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if the map has another type; [`Error::Syscall`] if the kernel refuses: EPERM if the map is
    /// frozen.
    #[doc(alias("bpf_map_pop_elem", "BPF_MAP_LOOKUP_AND_DELETE_ELEM"))]
    pub fn pop(&self) -> Result<Option<Vec<u8>>, Error> {
        self.check_no_key(&[MapType::QUEUE, MapType::STACK], "pop a value from")?;
        self.lookup_and_delete_with(&[], LookupFlags::empty())
    }

    /// Returns the value that [`Map::pop`] would remove, and leaves it in the map; `None` if the map is empty.
    ///
    /// # Errors
    ///
    /// As [`Map::pop`].
    #[doc(alias("bpf_map_peek_elem", "BPF_MAP_LOOKUP_ELEM"))]
    pub fn peek_value(&self) -> Result<Option<Vec<u8>>, Error> {
        self.check_no_key(&[MapType::QUEUE, MapType::STACK], "peek at the next value of")?;
        self.lookup(&[])
    }

    /// Returns false if `value` was never pushed to this Bloom filter. If it returns true, `value` was probably pushed:
    /// the number of hash functions ([`MapSpec::map_extra`](crate::MapSpec::map_extra)) and
    /// [`Map::max_entries`] determine how often this is wrong.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if the map has another type, or `value` is not [`Map::value_size`] bytes long;
    /// [`Error::Syscall`] if the kernel refuses.
    #[doc(alias("bpf_map_peek_elem", "BPF_MAP_LOOKUP_ELEM", "lookup_bloom_filter"))]
    pub fn contains(&self, value: &[u8]) -> Result<bool, Error> {
        const ATTEMPT: &str = "look up a value in";
        self.check_no_key(&[MapType::BLOOM_FILTER], ATTEMPT)?;
        // The kernel reads the value from where it writes that of other maps.
        let mut value = value.to_vec();
        self.elements.lookup(&[], &mut value, 0).map_err(|error| self.failed(ATTEMPT, &error))
    }

    /// Checks that the map has one of these types.
    fn check_no_key(&self, types: &[MapType], what: &str) -> Result<(), Error> {
        if types.contains(&self.map_type()) {
            return Ok(());
        }
        let types: Vec<_> = types.iter().map(ToString::to_string).collect();
        Err(self
            .unfit(what, format!("its type is {}, and only {} maps have this", self.map_type(), types.join(" and "))))
    }
}
