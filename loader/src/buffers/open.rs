//! Opens rings for reading, after a check of the map's type.

#[cfg(feature = "ring")]
use cutaway_sys::fd;

use crate::{Error, Map, MapType};

#[cfg(feature = "ring")]
use crate::MapFlags;

#[cfg(feature = "ring")]
impl Map {
    /// Opens the ring for reading, from where its last reader stopped. Linux 5.8. The ring keeps a duplicate of the fd.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if the map is not a `RINGBUF`; [`Error::Ring`] if it cannot be mapped, if this process
    /// already has it open ([`AlreadyOpen`](mmap_ring::Error::AlreadyOpen)), or if it overwrites its oldest records
    /// ([`OverwriteMode`](mmap_ring::Error::OverwriteMode)).
    #[doc(alias("ring_buffer__new", "ringbuf.NewReader", "BPF_MAP_TYPE_RINGBUF"))]
    #[expect(unsafe_code, reason = "vouches for a map that the kernel has described")]
    pub fn ring(&self) -> Result<mmap_ring::Ring, Error> {
        use std::os::fd::AsFd;
        self.must_be(MapType::RINGBUF, "read it as a ring buffer")?;
        let fd = fd::duplicate(self.as_fd(), "duplicates the map's fd for the reader: the map may be closed first")
            .map_err(|error| self.failed("duplicate the fd of", &error))?;
        if self.flags().contains(MapFlags::RB_OVERWRITE) {
            return Err(mmap_ring::Error::OverwriteMode.into());
        }
        // SAFETY: `Elements` has queried the map from the kernel: the type and flags are checked above, the size is
        // the kernel's. This fd is a duplicate of that one, so it is the same map.
        Ok(unsafe { mmap_ring::Ring::open_unchecked(fd, self.max_entries()) }?)
    }

    /// Maps the ring, or user ring, read-only, to observe it without disturbing its reader. Linux 5.8.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if the map is not a ring; [`Error::Ring`] if it cannot be mapped.
    pub fn peek(&self) -> Result<mmap_ring::Peek, Error> {
        if !self.map_type().is_ring() {
            self.must_be(MapType::RINGBUF, "observe it as a ring buffer")?;
        }
        Ok(mmap_ring::Peek::open(self, self.max_entries())?)
    }
}

impl Map {
    /// Refuses a map of another type.
    pub(super) fn must_be(&self, wanted: MapType, attempt: &str) -> Result<(), Error> {
        if self.map_type() == wanted {
            return Ok(());
        }
        Err(Error::Invalid {
            operation: format!("open the map `{}` to {attempt}", self.name()),
            why: format!("it is a {}, not a {wanted}", self.map_type()),
        })
    }
}
