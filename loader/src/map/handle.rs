//! A map in the kernel: its description, single elements, and its memory.

#[cfg(feature = "maps")]
use std::path::PathBuf;
use std::{
    ops::Range,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    sync::OnceLock,
};

use cutaway_sys::fd;

use super::fdinfo::check_is_map;
use crate::{
    Error, MapFlags, MapType,
    sys::{elements::Elements, mmap::Shared},
};

/// A map in the kernel. It exists as long as something refers to it: this value, a program that uses it, or a pin.
///
/// Keys and values are bytes in the layout that programs use: that of C structures, in native byte order. The slices
/// need no alignment. A lookup, update or delete is one system call; [`Map::entries`] and [`Map::update_batch`] read or
/// set many elements in one system call.
///
/// `Send` and `Sync`.
///
/// ```no_run
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let loaded = cutaway::Object::parse(&[])?.load()?;
/// let calls = loaded.map("calls")?; // BPF_MAP_TYPE_HASH: u32 pid to u64 count
/// calls.update(&4321_u32.to_ne_bytes(), &0_u64.to_ne_bytes())?;
/// if let Some(value) = calls.lookup(&4321_u32.to_ne_bytes())? {
///     println!("{} calls", u64::from_ne_bytes(value.as_slice().try_into()?));
/// }
/// # Ok(())
/// # }
/// ```
#[doc(alias = "bpf_map")]
#[derive(Debug)]
pub struct Map {
    pub(super) name: String,
    pub(super) elements: Elements,
    /// The elements, mapped on first use.
    pub(super) memory: OnceLock<Shared>,
    /// The offset of global variables in that memory, in bytes: 0, except in arenas.
    pub(super) base: usize,
    /// Where it was pinned when it was loaded or opened.
    #[cfg(feature = "maps")]
    pub(super) pin_path: Option<PathBuf>,
    struct_ops_value: Option<StructOpsValue>,
}

/// The value of a struct_ops map. It is written when the map is registered.
#[derive(Debug)]
pub(crate) struct StructOpsValue {
    pub(crate) bytes: Vec<u8>,
    /// True if a link registers the map (`BPF_F_LINK`); otherwise, writing the value registers it.
    pub(crate) has_link_flag: bool,
}

impl Map {
    /// Returns the offset of the global variables in the map's memory, in bytes.
    pub(crate) fn base(&self) -> usize {
        self.base
    }

    /// Returns the addresses at which an arena is mapped in this process. An arena is memory that programs and user
    /// space share (`BPF_MAP_TYPE_ARENA`, Linux 6.9). The addresses are valid as long as this value lives. Pointers
    /// that programs store in the arena are valid in this process.
    ///
    /// Returns `None` in these cases:
    ///
    /// - The map has another type.
    /// - This process did not create the arena, but opened it.
    /// - [`MapSpec::map_extra`](crate::MapSpec::map_extra) sets the address, and the arena has no global variables. The
    ///   caller maps the arena at this address.
    ///
    /// Programs write to the arena at any time, so the caller must access it only by atomic or volatile accesses.
    #[doc(alias("BPF_MAP_TYPE_ARENA", "bpf_map__initial_value"))]
    #[must_use]
    pub fn arena(&self) -> Option<Range<usize>> {
        self.memory.get().filter(|_| self.map_type() == MapType::ARENA).map(Shared::addresses)
    }

    pub(super) fn wrap(name: String, map: OwnedFd) -> Result<Self, Error> {
        let elements = Elements::new(map).map_err(|error| Error::kernel(format!("query the map `{name}`"), &error))?;
        Ok(Self {
            name,
            elements,
            memory: OnceLock::new(),
            base: 0,
            #[cfg(feature = "maps")]
            pin_path: None,
            struct_ops_value: None,
        })
    }

    pub(crate) fn set_struct_ops_value(&mut self, bytes: Vec<u8>, has_link_flag: bool) {
        self.struct_ops_value = Some(StructOpsValue { bytes, has_link_flag });
    }

    pub(crate) fn struct_ops_value(&self) -> Option<&StructOpsValue> {
        self.struct_ops_value.as_ref()
    }

    /// Writes the value of a struct_ops map, which has one element.
    pub(crate) fn write_struct_ops_value(&self, value: &StructOpsValue) -> std::io::Result<()> {
        self.elements.update(&0_u32.to_ne_bytes(), &value.bytes, 0)
    }

    /// Returns the map of this file descriptor, for example one that another process has sent. The map's name is the
    /// kernel's, at most 15 bytes.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if it is the file descriptor of a program or link; [`Error::Syscall`] with EINVAL if it is of
    /// something else.
    #[doc(alias("bpf_map__reuse_fd", "NewMapFromFD", "MapData::from_fd"))]
    pub fn from_fd(map: OwnedFd) -> Result<Self, Error> {
        check_is_map(map.as_fd(), || format!("use the file descriptor {} as a map", map.as_fd().as_raw_fd()))?;
        let mut map = Self::wrap("(of a file descriptor)".to_owned(), map)?;
        map.name = map.elements.info().name.to_string();
        Ok(map)
    }

    /// Returns the same map by a file descriptor of its own, to keep it after [`Loaded`](crate::Loaded) is dropped, or
    /// to move it to another thread.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] for an arena, whose memory is mapped once in a process, and for a struct_ops map, whose value
    /// belongs to its object; [`Error::Syscall`] with EMFILE if too many files are open.
    #[doc(alias("take_map", "Map.Clone", "MapHandle::try_from"))]
    pub fn try_clone(&self) -> Result<Self, Error> {
        let why = match self.map_type() {
            MapType::ARENA => "an arena is mapped once in a process",
            MapType::STRUCT_OPS => "the value of a struct_ops map belongs to its object",
            _ => return self.duplicate(),
        };
        Err(Error::Invalid { operation: format!("clone the map `{}`", self.name), why: why.to_owned() })
    }

    /// Duplicates the map's file descriptor.
    pub(crate) fn duplicate(&self) -> Result<Self, Error> {
        let fd = fd::duplicate(self.as_fd(), "duplicates the map's fd")
            .map_err(|error| self.failed("duplicate the fd of", &error))?;
        Self::wrap(self.name.clone(), fd)
    }

    /// Returns the distance between the values of a mapped array, in bytes: values begin at multiples of 8.
    pub(super) fn stride(&self) -> usize {
        self.value_size().next_multiple_of(8)
    }

    /// Returns the mapped elements of an array that can be mapped, or of an arena that this process created.
    pub(crate) fn memory(&self) -> Result<&Shared, Error> {
        if let Some(memory) = self.memory.get() {
            return Ok(memory);
        }
        if self.map_type() == MapType::ARENA {
            return Err(Error::Invalid {
                operation: format!("access the arena `{}`", self.name),
                why: "this value has not mapped it: map it at the address that its programs use (mmap(2))".to_owned(),
            });
        }
        let length = self.stride().saturating_mul(self.max_entries() as usize);
        let memory = Shared::of(self.as_fd(), length, 0).map_err(|error| {
            let plain = self.failed("map", &error);
            match error.raw_os_error() {
                Some(cutaway_sys::errno::ENOTSUPP) => plain.advise(
                    "it holds data that only the kernel may access, such as a lock, a timer or a kernel pointer",
                ),
                _ => plain,
            }
        })?;
        // If two threads get here, the second mapping is dropped.
        Ok(self.memory.get_or_init(|| memory))
    }

    /// Returns the name in the object. For a map that [`Map::from_pin`] opened, returns the pin's file name; for a map
    /// opened by its id, the name that the kernel stores: the first 15 bytes of the name in the object.
    #[doc(alias = "bpf_map__name")]
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the type of the map.
    #[doc(alias("bpf_map__type", "bpf_map_type"))]
    #[must_use]
    pub fn map_type(&self) -> MapType {
        self.elements.info().map_type
    }

    /// Returns the map id, which the kernel assigns. No two existing maps have the same id.
    #[doc(alias = "bpf_map_info")]
    #[must_use]
    pub fn id(&self) -> u32 {
        self.elements.info().id
    }

    /// Returns the flags that the map was created with.
    #[doc(alias("map_flags", "bpf_map__map_flags"))]
    #[must_use]
    pub fn flags(&self) -> MapFlags {
        MapFlags::from_bits_retain(self.elements.info().map_flags)
    }

    /// Returns the size of a key in bytes.
    #[doc(alias = "bpf_map__key_size")]
    #[must_use]
    pub fn key_size(&self) -> usize {
        self.elements.info().key_size as usize
    }

    /// Returns the size of a value in bytes. [`Map::lookup`] returns values of this size, and [`Map::update`] takes
    /// them.
    ///
    /// In a per-CPU map, this is the size of the values of all possible CPUs together, in ascending order of the CPU
    /// ids. Each CPU's value is padded to a multiple of 8 bytes.
    #[doc(alias = "bpf_map__value_size")]
    #[must_use]
    pub fn value_size(&self) -> usize {
        self.elements.value_len()
    }

    /// Returns the maximum number of elements; for a ring, the size of its data area in bytes.
    #[doc(alias = "bpf_map__max_entries")]
    #[must_use]
    pub fn max_entries(&self) -> u32 {
        self.elements.info().max_entries
    }
}

impl AsFd for Map {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.elements.as_fd()
    }
}
