//! The object of each transport: all programs and maps together.

use super::{Transport, entry, follow, heap, losses, return_probe, ring, stack};
use crate::{Error, ObjectBuilder, source};

impl Transport {
    /// Returns the object file with the programs that send events by this transport, for this machine's architecture.
    ///
    /// # Errors
    ///
    /// Only if the programs in this crate have a bug, which its tests rule out.
    pub fn object(self) -> Result<Vec<u8>, Error> {
        self.builder().write()
    }

    /// Returns the programs as text: Rust lines, instructions, names.
    ///
    /// # Errors
    ///
    /// As [`Transport::object`].
    pub fn listing(self) -> Result<String, Error> {
        self.builder().listing()
    }

    fn builder(self) -> ObjectBuilder {
        let mut object = ObjectBuilder::new("Dual MIT/GPL");
        for source in [
            source!("object.rs"),
            return_probe::SOURCE,
            entry::SOURCE,
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
        match self {
            Self::PerfStack => {
                let transport = stack::Stack::new(&mut object);
                return_probe::program(&mut object, &transport, calls, &followed, &losses, &origin);
            }
            Self::PerfHeap => {
                let transport = heap::Heap::new(&mut object);
                return_probe::program(&mut object, &transport, calls, &followed, &losses, &origin);
            }
            Self::Ring => {
                let transport = ring::Ring::new(&mut object);
                return_probe::program(&mut object, &transport, calls, &followed, &losses, &origin);
            }
        }
        object
    }
}
