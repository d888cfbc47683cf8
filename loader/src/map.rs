//! Maps in the kernel: creating and pinning them, reading and writing their elements.
//!
//! | file | content |
//! | --- | --- |
//! | `handle` | [`Map`]: its description, single elements, its memory |
//! | `batch` | many elements by one system call |
//! | `create` | creates a map from its description |
//! | `pin` | pins in a BPF file system |
//! | `by_id` | maps of any process, by id |

mod batch;
#[cfg(feature = "system")]
mod by_id;
mod create;
mod handle;
mod pin;

pub(crate) use self::pin::NewPins;
pub use self::{
    batch::{Batches, Entries},
    handle::{Map, PerCpu},
};
