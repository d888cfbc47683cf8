//! Prints events as lines: columns for people, JSON for programs.
//!
//! ```text
//!     table.rs   a row of the table, fitted to the width of the terminal
//!     json.rs    an object of JSON
//!     clock.rs   the time of day of an event
//! ```

mod clock;
mod json;
mod table;

use std::io::{self, BufWriter, Write};

use cutaway_programs::getaddrinfo::{DecodedEvent, Transport};
use cutaway_sys::clock::monotonic_ns;

use self::{clock::Clock, json::Json, table::Table};
use super::origin::Origin;
use crate::{
    args::Format,
    moment::Moment,
    outlet::{self, Standard},
    terminal,
};

/// The output for events: stdout, in the chosen format.
pub(crate) struct Output {
    to: BufWriter<Standard>,
    format: Format,
    clock: Clock,
    /// Whether the table has columns for the container and library.
    containers: bool,
    table: Table,
    has_header: bool,
}

impl Output {
    /// Creates an output. `wide` does not fit the table to the terminal.
    pub(crate) fn new(format: Format, containers: bool, wide: bool) -> Self {
        Self {
            to: BufWriter::new(outlet::stdout()),
            format,
            clock: Clock::new(),
            containers,
            table: Table::new(wide, containers),
            has_header: false,
        }
    }

    /// Writes the line of an event into the buffer. [`Output::flush`] writes the buffer to stdout.
    pub(crate) fn event(&mut self, event: &DecodedEvent<'_>, transport: Transport, origin: Origin) -> io::Result<()> {
        match self.format {
            Format::Table => {
                if !self.has_header {
                    self.has_header = true;
                    writeln!(self.to, "{}", self.table.header())?;
                }
                writeln!(self.to, "{}", self.table.row(event, &origin, &self.clock))
            }
            Format::Json => {
                let time = self.clock.utc(event.call.time_ns);
                terminal::write_json(&mut self.to, &Json::new(event, transport, origin, time))?;
                self.to.write_all(b"\n")
            }
        }
    }

    /// Writes lines that are no event. The next event has a header again.
    pub(crate) fn lines(&mut self, text: &str) -> io::Result<()> {
        self.has_header = false;
        self.to.write_all(text.as_bytes())
    }

    /// Returns the time: `CLOCK_MONOTONIC` in nanoseconds, and the date and time in UTC.
    pub(crate) fn now(&self) -> (u64, Option<String>) {
        let now = monotonic_ns();
        (now, self.clock.utc(now))
    }

    pub(crate) fn format(&self) -> Format {
        self.format
    }

    /// Returns whether the output shows the origin of a call.
    pub(crate) fn shows_origin(&self) -> bool {
        self.containers || self.format == Format::Json
    }

    /// Writes the buffer to stdout, and adapts to a clock that was set.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.flush_at(Moment::now())
    }

    /// Writes the buffer to stdout, and converts times by this moment from now on.
    pub(crate) fn flush_at(&mut self, now: Moment) -> io::Result<()> {
        self.clock.adapt(now);
        self.to.flush()
    }

    /// Returns the moment by which times are converted.
    pub(crate) fn moment(&self) -> Moment {
        self.clock.moment()
    }

    /// Returns the date and time in UTC; `None` if it is out of range.
    pub(crate) fn utc(&self, time_ns: u64) -> Option<String> {
        self.clock.utc(time_ns)
    }
}
