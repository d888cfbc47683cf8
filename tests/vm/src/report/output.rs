//! The output of a test: the last bytes in memory, all before them in a file.
//!
//! All outputs of this process share one temporary file without a name. So a thousand tests that print megabytes use
//! one fd and little memory, and the file disappears with the process.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::{Mutex, OnceLock, PoisonError};

/// The bytes of one output that are kept in memory before they are written to the file.
const IN_MEMORY: usize = 16 << 10;

/// The file, and the offset of its end.
struct Spool {
    file: File,
    end: Mutex<u64>,
}

static SPOOL: OnceLock<Spool> = OnceLock::new();

/// The output of a test: stdout and stderr in the order of arrival.
#[derive(Debug, Clone, Default)]
pub struct Output {
    /// Offsets and sizes in the file.
    written: Vec<(u64, u64)>,
    /// The bytes after those.
    rest: Vec<u8>,
    /// The bytes that could not be written, and the last reason.
    lost: Option<(u64, String)>,
}

impl Output {
    /// Appends bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.rest.extend_from_slice(bytes);
        if self.rest.len() < IN_MEMORY {
            return;
        }
        let bytes = std::mem::take(&mut self.rest);
        match append(&bytes) {
            Ok(offset) => match self.written.last_mut() {
                Some((start, length)) if *start + *length == offset => *length += bytes.len() as u64,
                _ => self.written.push((offset, bytes.len() as u64)),
            },
            Err(error) => {
                let before = self.lost.take().map_or(0, |(count, _)| count);
                self.lost = Some((before + bytes.len() as u64, error.to_string()));
            }
        }
    }

    /// Returns the size in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.written.iter().map(|(_, length)| length).sum::<u64>() + self.rest.len() as u64
    }

    /// Returns true if nothing was printed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.size() == 0 && self.lost.is_none()
    }

    /// Returns the whole output. A sentence at its end names the bytes that the host could not keep.
    #[must_use]
    pub fn text(&self) -> String {
        self.shortened(u64::MAX)
    }

    /// Returns the output if it has at most `limit` bytes. Otherwise returns its beginning and its end, together
    /// `limit` bytes, and between them the number of the bytes that were cut out.
    #[must_use]
    pub fn shortened(&self, limit: u64) -> String {
        let size = self.size();
        let mut bytes = Vec::new();
        let mut read = if size <= limit {
            self.read(0..size, &mut bytes)
        } else {
            let half = limit / 2;
            let first = self.read(0..half, &mut bytes);
            bytes.extend(format!("\n[{} bytes cut out here]\n", size - 2 * half).into_bytes());
            first.and(self.read(size - half..size, &mut bytes))
        };
        if let Some((count, error)) = &self.lost {
            read = read.and(Err(io::Error::other(format!("{count} bytes were not written: {error}"))));
        }
        if let Err(error) = read {
            bytes.extend(format!("\n[some of this output is lost: {error}]\n").into_bytes());
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Appends the bytes in a range of offsets to `to`.
    fn read(&self, range: std::ops::Range<u64>, to: &mut Vec<u8>) -> io::Result<()> {
        let mut at = 0;
        for (offset, length) in &self.written {
            let (start, end) = (range.start.clamp(at, at + length), range.end.clamp(at, at + length));
            if start < end {
                let before = to.len();
                to.resize(before + usize::try_from(end - start).map_err(io::Error::other)?, 0);
                let spool = SPOOL.get().ok_or(io::ErrorKind::NotFound)?;
                spool.file.read_exact_at(to.get_mut(before..).unwrap_or_default(), offset + (start - at))?;
            }
            at += length;
        }
        let inside =
            |offset: u64| usize::try_from(offset.saturating_sub(at)).unwrap_or(usize::MAX).min(self.rest.len());
        to.extend_from_slice(self.rest.get(inside(range.start)..inside(range.end)).unwrap_or_default());
        Ok(())
    }
}

impl From<&str> for Output {
    fn from(text: &str) -> Self {
        let mut output = Self::default();
        output.push(text.as_bytes());
        output
    }
}

impl PartialEq for Output {
    fn eq(&self, other: &Self) -> bool {
        self.text() == other.text()
    }
}

/// Appends bytes to the file. Returns their offset.
fn append(bytes: &[u8]) -> io::Result<u64> {
    let spool = match SPOOL.get() {
        Some(spool) => spool,
        None => {
            let new = Spool { file: tempfile::tempfile()?, end: Mutex::new(0) };
            // Another thread may have been faster; its file is then used.
            SPOOL.get_or_init(|| new)
        }
    };
    let mut end = spool.end.lock().unwrap_or_else(PoisonError::into_inner);
    let offset = *end;
    spool.file.write_all_at(bytes, offset)?;
    *end += bytes.len() as u64;
    Ok(offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_outputs_are_read_back() {
        let mut one = Output::default();
        let mut other = Output::default();
        let mut whole = String::new();
        for number in 0..20_000 {
            let line = format!("line {number}\n");
            one.push(line.as_bytes());
            other.push(b"x");
            whole.push_str(&line);
        }
        assert_eq!(one.text(), whole);
        assert_eq!(one.size(), whole.len() as u64);
        assert_eq!(other.text(), "x".repeat(20_000));
        assert!(one.rest.len() < IN_MEMORY && !one.written.is_empty());
        assert!(Output::default().is_empty() && !other.is_empty());
    }

    #[test]
    fn beginning_and_end_of_a_long_output_are_kept_with_the_size_of_the_cut() {
        let whole = format!("{}{}{}", "a".repeat(50_000), "b".repeat(1 << 20), "c".repeat(50_000));
        let output = Output::from(whole.as_str());
        let cut =
            format!("{}\n[{} bytes cut out here]\n{}", "a".repeat(40_000), (1 << 20) + 20_000, "c".repeat(40_000));
        assert_eq!(output.shortened(80_000), cut);
        assert_eq!(output.shortened(whole.len() as u64), whole);
        assert_eq!(Output::from("ab").shortened(1), "\n[2 bytes cut out here]\n");
    }
}
