//! Text that programs print: by `bpf_trace_printk` (`bpf_printk`), and to their streams (Linux 6.17).
//!
//! ```text
//!     print.rs        a text, as it is printed
//!     trace_pipe.rs   the kernel's trace, in an instance of its own
//!     trace_line.rs   a line of the trace ──▶ text and process
//!     streams.rs      the streams of the programs
//! ```
//!
//! Neither can be waited for together with the buffers, so both are read every [`INTERVAL`]. The trace has the texts of
//! all programs of this machine, because the kernel does not record which program has printed one.

mod print;
mod streams;
mod trace_line;
mod trace_pipe;

use std::time::Duration;

use cutaway::{Helper, Loaded, Object};

pub(super) use self::print::Print;
use self::{streams::Streams, trace_pipe::TracePipe};
use super::{submit_sites, tick::Tick};
use crate::{diagnostics, error::CliError};

/// Interval at which texts are read.
const INTERVAL: Duration = Duration::from_millis(100);

/// How the programs of an object print.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Printing {
    /// By `bpf_trace_printk` or `bpf_trace_vprintk`.
    to_trace: bool,
    /// By `bpf_stream_vprintk`.
    to_streams: bool,
}

impl Printing {
    /// Looks for calls that print in the programs that are to run.
    pub(super) fn of(object: &Object) -> Self {
        let to_trace = submit_sites::calls(object, &[Helper::bpf_trace_printk, Helper::bpf_trace_vprintk]);
        Self { to_trace, to_streams: object.externs().iter().any(|known| known.name.starts_with("bpf_stream_")) }
    }

    /// Returns whether they print at all.
    pub(super) fn is_any(self) -> bool {
        self.to_trace || self.to_streams
    }
}

/// Reads the texts.
pub(super) struct Prints<'a> {
    trace: Option<TracePipe>,
    streams: Option<Streams<'a>>,
    tick: Tick,
}

impl<'a> Prints<'a> {
    /// Prepares to read what the programs print. Call it before they are attached. `None` if they do not print.
    pub(super) fn start(printing: Printing, loaded: &'a Loaded) -> Option<Self> {
        let trace = printing.to_trace.then(TracePipe::open).and_then(|opened| match opened {
            Ok(pipe) => Some(pipe),
            Err(why) => {
                diagnostics::say(&format!("texts of bpf_trace_printk are not printed: {why}"));
                None
            }
        });
        let streams = printing.to_streams.then(|| Streams::of(loaded));
        let reads = trace.is_some() || streams.is_some();
        reads.then(|| Self { trace, streams, tick: Tick::after(INTERVAL) })
    }

    /// Returns when they are read next.
    pub(super) fn next(&self) -> std::time::Instant {
        self.tick.next()
    }

    /// Reads the texts, if they are due.
    pub(super) fn read_if_due(&mut self) -> Result<Vec<Print>, CliError> {
        if self.tick.is_due() { self.read() } else { Ok(Vec::new()) }
    }

    /// Reads the texts that have been printed until now.
    pub(super) fn read(&mut self) -> Result<Vec<Print>, CliError> {
        let mut prints = match &mut self.trace {
            Some(trace) => trace.read()?,
            None => Vec::new(),
        };
        if let Some(streams) = &mut self.streams {
            prints.extend(streams.read()?);
        }
        Ok(prints)
    }

    /// Stops the trace. The texts that are left can still be read.
    pub(super) fn stop(&self) {
        self.trace.iter().for_each(TracePipe::stop);
    }

    /// Returns whether the last read left texts in the trace.
    pub(super) fn is_behind(&self) -> bool {
        self.trace.as_ref().is_some_and(TracePipe::is_behind)
    }

    /// Returns the last texts of the streams, which have no line feed.
    pub(super) fn finish(&mut self) -> Vec<Print> {
        self.streams.as_mut().map(Streams::finish).unwrap_or_default()
    }
}
