//! The memory of a mapped array or arena, for embedders.

use super::{Map, create::SEGV_ON_FAULT};
use crate::{Error, MapType, Pod, object::bytes_of, sys::mmap::Shared};

/// The memory of an array (`MMAPABLE`, Linux 5.5) or arena (Linux 6.9) in this process: see [`Map::mapped`].
///
/// Programs write to it at any time, so there is no slice of it. It is copied in words of up to 8 bytes, each as wide
/// as its alignment allows, by atomic loads (acquire) and stores (release). A value of up to 8 bytes that is aligned as
/// in C is read and written at once; of a longer one, parts of two values can be read.
///
/// Offsets are in bytes from the start of the memory.
///
/// `Send` and `Sync`. Borrows the map, which keeps the memory mapped.
#[derive(Debug, Clone, Copy)]
#[doc(alias("mmap", "Memory", "bpf_map__initial_value", "BPF_F_MMAPABLE"))]
pub struct MapMemory<'m> {
    map: &'m Map,
    memory: &'m Shared,
}

impl Map {
    /// Maps the values of an array with the flag [`MapFlags::MMAPABLE`](crate::MapFlags::MMAPABLE) (Linux 5.5), or
    /// returns the memory of an arena that this process created (Linux 6.9). The first call maps it, and it stays
    /// mapped as long as the map.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), cutaway::Error> {
    /// use cutaway::{MapBuilder, MapFlags, MapType};
    /// let array = MapBuilder::new(MapType::ARRAY).key::<u32>().value::<u64>().max_entries(100);
    /// let array = array.flags(MapFlags::MMAPABLE).create()?;
    /// let memory = array.mapped()?;
    /// memory.fetch_add(memory.offset_of(7)?, 1_u64)?; // no system call
    /// assert_eq!(memory.load::<u64>(memory.offset_of(7)?)?, 1);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if the map is not such a map, is an arena that this value has not mapped ([`Map::arena`]), or
    /// is an arena with the flag `BPF_F_SEGV_ON_FAULT`, whose pages may not exist; [`Error::Syscall`]: EPERM if it is
    /// frozen, ENOTSUPP (524) if its values hold locks, timers or kernel pointers.
    #[doc(alias("mmap", "Map.Memory", "BPF_F_MMAPABLE"))]
    pub fn mapped(&self) -> Result<MapMemory<'_>, Error> {
        const ATTEMPT: &str = "map the values of";
        match self.map_type() {
            MapType::ARENA if self.flags().bits() & SEGV_ON_FAULT != 0 => {
                let why = "its flag BPF_F_SEGV_ON_FAULT ends a process that touches a page which no program has \
                           allocated: `Map::arena` has the addresses";
                return Err(self.unfit(ATTEMPT, why.to_owned()));
            }
            MapType::ARENA => {}
            MapType::ARRAY if self.flags().contains(crate::MapFlags::MMAPABLE) => {}
            MapType::ARRAY => return Err(self.unfit(ATTEMPT, "it was created without the flag MMAPABLE".to_owned())),
            other => {
                return Err(self.unfit(ATTEMPT, format!("its type is {other}: only arrays and arenas can be mapped")));
            }
        }
        Ok(MapMemory { map: self, memory: self.memory()? })
    }
}

impl<'m> MapMemory<'m> {
    /// Returns the number of bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.memory.addresses().len()
    }

    /// Returns true if there are no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the addresses of the memory in this process, valid as long as the map. The caller must access it only by
    /// atomic or volatile accesses, which is `unsafe`.
    #[must_use]
    pub fn addresses(&self) -> std::ops::Range<usize> {
        self.memory.addresses()
    }

    /// Returns the offset of an array's value, whose index is the key. Values begin at multiples of 8.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if the map is an arena or has no such index.
    pub fn offset_of(&self, index: u32) -> Result<usize, Error> {
        const ATTEMPT: &str = "find a value in the memory of";
        if self.map.map_type() != MapType::ARRAY {
            return Err(self.map.unfit(ATTEMPT, format!("its type is {}, which has no keys", self.map.map_type())));
        }
        if index >= self.map.max_entries() {
            let why = format!("it has {} values, and none of index {index}", self.map.max_entries());
            return Err(self.map.unfit(ATTEMPT, why));
        }
        Ok(self.map.stride() * index as usize)
    }

    /// Copies `into.len()` bytes from `offset`.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if they reach beyond the memory; nothing is copied.
    pub fn read(&self, offset: usize, into: &mut [u8]) -> Result<(), Error> {
        let length = into.len();
        if self.memory.read(offset, into) { Ok(()) } else { Err(self.beyond("read", offset, length)) }
    }

    /// Copies bytes to `offset`.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if they reach beyond the memory; nothing is copied.
    pub fn write(&self, offset: usize, from: &[u8]) -> Result<(), Error> {
        if self.memory.write(offset, from) { Ok(()) } else { Err(self.beyond("write", offset, from.len())) }
    }

    /// Returns the value at `offset`.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if it reaches beyond the memory, or if the bytes there are not a value of the type `T`.
    pub fn load<T: Pod>(&self, offset: usize) -> Result<T, Error> {
        let mut bytes = vec![0; T::SIZE];
        self.read(offset, &mut bytes)?;
        T::read_from(&bytes).ok_or_else(|| {
            let why = format!("its bytes {bytes:02x?} are not a value of the type `{}`", std::any::type_name::<T>());
            self.map.unfit(&format!("read the memory at the offset {offset} of"), why)
        })
    }

    /// Sets the value at `offset`.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if it reaches beyond the memory.
    pub fn store<T: Pod>(&self, offset: usize, value: &T) -> Result<(), Error> {
        self.write(offset, &bytes_of(value))
    }

    /// Adds to the integer at `offset` in one atomic step, as `__sync_fetch_and_add` does in a program, and returns its
    /// value before. `N` is `u32` or `u64`; overflow wraps.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if `offset` is not a multiple of the integer's size, or it reaches beyond the memory.
    #[doc(alias("__sync_fetch_and_add", "BPF_ATOMIC"))]
    pub fn fetch_add<N: AtomicInt>(&self, offset: usize, value: N) -> Result<N, Error> {
        if !offset.is_multiple_of(size_of::<N>()) {
            let why = format!("an integer of {0} bytes is at a multiple of {0}", size_of::<N>());
            return Err(self.map.unfit(&format!("add to the integer at the offset {offset} in"), why));
        }
        value.add_to(self.memory, offset).ok_or_else(|| self.beyond("write", offset, size_of::<N>()))
    }

    fn beyond(&self, verb: &str, offset: usize, length: usize) -> Error {
        let why = format!("its memory has {} bytes", self.len());
        self.map.unfit(&format!("{verb} {length} bytes at the offset {offset} of"), why)
    }
}

/// An integer that [`MapMemory::fetch_add`] can add to: `u32` or `u64`.
pub trait AtomicInt: Copy + sealed::Add {}

impl AtomicInt for u32 {}
impl AtomicInt for u64 {}

mod sealed {
    use crate::sys::mmap::Shared;

    pub trait Add: Sized {
        #[expect(private_interfaces, reason = "the trait cannot be named outside of this crate")]
        fn add_to(self, memory: &Shared, offset: usize) -> Option<Self>;
    }

    impl Add for u32 {
        #[expect(private_interfaces, reason = "as above")]
        fn add_to(self, memory: &Shared, offset: usize) -> Option<Self> {
            memory.fetch_add_u32(offset, self)
        }
    }

    impl Add for u64 {
        #[expect(private_interfaces, reason = "as above")]
        fn add_to(self, memory: &Shared, offset: usize) -> Option<Self> {
            memory.fetch_add_u64(offset, self)
        }
    }
}
