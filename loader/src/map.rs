//! Maps: created from their description ([`create`]), then read and written.

mod batch;
#[cfg(feature = "census")]
mod by_id;
mod create;
mod pin;

pub use batch::{Batches, Entries};

use std::{
    ops::Range,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::OnceLock,
};

use cutaway_sys::fd;

use crate::{
    Error, MapFlags, MapType,
    sys::{elements::Elements, mmap::Shared},
};

/// A map in the kernel. It lives as long as somebody holds a descriptor of it: this value, a program that uses it, a pin.
#[derive(Debug)]
pub struct Map {
    name: String,
    elements: Elements,
    /// Its elements, mapped when they are first wanted.
    memory: OnceLock<Shared>,
    /// Where in that memory global variables begin: at its start, but in arenas.
    base: usize,
    table: Option<Table>,
}

/// The contents of a map that is a table of functions, to be written when it is given to the kernel.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) value: Vec<u8>,
    pub(crate) by_link: bool,
}

/// One value for each possible CPU, with the CPU's number.
pub type PerCpu = Vec<(u32, Vec<u8>)>;

impl Map {
    /// Bytes from the start of its memory to its global variables.
    pub(crate) fn base(&self) -> usize {
        self.base
    }

    /// The addresses at which an arena is mapped in this process, as long as this value lives: a program's pointers into it
    /// mean the same here. `None` for maps of other kinds, for an arena whose description names the address in `map_extra`
    /// (it is not mapped until somebody does, or has to, since it holds global variables), and for one that was opened, not
    /// made, by this process.
    ///
    /// Programs write there at any time, so it must only be accessed by atomic or volatile instructions.
    #[must_use]
    pub fn arena(&self) -> Option<Range<usize>> {
        self.memory.get().filter(|_| self.map_type() == MapType::ARENA).map(Shared::addresses)
    }

    fn wrap(name: String, map: OwnedFd) -> Result<Self, Error> {
        let elements =
            Elements::new(map).map_err(|error| Error::kernel(format!("ask what the map `{name}` is"), &error))?;
        Ok(Self { name, elements, memory: OnceLock::new(), base: 0, table: None })
    }

    pub(crate) fn set_table(&mut self, value: Vec<u8>, by_link: bool) {
        self.table = Some(Table { value, by_link });
    }

    pub(crate) fn table(&self) -> Option<&Table> {
        self.table.as_ref()
    }

    /// Sets the only element of a table.
    pub(crate) fn write_table(&self, table: &Table) -> std::io::Result<()> {
        self.elements.update(&0_u32.to_ne_bytes(), &table.value, 0)
    }

    /// The same map by another descriptor.
    pub(crate) fn again(&self) -> Result<Self, Error> {
        let fd = fd::duplicate(self.as_fd(), "takes another descriptor of the map, for programs on USDT")
            .map_err(|error| self.failed("open another descriptor of", &error))?;
        Self::wrap(self.name.clone(), fd)
    }

    /// The elements of an array that can be mapped, as memory, or an arena that this process has made.
    pub(crate) fn memory(&self) -> Result<&Shared, Error> {
        if let Some(memory) = self.memory.get() {
            return Ok(memory);
        }
        if self.map_type() == MapType::ARENA {
            return Err(Error::Unfit {
                attempt: format!("look into the arena `{}`", self.name),
                why: "it was made and mapped by somebody else: map it at the same address (mmap(2))".to_owned(),
            });
        }
        let length = self.value_size().saturating_mul(self.max_entries() as usize);
        let memory = Shared::of(self.as_fd(), length, 0).map_err(|error| {
            let plain = self.failed("map", &error);
            match error.raw_os_error() {
                Some(cutaway_sys::errno::ENOTSUPP) => {
                    plain.advise("it holds what only the kernel may touch: a lock, a timer, an object of its")
                }
                _ => plain,
            }
        })?;
        // Of two threads one is first; the other's mapping is undone.
        Ok(self.memory.get_or_init(|| memory))
    }

    /// The name in the object; the kernel keeps 15 bytes of it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The kind of map.
    #[must_use]
    pub fn map_type(&self) -> MapType {
        self.elements.info().map_type
    }

    /// The kernel's number of it: unique while the machine runs.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.elements.info().id
    }

    /// How it was made.
    #[must_use]
    pub fn flags(&self) -> MapFlags {
        MapFlags::from_bits_retain(self.elements.info().map_flags)
    }

    /// Bytes of a key.
    #[must_use]
    pub fn key_size(&self) -> usize {
        self.elements.info().key_size as usize
    }

    /// Bytes of a value: what [`Map::lookup`] gives. For a per-CPU map this is one value for each possible CPU, each
    /// padded to a multiple of 8 bytes.
    #[must_use]
    pub fn value_size(&self) -> usize {
        self.elements.value_len()
    }

    /// Elements as the kernel has them; bytes for a ring.
    #[must_use]
    pub fn max_entries(&self) -> u32 {
        self.elements.info().max_entries
    }

    /// The value of `key`; `None` if there is none.
    ///
    /// # Errors
    ///
    /// If `key` is not [`Map::key_size`] bytes long, or the kernel refuses (rings have no elements, for example).
    pub fn lookup(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        let mut value = vec![0; self.value_size()];
        let found = self.elements.lookup(key, &mut value).map_err(|error| self.failed("look up a key in", &error))?;
        Ok(found.then_some(value))
    }

    /// The values of `key` in a per-CPU map, with the numbers of the possible CPUs, ascending; `None` if there is no such
    /// key.
    ///
    /// # Errors
    ///
    /// As [`Map::lookup`]; [`Error::Unfit`] if the map is not per-CPU.
    pub fn lookup_per_cpu(&self, key: &[u8]) -> Result<Option<PerCpu>, Error> {
        if !self.map_type().is_per_cpu() {
            return Err(Error::Unfit {
                attempt: format!("look up a value for each CPU in the map `{}`", self.name),
                why: format!("it is a {}, which has one value for all CPUs", self.map_type()),
            });
        }
        let Some(all) = self.lookup(key)? else { return Ok(None) };
        let size = self.elements.info().value_size as usize;
        let values = all.chunks(size.next_multiple_of(8).max(1)).filter_map(|value| value.get(..size));
        Ok(Some(self.elements.cpus().iter().copied().zip(values.map(<[u8]>::to_vec)).collect()))
    }

    /// Sets the value of `key`, whether it was there before or not.
    ///
    /// # Errors
    ///
    /// If `key` or `value` is not [`Map::key_size`] or [`Map::value_size`] bytes long, or the kernel refuses (the map is
    /// full: E2BIG; it is frozen: EPERM).
    pub fn update(&self, key: &[u8], value: &[u8]) -> Result<(), Error> {
        self.elements.update(key, value, 0).map_err(|error| self.failed("set a value in", &error))
    }

    /// Removes `key`; `false` if it was not there.
    ///
    /// # Errors
    ///
    /// If `key` is not [`Map::key_size`] bytes long, or the kernel refuses (an array's keys cannot be removed: EINVAL).
    pub fn delete(&self, key: &[u8]) -> Result<bool, Error> {
        self.elements.delete(key).map_err(|error| self.failed("remove a key from", &error))
    }

    /// The keys that are there, in the kernel's order. Keys added or removed meanwhile may be missed or, if the kernel
    /// starts over because its place is gone, given twice.
    pub fn keys(&self) -> impl Iterator<Item = Result<Vec<u8>, Error>> {
        let mut last: Option<Vec<u8>> = None;
        let mut ended = false;
        std::iter::from_fn(move || {
            if ended {
                return None;
            }
            let mut next = vec![0; self.key_size()];
            let answer = self.elements.next_key(last.as_deref(), &mut next);
            match answer {
                Ok(true) => {
                    last = Some(next.clone());
                    Some(Ok(next))
                }
                Ok(false) => {
                    ended = true;
                    None
                }
                Err(error) => {
                    ended = true;
                    Some(Err(self.failed("walk the keys of", &error)))
                }
            }
        })
    }

    pub(crate) fn failed(&self, what: &str, error: &std::io::Error) -> Error {
        // Whoever has a map's descriptor needs no privilege for its elements.
        let plain = Error::kernel(format!("{what} the map `{}` ({})", self.name, self.map_type()), error);
        match error.raw_os_error() {
            Some(libc::EPERM) => plain.advise("it is frozen, or its flags allow user space no such thing"),
            _ => plain,
        }
    }
}

impl AsFd for Map {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.elements.as_fd()
    }
}
