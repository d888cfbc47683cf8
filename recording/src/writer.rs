//! Writes a recording.

use std::io::{self, Write};

use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};

use crate::{
    context::Context,
    encode,
    entry::{Entry, Start},
};

/// The bytes of entries after which a frame is written.
const CHUNK: usize = 256 * 1024;

/// Encodes entries into memory, for a [`FrameWriter`] of this or another thread.
#[derive(Debug, Default)]
pub struct Encoder {
    context: Context,
    bytes: Vec<u8>,
}

impl Encoder {
    /// Begins a recording.
    #[must_use]
    pub fn new(start: &Start<'_>) -> Self {
        let mut encoder = Self::default();
        encoder.add(&Entry::Start(start.clone()));
        encoder
    }

    /// Encodes an entry.
    pub fn add(&mut self, entry: &Entry<'_>) {
        encode::entry(&mut self.bytes, &mut self.context, entry);
    }

    #[cfg(test)]
    fn add_encoded(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Returns whether the entries are enough for a frame.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.bytes.len() >= CHUNK
    }

    /// Returns whether there is no entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Takes the encoded entries, for one frame.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::replace(&mut self.bytes, Vec::with_capacity(CHUNK + CHUNK / 4))
    }
}

/// Compresses encoded entries and writes them.
#[derive(Debug)]
pub struct FrameWriter<W> {
    to: W,
    written: u64,
}

impl<W: Write> FrameWriter<W> {
    /// Writes to a file that is empty.
    pub fn new(to: W) -> Self {
        Self { to, written: 0 }
    }

    /// Writes the entries as one LZ4 frame, by one call of `write_all`.
    ///
    /// # Errors
    /// If writing fails. Readers then ignore the part of the frame that was written.
    pub fn write(&mut self, entries: &[u8]) -> io::Result<()> {
        let info = FrameInfo::new()
            .block_mode(BlockMode::Linked)
            .block_size(BlockSize::Max64KB)
            .block_checksums(true)
            .content_checksum(false);
        let mut frame = FrameEncoder::with_frame_info(info, Vec::with_capacity(entries.len() / 2 + 64));
        frame.write_all(entries)?;
        let frame = frame.finish().map_err(io::Error::other)?;
        self.to.write_all(&frame)?;
        self.written += frame.len() as u64;
        Ok(())
    }

    /// Returns the bytes that were written.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Returns what is written to.
    pub fn into_inner(self) -> W {
        self.to
    }
}

/// Writes a recording from one thread.
#[derive(Debug)]
pub struct Writer<W> {
    encoder: Encoder,
    to: FrameWriter<W>,
}

impl<W: Write> Writer<W> {
    /// Begins a recording in a file that is empty.
    pub fn new(to: W, start: &Start<'_>) -> Self {
        Self { encoder: Encoder::new(start), to: FrameWriter::new(to) }
    }

    /// Adds an entry. It is in the file after the next [`flush`](Self::flush), or earlier.
    ///
    /// # Errors
    /// If writing fails.
    pub fn add(&mut self, entry: &Entry<'_>) -> io::Result<()> {
        self.encoder.add(entry);
        if self.encoder.is_full() { self.flush() } else { Ok(()) }
    }

    /// Writes all entries to the file.
    ///
    /// # Errors
    /// If writing fails.
    pub fn flush(&mut self) -> io::Result<()> {
        if !self.encoder.is_empty() {
            self.to.write(&self.encoder.take())?;
        }
        Ok(())
    }

    /// Adds bytes that may be no entry.
    #[cfg(test)]
    pub(crate) fn add_encoded(&mut self, bytes: &[u8]) {
        self.encoder.add_encoded(bytes);
    }

    /// Returns the bytes that were written.
    #[cfg(test)]
    pub(crate) fn length(&self) -> usize {
        self.to.written as usize
    }

    /// Writes all entries, and returns what was written to.
    ///
    /// # Errors
    /// If writing fails.
    pub fn finish(mut self) -> io::Result<W> {
        self.flush()?;
        Ok(self.to.into_inner())
    }
}
