//! The BPF ring buffer, read from its own mapped pages.
//!
//! [`Ring`] is the consumer: it maps the pages of a `BPF_MAP_TYPE_RINGBUF`,
//! borrows [batches](Ring::batch) of records and [waits](Ring::wait) for more.

#[cfg(not(target_pointer_width = "64"))]
compile_error!(
    "the positions of a BPF ring buffer are the kernel's `unsigned long`: a 32-bit process cannot follow those of a 64-bit kernel, so this crate is built for 64-bit targets"
);

mod batch;
mod consumer;
mod error;
#[cfg(any(test, feature = "fake"))]
pub mod fake;
mod memory;
mod overwrite;
mod peek;
mod record;
mod ring;
mod run;
mod set;
mod user;
mod wait;

pub use batch::{Batch, Record, Records, RecordsWithin};
pub use consumer::{Head, Positions};
pub use error::{Corrupt, Error, Region};
pub use memory::mapped::{Mapped, Pages};
pub use memory::user::{Produce, UserMapped};
pub use memory::whole::Whole;
pub use memory::{Consume, Data, Memory};
pub use overwrite::{Losses, OverwriteRing};
pub use peek::{Peek, Pending, Place, Seen};
pub use ring::{Counters, Ring};
pub use run::Pace;
pub use set::Set;
pub use user::{Sample, UserRing};
pub use wait::{Stopper, Wake};

#[cfg(test)]
mod tests;
