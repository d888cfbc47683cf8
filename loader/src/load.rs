//! Loads an object: creates its maps and has the verifier check its programs.
//!
//! Load order (each step needs the one before):
//!
//! 1. the object's BTF, because maps and programs refer to its type ids;
//! 2. one pass over the kernel's BTF for CO-RE, attach targets, ksyms and struct_ops, skipped if nothing needs it
//!    ([`plan`]);
//! 3. maps, because instructions embed their file descriptors;
//! 4. each program, linked and verified; on several threads if that is worth it.
//!
//! On any failure everything created so far is closed, and new pins are removed.
//!
//! ```text
//!     options.rs    settings of one load that an object cannot contain
//!     plan.rs       the steps that create no kernel object: shared with dry_run.rs
//!     pipeline.rs   Object::load: the steps above        loaded.rs   Loaded: their result
//!     programs.rs   one program
//!     queue.rs      all programs, given out to threads   threads.rs  whether several threads load them
//!     helpers.rs    these threads
//! ```

#[cfg(feature = "parallel")]
mod helpers;
mod loaded;
mod options;
mod pipeline;
mod plan;
mod programs;
#[cfg(feature = "parallel")]
mod queue;
#[cfg(feature = "parallel")]
mod threads;

pub(crate) use self::plan::Plan;
pub use self::{loaded::Loaded, options::LoadOptions, pipeline::FailedProgram};
