//! A reader that knows the last bytes that were read from it.

use std::io::{self, BufRead, BufReader, Read};

/// Keeps the last four bytes.
pub(crate) struct Tail<R> {
    from: BufReader<R>,
    last: [u8; 4],
}

impl<R: Read> Tail<R> {
    pub(crate) fn new(from: R, buffer: usize) -> Self {
        Self { from: BufReader::with_capacity(buffer, from), last: [0; 4] }
    }

    /// Returns whether the file has no further bytes.
    pub(crate) fn is_at_end(&mut self) -> io::Result<bool> {
        Ok(self.from.fill_buf()?.is_empty())
    }

    /// Returns whether the bytes that were read end as an LZ4 frame does: with four zeros, if it has no checksum of its
    /// contents. They can also be the checksum of a block: of one in four billion.
    pub(crate) fn ends_a_frame(&self) -> bool {
        self.last == [0; 4]
    }
}

impl<R: Read> Read for Tail<R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(to)?;
        for &byte in to.get(read.saturating_sub(self.last.len())..read).unwrap_or_default() {
            self.last.rotate_left(1);
            self.last[3] = byte;
        }
        Ok(read)
    }
}
