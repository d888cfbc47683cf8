//! Recordings of rings and perf buffers: what consumers received, and what observers saw.
//!
//! `cutaway trace`, `run` and `peek` write such files with `--record`, and `cutaway replay` shows them again. With the
//! feature `play`, a test plays one into the fake kernels of [`mmap-ring`](https://docs.rs/mmap-ring) and
//! [`perf-reader`](https://docs.rs/perf-reader), so that a consumer meets real traffic without a kernel.
//!
//! # Format
//!
//! A file is a sequence of LZ4 frames (`lz4 -dc FILE` decompresses it). Decompressed, it is a sequence of CBOR arrays
//! ([RFC 8742](https://www.rfc-editor.org/rfc/rfc8742)), the entries. The first number of an array is its kind:
//!
//! | kind | entry | fields after the kind |
//! | --- | --- | --- |
//! | 0 | [start](Entry::Start) | `"cutaway recording"`, version (1), command, program, kernel, machine, monotonic ns, wall ns, map of facts |
//! | 1 | [blob](Entry::Blob) | name, bytes |
//! | 2 | [buffer](Entry::Buffer) | number, name, kind, bytes, notes |
//! | 3 | [clock](Entry::Clock) | monotonic ns less that of the clock before; difference of the wall clock to it, less that of the clock before |
//! | 4 | [record](Entry::Record) | buffer, payload, and as far as they are known: CPU, ns since the clock, number of the label |
//! | 5 | [label](Entry::Label) | number, texts |
//! | 6 | [lines](Entry::Lines) | their purpose, the lines as JSON, the lines for people |
//! | 7 | [snapshot](Entry::Snapshot) | see below |
//! | 8 | [end](Entry::End) | received, lost, notes |
//!
//! A reader skips kinds that it does not know, and further fields of those that it knows: a later version of cutaway
//! may add both without a new version of the format.
//!
//! A snapshot is written as `[7, buffer, ns, consumer, producer, pending, overwrite, fill, released meanwhile,
//! records]`. The ns and the positions are differences to the snapshot before of the same buffer. Before the first
//! snapshot, positions are 0, there are no records, and the time is that of the clock. The first of `records` are the
//! notes, null if they have not changed. Then a positive number N keeps the next N records of the snapshot before, a
//! negative one drops them, and an array is a record that is new or has changed: `[position less consumer, length,
//! state, payload or null, notes]`. The remaining records of the snapshot before are dropped.
//!
//! An entry does not reach across frames, each block of a frame has a checksum, and nothing that was written is
//! changed. So after a crash, or while the file is being written, everything up to the last whole block is readable.
//!
//! ```
//! use cutaway_recording::{Buffer, Entry, Kind, Reader, Record, Start, Writer};
//!
//! let mut writer = Writer::new(Vec::new(), &Start { command: "example".into(), ..Start::default() });
//! let buffer = Buffer { index: 0, name: "events".into(), kind: Kind::Ring, bytes: 4096, notes: "".into() };
//! writer.add(&Entry::Buffer(buffer))?;
//! writer.add(&Entry::Record(Record { buffer: 0, cpu: None, time_ns: None, label: None, bytes: b"payload" }))?;
//! let file = writer.finish()?;
//!
//! let (mut reader, start) = Reader::new(file.as_slice())?;
//! assert_eq!(start.command, "example");
//! while let Some(entry) = reader.next_entry()? {
//!     if let Entry::Record(record) = entry {
//!         assert_eq!(record.bytes, b"payload");
//!     }
//! }
//! assert!(!reader.is_cut());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod context;
mod decode;
mod encode;
mod entry;
mod error;
mod format;
#[cfg(feature = "play")]
pub mod play;
mod reader;
mod snapshot;
mod tail;
#[cfg(test)]
mod tests;
mod writer;

pub use self::{
    entry::{Buffer, Entry, Kind, Record, Start},
    error::Error,
    format::VERSION,
    reader::Reader,
    snapshot::{Positions, Snapshot, Unread},
    writer::{Encoder, FrameWriter, Writer},
};
