//! One guest from birth to report: boots it, listens, judges what it hears, and ends it in any case.
//!
//! A guest may be silent for three reasons, told apart by what is seen: its channel ends without `done` (it died: the
//! console says of what), it is not heard for too long (it hangs: an NMI makes it say where), or its time is up.

mod heard;
mod listen;
mod spec;
mod transcript;
mod verdict;

pub use heard::Heard;
pub(crate) use spec::{COMPLAINTS, CONSOLE, FILES};
pub use spec::{Limits, Run};
