//! Runs one guest: boots it, reads its messages, judges them, and ends it in every case.
//!
//! A guest falls silent for one of three reasons: its channel ends without `done` (it crashed: the console gives the
//! reason), no message arrives for too long (it hangs: an NMI makes it print its stacks), or its time limit passes.
//!
//! ```text
//!     spec.rs        the guest to run and its limits
//!     listen.rs      boots it and reads its messages      heard.rs   what is reported meanwhile
//!     dispatch.rs    sends it its orders                session.rs the user's side of its shell
//!     transcript.rs  the messages so far, and the report made of them
//!     verdict.rs     the outcome of a test
//! ```

mod dispatch;
mod heard;
mod listen;
mod session;
mod spec;
mod transcript;
mod verdict;

pub use heard::Heard;
pub(crate) use spec::{COMPLAINTS, CONSOLE, FILES};
pub use spec::{Limits, Run, Start};
