//! Reads a recording.

use std::io::{ErrorKind, Read};

use lz4_flex::frame::FrameDecoder;

use crate::{
    context::Context,
    decode,
    entry::{Entry, Start},
    error::Error,
    format::VERSION,
    tail::Tail,
};

/// The bytes that are read at least before an entry is tried again.
const STEP: usize = 64 * 1024;

/// The longest entry in bytes. Longer ones are damage: the BTF of the largest kernels has 20 MB.
const LONGEST: usize = 256 << 20;

/// Reads the entries of a recording, in their order.
pub struct Reader<R: Read> {
    frames: FrameDecoder<Tail<R>>,
    context: Context,
    /// Decompressed bytes; those before `used` were returned.
    bytes: Vec<u8>,
    used: usize,
    /// The entries that were returned.
    entries: u64,
    ended: bool,
    cut: bool,
}

impl<R: Read> Reader<R> {
    /// Reads the start of a recording.
    ///
    /// # Errors
    /// If the file cannot be read, is no recording, or has a later version than this reader.
    pub fn new(from: R) -> Result<(Self, Start<'static>), Error> {
        let mut reader = Self {
            frames: FrameDecoder::new(Tail::new(from, STEP)),
            context: Context::default(),
            bytes: Vec::new(),
            used: 0,
            entries: 0,
            ended: false,
            cut: false,
        };
        let length = match reader.fill() {
            // An empty file, or one whose first frame is not whole.
            Ok(length) => length.ok_or(Error::NoStart)?,
            Err(Error::Damaged { .. }) => return Err(Error::NotARecording),
            Err(error) => return Err(error),
        };
        match decode::version(reader.rest(length)) {
            None => return Err(Error::NotARecording),
            Some(version) if version > VERSION => return Err(Error::Version(version)),
            Some(_) => {}
        }
        match reader.next_entry()? {
            Some(Entry::Start(start)) => {
                let start = start.into_owned();
                Ok((reader, start))
            }
            _ => Err(Error::NotARecording),
        }
    }

    /// Returns the next entry; `None` at the end of the file. Entries of kinds that this reader does not know are
    /// skipped.
    ///
    /// # Errors
    /// If the file cannot be read, or is damaged. After an error there are no more entries.
    pub fn next_entry(&mut self) -> Result<Option<Entry<'_>>, Error> {
        let length = loop {
            let Some(length) = self.fill()? else { return Ok(None) };
            match decode::is_known(self.rest(length)) {
                Ok(true) => break length,
                Ok(false) => self.used += length,
                Err(error) => return Err(self.damaged(&error)),
            }
        };
        if self.entries > 0 && decode::version(self.rest(length)).is_some() {
            return Err(self.damaged(&"another recording begins, and files are not joined"));
        }
        let at = self.used;
        self.used += length;
        self.entries += 1;
        // Not by a method: the entry borrows the bytes, and the context is changed meanwhile.
        let bytes = self.bytes.get(at..at + length).unwrap_or_default();
        decode::entry(bytes, &mut self.context).map(Some).map_err(|error| {
            self.ended = true;
            Error::Damaged { after: self.entries - 1, why: error.to_string() }
        })
    }

    /// Returns whether the file ends in the middle of an entry or frame, because its writer was killed or still writes.
    /// All whole entries have been returned. Known once there are no more entries.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.cut
    }

    /// Returns the next `length` bytes.
    fn rest(&self, length: usize) -> &[u8] {
        self.bytes.get(self.used..self.used + length).unwrap_or_default()
    }

    fn damaged(&mut self, why: &impl ToString) -> Error {
        self.ended = true;
        Error::Damaged { after: self.entries, why: why.to_string() }
    }

    /// Reads on until the bytes begin with a whole entry. Returns its length; `None` at the end.
    fn fill(&mut self) -> Result<Option<usize>, Error> {
        if self.ended {
            return Ok(None);
        }
        // An entry is tried again when there are twice as many bytes, so that a long one is not tried often.
        let mut tried = 0;
        loop {
            let rest = self.bytes.get(self.used..).unwrap_or_default();
            if rest.len() > tried {
                match decode::length(rest) {
                    Ok(Some(length)) => return Ok(Some(length)),
                    Ok(None) => tried = rest.len() * 2,
                    Err(error) => return Err(self.damaged(&error)),
                }
            }
            if rest.len() > LONGEST {
                return Err(self.damaged(&format!("an entry has more than {LONGEST} bytes")));
            }
            if !self.read_more()? {
                let rest = self.bytes.get(self.used..).unwrap_or_default();
                if let Ok(Some(length)) = decode::length(rest) {
                    return Ok(Some(length));
                }
                self.cut |= !rest.is_empty();
                self.ended = true;
                return Ok(None);
            }
        }
    }

    /// Reads decompressed bytes. Returns false at the end of the file, also if it is in the middle of a frame.
    fn read_more(&mut self) -> Result<bool, Error> {
        if self.cut {
            return Ok(false);
        }
        self.bytes.drain(..self.used);
        self.used = 0;
        let end = self.bytes.len();
        self.bytes.resize(end + STEP, 0);
        let room = self.bytes.get_mut(end..).unwrap_or_default();
        let read = loop {
            match self.frames.read(room) {
                // A frame has ended. Another may follow.
                Ok(0) => match self.frames.get_mut().is_at_end() {
                    Ok(true) => {
                        // The decoder takes the end of the file for the end of a frame.
                        self.cut = !self.frames.get_ref().ends_a_frame();
                        break Ok(0);
                    }
                    Ok(false) => {}
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) => break Err(error),
                },
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        self.bytes.truncate(end + *read.as_ref().unwrap_or(&0));
        match read {
            Ok(read) => Ok(read > 0),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                self.cut = true;
                Ok(false)
            }
            // The frame is wrong, not the file that it is read from.
            Err(error) if error.get_ref().is_some_and(|inner| inner.is::<lz4_flex::frame::Error>()) => {
                Err(self.damaged(&error))
            }
            Err(error) => {
                self.ended = true;
                Err(Error::Io(error))
            }
        }
    }
}

impl<R: Read> std::fmt::Debug for Reader<R> {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        to.debug_struct("Reader").field("entries", &self.entries).field("cut", &self.cut).finish_non_exhaustive()
    }
}
