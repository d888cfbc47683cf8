//! Reads records of new executable mappings, `PERF_RECORD_MMAP2`, from one perf buffer for each CPU.
//!
//! The perf event is a software event that counts nothing (`PERF_COUNT_SW_DUMMY`), with the bits `mmap` and `mmap2`.
//! For it the kernel writes one record for each executable mapping that any process makes, execve(2) included
//! (`kernel/events/core.c`, `perf_event_mmap`). It needs neither tracefs nor a BPF program, and costs nothing while no
//! process maps a file.
#![expect(unsafe_code, reason = "perf_event_open(2) and its shared pages")]

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    sync::atomic::{AtomicU64, Ordering},
};

use cutaway_sys::{PerfEventAttr, cpus, fd::owned, memory, perf_event::perf_event_open, report, report::outcome};
use memmap2::{MmapOptions, MmapRaw};

use super::maps::{Key, Mapping};

/// Pages of each CPU's buffer. They have room for about a thousand records.
const PAGES: usize = 32;

/// A record of a perf buffer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum MmapRecord {
    /// A thread has mapped a file, whose inode has this generation.
    Mapped { pid: u32, tid: u32, mapping: Mapping, generation: u64 },
    /// Records were lost because the buffer was full.
    Lost,
}

/// The perf buffer with the records of one CPU.
pub(crate) struct PerfBuffer {
    cpu: u32,
    event: OwnedFd,
    pages: MmapRaw,
    page: usize,
}

/// Flags of the event: executable mappings of processes, with a wake-up for each record.
const FLAGS: u64 = PerfEventAttr::EXCLUDE_KERNEL
    | PerfEventAttr::EXCLUDE_HV
    | PerfEventAttr::MMAP
    | PerfEventAttr::WATERMARK
    | PerfEventAttr::MMAP2;

/// Offsets into `struct perf_event_mmap_page`, in bytes.
const DATA_HEAD: usize = 1024;
const DATA_TAIL: usize = 1032;

impl PerfBuffer {
    /// Opens a buffer for each CPU that is online. Needs `CAP_PERFMON` (Linux 5.8) or `CAP_SYS_ADMIN`.
    pub(crate) fn open_all() -> io::Result<Vec<Self>> {
        // The CPU has gone offline since.
        let is_gone = |error: &io::Error| error.raw_os_error() == Some(libc::ENODEV);
        cpus::online()?.into_iter().map(Self::open).filter(|buffer| !buffer.as_ref().is_err_and(is_gone)).collect()
    }

    pub(crate) fn cpu(&self) -> u32 {
        self.cpu
    }

    /// Returns the fd that becomes readable when there are records. The kernel wakes its reader on the buffer's CPU.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }

    fn open(cpu: u32) -> io::Result<Self> {
        /// `PERF_COUNT_SW_DUMMY`
        const DUMMY: u64 = 9;
        let attr = PerfEventAttr {
            event_type: PerfEventAttr::TYPE_SOFTWARE,
            config: DUMMY,
            flags: FLAGS,
            wakeup: 1,
            ..PerfEventAttr::new()
        };
        // SAFETY: the size is the struct's, and it holds no address.
        let answer = unsafe { perf_event_open(&attr, -1, i32::try_from(cpu).unwrap_or(i32::MAX)) };
        report!("perf_event_open", &answer,
            "has the kernel record executable mappings, which show C libraries that were not in use before";
            "type" = "PERF_TYPE_SOFTWARE",
            "config" = "PERF_COUNT_SW_DUMMY",
            "size" = attr.size,
            "flags_of_attr" = "exclude_kernel|exclude_hv|mmap|watermark|mmap2",
            "pid" = -1,
            "cpu" = cpu,
            "group_fd" = -1,
            "flags" = "PERF_FLAG_FD_CLOEXEC");
        // SAFETY: the kernel has just made this fd for the caller, and nothing else knows it.
        let event = unsafe { owned(answer) }?;
        let page = memory::page_size();
        let pages = MmapOptions::new().len((PAGES + 1) * page).map_raw(&event);
        report!("mmap", &outcome(&pages, |pages| pages.as_ptr().addr() as i64), "maps the buffer of these records";
            "addr" = 0,
            "length" = (PAGES + 1) * page,
            "prot" = "PROT_READ|PROT_WRITE",
            "flags" = "MAP_SHARED",
            "fd" = event.as_raw_fd(),
            "offset" = 0);
        Ok(Self { cpu, event, pages: pages?, page })
    }

    /// Returns the position at this offset of the control page.
    fn position(&self, offset: usize) -> &AtomicU64 {
        let word = self.pages.as_mut_ptr().wrapping_add(offset).cast::<u64>();
        // SAFETY: the control page is mapped for as long as `self` lives, both offsets are in it and multiples of 8,
        // and the kernel reads and writes these words as whole ones.
        unsafe { AtomicU64::from_ptr(word) }
    }

    /// Reads the byte of the data at this position. Positions only grow; they are not wrapped.
    fn byte(&self, position: u64) -> u8 {
        let size = (PAGES * self.page) as u64;
        let at = self.page + usize::try_from(position % size).unwrap_or(0);
        let byte = self.pages.as_ptr().wrapping_add(at);
        // SAFETY: `at` is below the length of the mapping: one page and a remainder of `PAGES` pages.
        unsafe { byte.read_volatile() }
    }

    /// Reads the records that are in the buffer now, and releases their space.
    pub(crate) fn drain(&mut self) -> Vec<MmapRecord> {
        // ATOMICS: pairs with the write barrier before the kernel's store of data_head (`perf_output_put_handle`): the
        // records before it are whole.
        let head = self.position(DATA_HEAD).load(Ordering::Acquire);
        // ATOMICS: nothing but this process writes data_tail.
        let mut tail = self.position(DATA_TAIL).load(Ordering::Relaxed);
        let mut records = Vec::new();
        while head.wrapping_sub(tail) >= 8 {
            let header: Vec<u8> = (0..8).map(|at| self.byte(tail.wrapping_add(at))).collect();
            let size = u64::from(half(&header, 6).unwrap_or(0));
            if size < 8 || size > head.wrapping_sub(tail) {
                // No kernel writes such a size. Without it the next record cannot be found.
                records.push(MmapRecord::Lost);
                tail = head;
                break;
            }
            let record: Vec<u8> = (0..size).map(|at| self.byte(tail.wrapping_add(at))).collect();
            records.extend(parse(&record));
            tail = tail.wrapping_add(size);
        }
        // ATOMICS: pairs with the kernel's load of data_tail before it writes new records: they have been read.
        self.position(DATA_TAIL).store(tail, Ordering::Release);
        records
    }
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2)?.try_into().ok().map(u16::from_ne_bytes)
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes)
}

fn long(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..at + 8)?.try_into().ok().map(u64::from_ne_bytes)
}

/// Parses a record, header included. Returns `None` for other kinds of records, and for mappings of no file.
fn parse(record: &[u8]) -> Option<MmapRecord> {
    /// `PERF_RECORD_LOST`, `PERF_RECORD_MMAP2` (`enum perf_event_type`)
    const LOST: u32 = 2;
    const MMAP2: u32 = 10;
    match word(record, 0)? {
        LOST => Some(MmapRecord::Lost),
        MMAP2 => {
            let (start, length) = (long(record, 16)?, long(record, 24)?);
            let key = Key { major: word(record, 40)?, minor: word(record, 44)?, inode: long(record, 48)? };
            let path = record.get(72..)?;
            let path = path.split(|&byte| byte == 0).next().unwrap_or_default();
            let mapping = Mapping {
                key,
                start,
                end: start.checked_add(length)?,
                offset: long(record, 32)?,
                path: String::from_utf8_lossy(path).into_owned(),
            };
            let (pid, tid, generation) = (word(record, 8)?, word(record, 12)?, long(record, 56)?);
            (key.inode != 0).then_some(MmapRecord::Mapped { pid, tid, mapping, generation })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mapping_is_parsed_from_its_record() {
        let mut record = Vec::new();
        for number in [10_u32, 80 << 16, 7, 8] {
            record.extend(number.to_ne_bytes());
        }
        for number in [0x7000_u64, 0x2000, 0x1000] {
            record.extend(number.to_ne_bytes());
        }
        record.extend(254_u32.to_ne_bytes());
        record.extend(1_u32.to_ne_bytes());
        record.extend(77_u64.to_ne_bytes());
        record.extend(5_u64.to_ne_bytes());
        record.extend([0; 8]);
        record.extend(b"/lib/x\0\0");
        let key = Key { major: 254, minor: 1, inode: 77 };
        let mapping = Mapping { key, start: 0x7000, end: 0x9000, offset: 0x1000, path: "/lib/x".to_owned() };
        assert_eq!(parse(&record), Some(MmapRecord::Mapped { pid: 7, tid: 8, mapping, generation: 5 }));
        // A truncated record, and a mapping of no file.
        assert_eq!(parse(&record[..40]), None);
        record[48..56].fill(0);
        assert_eq!(parse(&record), None);
    }
}
