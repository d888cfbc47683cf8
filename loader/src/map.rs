//! Maps in the kernel: creating and pinning them, reading and writing their elements.
//!
//! | file | content |
//! | --- | --- |
//! | `handle` | [`Map`]: its description and its memory |
//! | `verdict` | verbs and flags that a map's type allows; advice for the kernel's errors |
//! | `single` | single elements |
//! | `batch` | many elements by one system call |
//! | `no_key` | maps without keys: queues, stacks and Bloom filters |
//! | `typed` | keys and values as Rust types |
//! | `create` | creates a map from its description |
//! | `build` | creates maps without an object |
//! | `types` | BTF for the keys and values of such maps |
//! | `exclusive` | maps for a single program |
//! | `replace` | maps in place of an object's |
//! | `info` | the kernel's description; freezing |
//! | `fdinfo` | the kernel's lines about an fd |
//! | `memory` | mapped arrays and arenas |
//! | `pin` | pins in a BPF file system |
//! | `by_id` | maps of any process, by id |

#[cfg(feature = "elements")]
mod batch;
#[cfg(feature = "maps")]
mod build;
#[cfg(feature = "system")]
mod by_id;
mod create;
#[cfg(feature = "maps")]
mod exclusive;
mod fdinfo;
mod handle;
mod info;
mod memory;
#[cfg(feature = "elements")]
mod no_key;
mod pin;
#[cfg(feature = "maps")]
mod replace;
mod single;
#[cfg(feature = "elements")]
mod typed;
#[cfg(feature = "maps")]
mod types;
mod verdict;

pub(crate) use self::pin::NewPins;
#[cfg(feature = "elements")]
pub use self::{
    batch::{Batches, Entries},
    typed::TypedMap,
};
#[cfg(feature = "maps")]
pub use self::{build::MapBuilder, exclusive::program_hash};
pub use self::{handle::Map, info::MapInfo, memory::MapMemory, single::PerCpu};
