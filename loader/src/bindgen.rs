//! Writes a Rust module for an object: its types, and a type that opens, loads and attaches it.
//!
//! A `build.rs` calls [`Builder`] and needs no clang, no kernel and no privileges: everything is in the object file.
//!
//! ```no_run
//! // build.rs, with `cutaway = { version = "0.1", features = ["bindgen"] }` in [build-dependencies]
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! cutaway::bindgen::Builder::new("probes.o").write_to_out_dir()?;
//! # Ok(())
//! # }
//! ```
//!
//! ```ignore
//! // main.rs
//! include!(concat!(env!("OUT_DIR"), "/probes.rs"));
//!
//! let mut open = OpenProbes::open()?;
//! open.maps().counts()?.max_entries = 4096;        // struct { … } counts SEC(".maps");
//! open.globals().set_pid(std::process::id())?;     // const volatile u32 pid;
//! let loaded = open.load()?;
//! let links = loaded.attach()?;
//! let counts = loaded.maps().counts()?;            // TypedMap<u32, Count>
//! let total = loaded.globals().total()?.read()?;   // u64
//! ```
//!
//! # The module
//!
//! | C | Rust |
//! | --- | --- |
//! | `struct event` | `struct Event`, `#[repr(C)]` with the same size, alignment and offsets, which the compiler checks once more |
//! | `__attribute__((packed))`, `aligned(N)` | `#[repr(C, packed)]`, `align(N)` where offsets and sizes show it; padding otherwise |
//! | a member of an unnamed structure | a field of the structure that contains it |
//! | a union | bytes, with a getter and a setter for each member |
//! | a bit field | bytes that several share, with a getter and a setter |
//! | an enumeration | a newtype of its integer with constants: every value is valid |
//! | `char` | `u8` |
//! | a pointer | `u64`: an address in the kernel or in another process |
//! | a flexible array | a function that reads it from a record |
//! | `bpf_timer` and similar types | bytes |
//! | `typedef struct event event_t` | `type EventT = Event` |
//!
//! Each type implements [`Pod`](crate::Pod), without unsafe code. The module has the types of keys and values of maps,
//! of global variables, and of records: those that a global pointer points to (`const struct event *unused;`), those
//! that the source line of a submitting call names, and those of the size that a call submits.
//! [`Options::type_name`] adds others.
//!
//! The text is formatted as rustfmt does it by default, and is the same on each run. It compiles in editions 2021 and
//! 2024, as a file of its own (`mod probes;`) and by `include!`.
//!
//! ```text
//!     roots.rs     maps, variables, records ─▶ type ids      layout.rs    offsets ─▶ fields, padding, attributes
//!     records.rs   types of records                          types.rs     definitions ─▶ text
//!     collect.rs   type ids ─▶ definitions (model.rs)        skeleton.rs  open, load, attach ─▶ text
//!     naming.rs    C names ─▶ identifiers                    print.rs     text as rustfmt formats it
//!     support.rs   functions of the module                   embedded.rs  the object's bytes
//!     items.rs     maps, programs, variables                 builder.rs   for build.rs
//! ```

mod builder;
mod collect;
mod embedded;
mod items;
mod layout;
mod model;
mod module;
mod naming;
mod options;
mod print;
mod records;
mod roots;
mod skeleton;
mod support;
mod types;

#[cfg(test)]
mod tests;

pub use self::{builder::Builder, module::generate, options::Options};
