//! Maps in the kernel: created, pinned, and their elements read and written.
//!
//! | file | content |
//! | --- | --- |
//! | `handle` | [`Map`]: what the kernel says of it, one element at a time, its memory |
//! | `batch` | many elements by one system call |
//! | `create` | from a description to a map |
//! | `pin` | names in a BPF file system |
//! | `by_id` | maps of others, by their id |

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
