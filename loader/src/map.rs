//! Maps in the kernel: creating and pinning them, reading and writing their elements.
//!
//! | file | content |
//! | --- | --- |
//! | `handle` | [`Map`]: its description and its memory |
//! | `verdict` | what a map's type allows; advice for the kernel's errors |
//! | `single` | single elements |
//! | `batch` | many elements by one system call |
//! | `no_key` | maps without keys: queues, stacks and Bloom filters |
//! | `typed` | keys and values as Rust types |
//! | `create` | creates a map from its description |
//! | `pin` | pins in a BPF file system |
//! | `by_id` | maps of any process, by id |

mod batch;
#[cfg(feature = "system")]
mod by_id;
mod create;
mod handle;
mod no_key;
mod pin;
mod single;
mod typed;
mod verdict;

pub(crate) use self::pin::NewPins;
pub use self::{
    batch::{Batches, Entries},
    handle::Map,
    single::PerCpu,
    typed::TypedMap,
};
