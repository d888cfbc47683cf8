//! From a map to the reader of what comes out of it.
//!
//! The readers know no maps and no bpf(2): one takes a descriptor to map, the other opens perf events that somebody has
//! to put into an array. That somebody is here.

#[cfg(feature = "perf")]
pub use perf::PerfBuffers;

#[cfg(any(feature = "ring", feature = "perf"))]
use crate::{Error, Map, MapType};

#[cfg(feature = "ring")]
impl Map {
    /// Opens the ring for reading, from where its last reader stopped. Linux 5.8. The ring keeps a descriptor of its own.
    ///
    /// # Errors
    ///
    /// [`Error::Unfit`] if the map is no `RINGBUF`; [`Error::Ring`] if it cannot be mapped.
    pub fn ring(&self) -> Result<mmap_ring::Ring, Error> {
        use std::os::fd::AsFd;
        self.must_be(MapType::RINGBUF, "read it as a ring buffer")?;
        let fd =
            self.as_fd().try_clone_to_owned().map_err(|error| self.failed("duplicate the descriptor of", &error))?;
        Ok(mmap_ring::Ring::open(fd, self.max_entries())?)
    }
}

#[cfg(any(feature = "ring", feature = "perf"))]
impl Map {
    fn must_be(&self, wanted: MapType, attempt: &str) -> Result<(), Error> {
        if self.map_type() == wanted {
            return Ok(());
        }
        Err(Error::Unfit {
            attempt: format!("open the map `{}` to {attempt}", self.name()),
            why: format!("it is a {}, not a {wanted}", self.map_type()),
        })
    }
}

#[cfg(feature = "perf")]
mod perf {
    use std::{
        ops::{Deref, DerefMut},
        os::fd::{AsFd, AsRawFd, OwnedFd},
    };

    use perf_reader::{Options, Set};

    use crate::{Error, Map, MapType};

    /// The perf buffers of all online CPUs, each in its slot of a `PERF_EVENT_ARRAY`.
    ///
    /// A slot is emptied when the descriptor that filled it is closed, so this holds one.
    #[derive(Debug)]
    pub struct PerfBuffers {
        set: Set,
        _array: OwnedFd,
    }

    impl Map {
        /// Opens a perf buffer of `pages` data pages (a power of two) on every online CPU and puts it into this map, where
        /// `bpf_perf_event_output` finds it.
        ///
        /// # Errors
        ///
        /// [`Error::Unfit`] if the map is no `PERF_EVENT_ARRAY`; [`Error::Perf`] if a buffer cannot be opened;
        /// [`Error::Kernel`] if the map does not take it (E2BIG: it has fewer slots than there are CPUs).
        pub fn perf_buffers(&self, pages: usize, options: &Options) -> Result<PerfBuffers, Error> {
            self.must_be(MapType::PERF_EVENT_ARRAY, "read it as perf buffers")?;
            let array = self
                .as_fd()
                .try_clone_to_owned()
                .map_err(|error| self.failed("duplicate the descriptor of", &error))?;
            let set = Set::open(pages, options)?;
            for buffer in &set {
                let fd = buffer.as_fd().as_raw_fd();
                self.update(&buffer.cpu().to_ne_bytes(), &fd.to_ne_bytes())?;
            }
            Ok(PerfBuffers { set, _array: array })
        }
    }

    impl Deref for PerfBuffers {
        type Target = Set;

        fn deref(&self) -> &Set {
            &self.set
        }
    }

    impl DerefMut for PerfBuffers {
        fn deref_mut(&mut self) -> &mut Set {
            &mut self.set
        }
    }
}
