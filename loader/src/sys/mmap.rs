//! Memory that this process and programs in the kernel both read and write: a mapped array (`BPF_F_MMAPABLE`, 5.5) or
//! arena (6.9).
//!
//! Programs may write while this process reads, so no slice of this memory exists: it is copied word by word with
//! atomic loads and stores. Each word is the widest that is aligned and fits, so a variable that a program reads with
//! one instruction is written with one.
#![expect(unsafe_code, reason = "mmap(2), munmap(2), and pointers into the mapping")]

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd},
    ptr::NonNull,
    sync::atomic::{
        AtomicU8, AtomicU16, AtomicU32, AtomicU64,
        Ordering::{AcqRel, Acquire, Release},
    },
};

use cutaway_sys::{
    memory::page_size,
    report::{check, report},
};

use log::kv;

/// A mapping of an array's elements or an arena's pages.
#[derive(Debug)]
pub(crate) struct Shared {
    start: NonNull<u8>,
    /// Bytes that may be accessed; the mapping extends to the end of the page.
    length: usize,
}

// SAFETY: the memory belongs to this value, is accessed by atomic instructions alone, and any thread may unmap it.
unsafe impl Send for Shared {}
// SAFETY: as above; a shared reference allows atomic accesses, nothing else.
unsafe impl Sync for Shared {}

impl Shared {
    /// Maps the `length` bytes of an array's elements or an arena's pages; at `address` if that is not 0.
    pub(crate) fn of(map: BorrowedFd<'_>, length: usize, address: u64) -> io::Result<Self> {
        let mapped = mapped(length);
        let (fixed, flags) = match address {
            0 => (0, "MAP_SHARED"),
            _ => (libc::MAP_FIXED_NOREPLACE, "MAP_SHARED|MAP_FIXED_NOREPLACE"),
        };
        // SAFETY: asks for a new mapping anywhere, or where there is none yet (`MAP_FIXED_NOREPLACE`), so no memory
        // that is in use is touched; a wrong length or fd is an error of the call's.
        let start = unsafe {
            libc::mmap(
                std::ptr::without_provenance_mut(address as usize),
                mapped,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | fixed,
                map.as_raw_fd(),
                0,
            )
        };
        let made = match NonNull::new(start.cast::<u8>()) {
            Some(start) if start.as_ptr().cast() != libc::MAP_FAILED => Ok(Self { start, length }),
            _ => Err(io::Error::last_os_error()),
        };
        let answer = match &made {
            Ok(made) => Ok(made.start.as_ptr().addr() as i64),
            Err(error) => Err(io::Error::from_raw_os_error(error.raw_os_error().unwrap_or(0))),
        };
        let arguments: [(&str, kv::Value<'_>); 6] = [
            ("addr", address.into()),
            ("length", mapped.into()),
            ("prot", "PROT_READ|PROT_WRITE".into()),
            ("flags", flags.into()),
            ("fd", map.as_raw_fd().into()),
            ("offset", 0.into()),
        ];
        let why = "maps memory that programs read and write";
        report("mmap", &arguments.as_slice(), &answer, why);
        made
    }

    /// Returns the addresses of the memory in this process.
    pub(crate) fn addresses(&self) -> std::ops::Range<usize> {
        let start = self.start.as_ptr().addr();
        start..start + self.length
    }

    /// Copies `into.len()` bytes from `offset`; returns false if there are fewer.
    pub(crate) fn read(&self, offset: usize, into: &mut [u8]) -> bool {
        self.visit(offset, into.len(), |start, word| {
            // ATOMICS: pairs with whatever a program writes by an atomic instruction, which is a full barrier in the
            // kernel's model: what it wrote before that is seen after this.
            let value = match word {
                Word::U8(word) => u64::from(word.load(Acquire)),
                Word::U16(word) => u64::from(word.load(Acquire)),
                Word::U32(word) => u64::from(word.load(Acquire)),
                Word::U64(word) => word.load(Acquire),
            };
            let size = word.size();
            if let Some(bytes) = into.get_mut(start..start + size) {
                bytes.copy_from_slice(lowest(&value.to_ne_bytes(), size));
            }
        })
    }

    /// Copies bytes to `offset`; returns false if they do not fit.
    pub(crate) fn write(&self, offset: usize, from: &[u8]) -> bool {
        self.visit(offset, from.len(), |start, word| {
            let size = word.size();
            let mut bytes = [0; 8];
            if let Some(from) = from.get(start..start + size) {
                lowest_mut(&mut bytes, size).copy_from_slice(from);
            }
            let value = u64::from_ne_bytes(bytes);
            // ATOMICS: pairs with a program's atomic instruction that reads this: it then sees what we wrote before.
            match word {
                Word::U8(word) => word.store(value as u8, Release),
                Word::U16(word) => word.store(value as u16, Release),
                Word::U32(word) => word.store(value as u32, Release),
                Word::U64(word) => word.store(value, Release),
            }
        })
    }

    /// Adds to the word at `offset` and returns its value before; `None` if it is not aligned or not in the memory.
    pub(crate) fn fetch_add_u32(&self, offset: usize, value: u32) -> Option<u32> {
        let mut before = None;
        let seen = self.visit(offset, size_of::<u32>(), |_, word| {
            if let Word::U32(word) = word {
                // ATOMICS: pairs with a program's atomic instructions with `BPF_FETCH` on the same word, which are
                // full barriers in the kernel's model. Those without it order nothing, and need no partner.
                before = Some(word.fetch_add(value, AcqRel));
            }
        });
        before.filter(|_| seen)
    }

    /// Adds to the word at `offset` and returns its value before; `None` if it is not aligned or not in the memory.
    pub(crate) fn fetch_add_u64(&self, offset: usize, value: u64) -> Option<u64> {
        let mut before = None;
        let seen = self.visit(offset, size_of::<u64>(), |_, word| {
            if let Word::U64(word) = word {
                // ATOMICS: pairs with a program's atomic instructions with `BPF_FETCH` on the same word, which are
                // full barriers in the kernel's model. Those without it order nothing, and need no partner.
                before = Some(word.fetch_add(value, AcqRel));
            }
        });
        before.filter(|_| seen)
    }

    /// Passes the words of a range to `see`, each with its offset in the range.
    fn visit(&self, offset: usize, length: usize, mut see: impl FnMut(usize, Word<'_>)) -> bool {
        if offset.checked_add(length).is_none_or(|end| end > self.length) {
            return false;
        }
        let mut done = 0;
        while done < length {
            let (at, left) = (offset + done, length - done);
            let size = widest(at, left);
            // SAFETY: `at` is below `length`, the number of bytes that are mapped.
            let pointer = unsafe { self.start.as_ptr().add(at) };
            // SAFETY, of each: the mapping starts at a page, `widest` ensures that the word is aligned and ends within
            // the range, which lies within the mapping. This memory is only accessed atomically: by this process with
            // these instructions, by programs with single instructions of the machine.
            let word = match size {
                // SAFETY: see above.
                8 => Word::U64(unsafe { AtomicU64::from_ptr(pointer.cast()) }),
                // SAFETY: see above.
                4 => Word::U32(unsafe { AtomicU32::from_ptr(pointer.cast()) }),
                // SAFETY: see above.
                2 => Word::U16(unsafe { AtomicU16::from_ptr(pointer.cast()) }),
                // SAFETY: see above.
                _ => Word::U8(unsafe { AtomicU8::from_ptr(pointer) }),
            };
            see(done, word);
            done += size;
        }
        true
    }
}

/// A word of the memory.
#[derive(Clone, Copy)]
enum Word<'m> {
    U8(&'m AtomicU8),
    U16(&'m AtomicU16),
    U32(&'m AtomicU32),
    U64(&'m AtomicU64),
}

impl Word<'_> {
    fn size(self) -> usize {
        match self {
            Self::U8(_) => 1,
            Self::U16(_) => 2,
            Self::U32(_) => 4,
            Self::U64(_) => 8,
        }
    }
}

/// Returns the size of the widest word at `at` if `left` bytes are to be copied.
fn widest(at: usize, left: usize) -> usize {
    [8, 4, 2].into_iter().find(|&size| at.is_multiple_of(size) && size <= left).unwrap_or(1)
}

/// Returns the lowest `size` bytes of a number.
fn lowest(bytes: &[u8; 8], size: usize) -> &[u8] {
    let range = if cfg!(target_endian = "little") { 0..size } else { 8 - size..8 };
    bytes.get(range).unwrap_or_default()
}

fn lowest_mut(bytes: &mut [u8; 8], size: usize) -> &mut [u8] {
    let range = if cfg!(target_endian = "little") { 0..size } else { 8 - size..8 };
    bytes.get_mut(range).unwrap_or_default()
}

fn mapped(length: usize) -> usize {
    length.max(1).next_multiple_of(page_size())
}

impl Drop for Shared {
    fn drop(&mut self) {
        let length = mapped(self.length);
        // SAFETY: unmaps what `of` has mapped; nothing that points into it outlives this value.
        let value = unsafe { libc::munmap(self.start.as_ptr().cast(), length) };
        let arguments: [(&str, kv::Value<'_>); 2] =
            [("addr", (self.start.as_ptr().addr() as u64).into()), ("length", length.into())];
        report("munmap", &arguments.as_slice(), &check(value), "the mapping is no longer needed");
    }
}

#[cfg(test)]
mod tests {
    use super::widest;

    #[test]
    fn widest_word_is_aligned_and_fits() {
        for (at, left, size) in
            [(0, 8, 8), (0, 7, 4), (8, 100, 8), (4, 100, 4), (6, 100, 2), (7, 100, 1), (0, 1, 1), (2, 3, 2)]
        {
            assert_eq!(widest(at, left), size, "{left} bytes at {at}");
        }
    }
}
