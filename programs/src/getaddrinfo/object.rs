//! The object of each transport: all programs and maps together.

use super::{Filter, Transport, entry, filter, follow, heap, losses, return_probe, ring, stack};
use crate::{Error, ObjectBuilder, source};

impl Transport {
    /// Returns the object file with the programs that send events by this transport, for this machine's architecture.
    ///
    /// # Errors
    ///
    /// Only if the programs in this crate have a bug, which its tests rule out.
    pub fn object(self) -> Result<Vec<u8>, Error> {
        self.object_with(&Filter::default())
    }

    /// Returns the object as [`Transport::object`] does, with programs that send only the events that pass `filter`.
    ///
    /// # Errors
    ///
    /// [`Error::JumpTooFar`] for thousands of user ids or names of threads.
    pub fn object_with(self, filter: &Filter) -> Result<Vec<u8>, Error> {
        self.builder(filter).write()
    }

    /// Returns the programs as text: Rust lines, instructions, names.
    ///
    /// # Errors
    ///
    /// As [`Transport::object`].
    pub fn listing(self) -> Result<String, Error> {
        self.builder(&Filter::default()).listing()
    }

    fn builder(self, filter: &Filter) -> ObjectBuilder {
        let mut object = ObjectBuilder::new("Dual MIT/GPL");
        for source in [
            source!("object.rs"),
            return_probe::SOURCE,
            entry::SOURCE,
            filter::SOURCE,
            follow::SOURCE,
            heap::SOURCE,
            losses::SOURCE,
            ring::SOURCE,
            stack::SOURCE,
        ] {
            object.source(source);
        }
        let losses = losses::Counters::new(&mut object);
        let followed = follow::programs(&mut object, &losses);
        let calls = entry::program(&mut object, &followed);
        let origin = return_probe::Origin::new(&mut object);
        let shared = return_probe::Shared { calls, followed, filter, losses, origin };
        match self {
            Self::PerfStack => {
                let transport = stack::Stack::new(&mut object);
                return_probe::program(&mut object, &transport, &shared);
            }
            Self::PerfHeap => {
                let transport = heap::Heap::new(&mut object);
                return_probe::program(&mut object, &transport, &shared);
            }
            Self::Ring => {
                let transport = ring::Ring::new(&mut object);
                return_probe::program(&mut object, &transport, &shared);
            }
        }
        object
    }
}
