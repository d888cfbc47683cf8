//! Plays a recording into a fake kernel (feature `play`).
//!
//! ```
//! use cutaway_recording::{play, Buffer, Entry, Kind, Reader, Record, Start, Writer};
//! use mmap_ring::fake::Kernel;
//!
//! # let mut writer = Writer::new(Vec::new(), &Start::default());
//! # let buffer = Buffer { index: 0, name: "events".into(), kind: Kind::Ring, bytes: 4096, notes: "".into() };
//! # writer.add(&Entry::Buffer(buffer))?;
//! # for bytes in [b"first".as_slice(), b"second"] {
//! #     writer.add(&Entry::Record(Record { buffer: 0, cpu: None, time_ns: None, label: None, bytes }))?;
//! # }
//! # let file = writer.finish()?;
//! // `file` may be anything that implements `Read`, such as a `File`.
//! let (mut reader, _) = Reader::new(file.as_slice())?;
//! let (kernel, mut ring) = Kernel::new(4096)?;
//! let mut seen = Vec::new();
//! let played = play::into_ring(&mut reader, "events", &kernel, || {
//!     // The consumer under test: it is called when the ring is full, and at the end.
//!     let mut batch = ring.batch()?;
//!     let mut records = batch.records();
//!     while let Some(record) = records.next() {
//!         seen.push(record.to_vec());
//!     }
//!     Ok(())
//! })?;
//! assert_eq!((played.sent, played.lost), (2, 0));
//! assert_eq!(seen, [b"first".to_vec(), b"second".to_vec()]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::{collections::BTreeMap, error, io::Read};

use mmap_ring::fake::{Commit, Kernel};

use crate::{
    entry::{Entry, Record},
    reader::Reader,
};

/// The records that were played.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Played {
    /// The records that were sent.
    pub sent: u64,
    /// The records that found no room, although the consumer was called.
    pub lost: u64,
}

/// Any error: of the recording, or of the consumer.
type Failure = Box<dyn error::Error>;

/// Sends the records of the buffer with this name into a fake ring, in their order. Calls `consume` when the ring is
/// full, and at the end. If a record then still finds no room, it is lost, as in a kernel.
///
/// # Errors
/// If the recording cannot be read or has no such buffer, and the errors of `consume`.
pub fn into_ring<R: Read>(
    reader: &mut Reader<R>,
    buffer: &str,
    kernel: &Kernel,
    mut consume: impl FnMut() -> Result<(), Failure>,
) -> Result<Played, Failure> {
    let mut played = Played::default();
    each(reader, buffer, |record| {
        let is_sent = || {
            kernel.reserve(record.bytes.len() as u32).is_some_and(|mut reservation| {
                reservation.fill(record.bytes);
                reservation.submit(Commit::Adaptive);
                true
            })
        };
        let mut sent = is_sent();
        if !sent {
            consume()?;
            sent = is_sent();
        }
        played.count(sent);
        Ok(())
    })?;
    consume()?;
    Ok(played)
}

/// Sends the records of the perf buffers with this name into fake perf buffers, each into that of its CPU, in their
/// order. Calls `consume` when one is full, and at the end.
///
/// A recording has the payloads with the kernel's padding, so it is sent as it is.
///
/// # Errors
/// If the recording cannot be read, has no such buffer or a record of a CPU without fake buffer, and the errors of
/// `consume`.
pub fn into_perf<R: Read>(
    reader: &mut Reader<R>,
    buffer: &str,
    kernels: &mut BTreeMap<u32, perf_reader::fake::Kernel>,
    mut consume: impl FnMut() -> Result<(), Failure>,
) -> Result<Played, Failure> {
    let mut played = Played::default();
    each(reader, buffer, |record| {
        let cpu = record.cpu.unwrap_or(0);
        let kernel = kernels.get_mut(&cpu).ok_or_else(|| format!("no fake perf buffer is given for CPU {cpu}"))?;
        let mut is_sent = || {
            let sent = match record.time_ns {
                Some(time) => kernel.sample_at(time, record.bytes),
                None => kernel.sample(record.bytes),
            };
            sent.is_ok()
        };
        let mut sent = is_sent();
        if !sent {
            consume()?;
            sent = is_sent();
        }
        played.count(sent);
        Ok(())
    })?;
    consume()?;
    Ok(played)
}

impl Played {
    fn count(&mut self, sent: bool) {
        if sent {
            self.sent += 1;
        } else {
            self.lost += 1;
        }
    }
}

/// Calls `send` with each record of the buffer with this name.
fn each<R: Read>(
    reader: &mut Reader<R>,
    buffer: &str,
    mut send: impl FnMut(&Record<'_>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut index = None;
    while let Some(entry) = reader.next_entry()? {
        match entry {
            Entry::Buffer(found) if found.name == buffer => index = Some(found.index),
            Entry::Record(record) if Some(record.buffer) == index => send(&record)?,
            _ => {}
        }
    }
    index.map(|_| ()).ok_or_else(|| format!("the recording has no buffer `{buffer}`").into())
}
