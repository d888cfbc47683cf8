//! Every consumer of BPF perf buffers, behind one trait.

use std::os::fd::OwnedFd;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

mod aya;
mod bench;
mod libbpf;
mod ours;
mod producer;

pub use bench::{Effort, instructions, main};

use crate::ring::Sink;

/// Data pages of each CPU's buffer, as in the kernel's own `bench ringbufs`.
const PAGES: usize = 128;
/// The longest sleep of a consumer before it checks whether to stop.
const NAP: Duration = Duration::from_millis(100);

/// One consumer.
trait Peer<S: Sink>: Sized {
    const NAME: &'static str;

    /// Opens the consumer; `map` is a perf event array with a slot for each CPU.
    fn open(map: &OwnedFd) -> Self;

    /// Reads the pending records, without waiting.
    fn drain(&mut self);

    /// Waits and reads until `stop`.
    fn serve(&mut self, stop: &AtomicBool);

    /// Returns the sink with the records so far.
    fn sink(&mut self) -> &mut S;
}
