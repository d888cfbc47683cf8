//! bpf(2): the kernel's information about a link, `struct bpf_link_info` (5.8).
//!
//! Kernels gained fields of this structure one by one, and leave those that they do not know as the caller has passed
//! them. So the last call is made twice, with other bytes in the fields that the kernel writes. A byte that differs
//! afterwards was not written, and its field is unknown, not 0.
#![expect(unsafe_code, reason = "hands addresses to bpf(2)")]

use std::{io, os::fd::BorrowedFd};

use cutaway_sys::LinkType;

use super::{
    attr::{LinkInfo, ObjGetInfo, Pointer},
    bpf::{Command, bpf, length, number},
    fdinfo::fdinfo,
};

/// The size in bytes of the longest text: `PATH_MAX`.
const LONGEST: usize = 4096;
/// The size in bytes of the structure's head: type, ids, padding.
const HEAD: usize = 16;
/// The number of 32-bit fields after the head.
const FIELDS: usize = 12;

/// The kernel's report about a link. The indexes count from the start of the union in `struct bpf_link_info`, in
/// units of the accessed size.
#[derive(Debug, Clone)]
pub(crate) struct Report {
    pub(crate) link_type: LinkType,
    pub(crate) id: u32,
    pub(crate) prog_id: u32,
    fields: [u32; FIELDS],
    /// Whether the kernel has written the field.
    written: [bool; FIELDS],
    text: Vec<u8>,
    lists: [Option<Vec<u64>>; 3],
}

impl Report {
    /// Returns a 32-bit field; `None` if the kernel does not report it.
    pub(crate) fn word(&self, index: usize) -> Option<u32> {
        let written = self.written.get(index).copied().unwrap_or(false);
        self.fields.get(index).copied().filter(|_| written)
    }

    /// Returns a 64-bit field; `None` if the kernel does not report it.
    pub(crate) fn long(&self, index: usize) -> Option<u64> {
        let (first, second) = (self.word(2 * index)?.to_ne_bytes(), self.word(2 * index + 1)?.to_ne_bytes());
        let [a, b, c, d] = first;
        let [e, f, g, h] = second;
        Some(u64::from_ne_bytes([a, b, c, d, e, f, g, h]))
    }

    /// Returns the name or path; `None` if the kernel reports none.
    pub(crate) fn text(&self) -> Option<&[u8]> {
        let end = self.text.iter().position(|&byte| byte == 0)?;
        self.text.get(..end).filter(|text| !text.is_empty())
    }

    /// Returns a list, in the order of [`Layout`]; `None` if the kernel does not report it.
    pub(crate) fn list(&self, index: usize) -> Option<&[u64]> {
        self.lists.get(index)?.as_deref()
    }
}

/// Where a type of link has the addresses that the caller passes: indexes of fields.
#[derive(Debug, Clone, Copy, Default)]
struct Layout {
    /// The address of a text (64 bits), and its size in bytes (32 bits).
    text: Option<(usize, usize)>,
    /// The addresses of lists (64 bits).
    lists: &'static [usize],
    /// The number of elements of each list (32 bits).
    count: usize,
}

impl Layout {
    /// Returns the layout of a link with these fields; `None` for a type that this crate does not know.
    fn of(link_type: LinkType, event_type: u32) -> Option<Self> {
        link_type.name()?;
        Some(match link_type {
            LinkType::RAW_TRACEPOINT | LinkType::ITER => Self { text: Some((0, 2)), ..Self::default() },
            // `enum bpf_perf_event_type`: probes and tracepoints have a name.
            LinkType::PERF_EVENT if matches!(event_type, 1..=5) => Self { text: Some((1, 4)), ..Self::default() },
            LinkType::KPROBE_MULTI => Self { text: None, lists: &[0, 3], count: 2 },
            LinkType::UPROBE_MULTI => Self { text: Some((0, 8)), lists: &[1, 2, 3], count: 9 },
            _ => Self::default(),
        })
    }
}

/// Reads the kernel's information about a link. Fields and lists are missing if procfs does not confirm that `link` is
/// the fd of a link: the kernel reports other structures for maps and programs, and would take the addresses of texts
/// and lists for those of other memory, with other lengths.
pub(crate) fn read(link: BorrowedFd<'_>) -> io::Result<Report> {
    let why = "reads the type of a link, and its program";
    let mut info = [LinkInfo::default()];
    // SAFETY: the structure holds no address.
    let known = unsafe { call(link, &mut info, why) }?;
    let [first] = info;
    let link_type = LinkType(first.link_type);
    let fields = halves(&first.words);
    let mut report = Report {
        link_type,
        id: first.id,
        prog_id: first.prog_id,
        fields: [0; FIELDS],
        written: [false; FIELDS],
        text: Vec::new(),
        lists: [const { None }; 3],
    };
    let Some(layout) = Layout::of(link_type, fields.first().copied().unwrap_or_default()) else { return Ok(report) };
    if !fdinfo(link).is_ok_and(|about| about.contains("link_type:")) {
        return Ok(report);
    }
    let count = match layout.lists {
        [] => 0,
        _ => fields.get(layout.count).copied().unwrap_or_default() as usize,
    };
    let mut zeros = Filled::new(layout, count, known, 0);
    zeros.call(link)?;
    let mut ones = Filled::new(layout, count, known, u8::MAX);
    // A newer kernel may read an address where this crate knows none, and refuses this one with EFAULT. Then only what
    // is not 0 has certainly been written.
    let compared = ones.call(link).is_ok();
    let others = halves(&ones.info.words);
    report.prog_id = zeros.info.prog_id;
    report.fields = halves(&zeros.info.words);
    for (index, ((written, field), other)) in report.written.iter_mut().zip(report.fields).zip(others).enumerate() {
        *written = HEAD + 4 * (index + 1) <= known && if compared { is_written(field, other) } else { field != 0 };
    }
    for ((to, list), other) in report.lists.iter_mut().zip(zeros.lists).zip(ones.lists) {
        *to = (compared && !list.is_empty() && list == other).then_some(list);
    }
    report.text = zeros.text;
    Ok(report)
}

/// Returns whether the kernel has written a field, which was 0 in one call and had all bits set in another. A count may
/// change between the calls.
fn is_written(zeros: u32, ones: u32) -> bool {
    (zeros, ones) != (0, u32::MAX)
}

/// A structure to pass, and the memory that its addresses point to.
struct Filled {
    info: LinkInfo,
    text: Vec<u8>,
    lists: [Vec<u64>; 3],
}

impl Filled {
    /// Fills the first `known` bytes, which the kernel knows, with `byte`, except for the head and the addresses.
    fn new(layout: Layout, count: usize, known: usize, byte: u8) -> Self {
        let filled = u64::from_ne_bytes([byte; 8]);
        let mut lists = [const { Vec::new() }; 3];
        let mut text = Vec::new();
        let mut fields = [u32::from_ne_bytes([byte; 4]); FIELDS];
        let mut set = |index: usize, value: u32| {
            if let Some(field) = fields.get_mut(index) {
                *field = value;
            }
        };
        if let Some((_, size)) = layout.text {
            text.resize(LONGEST, 0);
            set(size, LONGEST as u32);
        }
        if !layout.lists.is_empty() {
            set(layout.count, length(count).unwrap_or(0));
        }
        let mut words = words(fields);
        let mut point = |index: usize, address: u64| {
            if let Some(word) = words.get_mut(index) {
                *word = address;
            }
        };
        if let Some((address, _)) = layout.text {
            point(address, Pointer::to_mut(&mut text).address());
        }
        for (list, &address) in lists.iter_mut().zip(layout.lists) {
            list.resize(count, filled);
            point(address, Pointer::to_mut(list).address());
        }
        // The kernel refuses bytes that it does not know unless they are 0. It knows all fields of a layout or none.
        let known = known.saturating_sub(HEAD) / 8;
        for word in words.iter_mut().skip(known) {
            *word = 0;
        }
        Self { info: LinkInfo { words, ..LinkInfo::default() }, text, lists }
    }

    fn call(&mut self, link: BorrowedFd<'_>) -> io::Result<()> {
        let mut info = [self.info];
        // SAFETY: each address in `info` is null or that of a text or a list of `self`, which the exclusive borrow
        // keeps alive and unmoved: `new` has stored the addresses of heap memory. Their sizes and counts are next to
        // them.
        unsafe { call(link, &mut info, "reads the target of a link") }?;
        [self.info] = info;
        Ok(())
    }
}

/// Makes the call, and returns how many bytes of the structure the kernel knows.
///
/// # Safety
///
/// The addresses in `info` must be valid for writing what their sizes say.
unsafe fn call(link: BorrowedFd<'_>, info: &mut [LinkInfo; 1], why: &str) -> io::Result<usize> {
    let mut attr =
        ObjGetInfo { bpf_fd: number(link), info_len: size_of::<LinkInfo>() as u32, info: Pointer::to_mut(info) };
    // SAFETY: the kernel writes at most `info_len` bytes into `info`; the caller vouches for the addresses in it.
    unsafe { bpf(Command::OBJ_GET_INFO_BY_FD, &mut attr, why) }?;
    Ok(attr.info_len as usize)
}

/// Returns the 32-bit fields in 64-bit words, in the order of memory.
fn halves(words: &[u64; FIELDS / 2]) -> [u32; FIELDS] {
    let mut fields = [0; FIELDS];
    for (pair, word) in fields.chunks_exact_mut(2).zip(words) {
        let [a, b, c, d, e, f, g, h] = word.to_ne_bytes();
        pair.copy_from_slice(&[u32::from_ne_bytes([a, b, c, d]), u32::from_ne_bytes([e, f, g, h])]);
    }
    fields
}

/// Returns the 64-bit words that consist of these 32-bit fields, in the order of memory.
fn words(fields: [u32; FIELDS]) -> [u64; FIELDS / 2] {
    let mut words = [0; FIELDS / 2];
    for (word, pair) in words.iter_mut().zip(fields.chunks_exact(2)) {
        if let [first, second] = pair {
            let ([a, b, c, d], [e, f, g, h]) = (first.to_ne_bytes(), second.to_ne_bytes());
            *word = u64::from_ne_bytes([a, b, c, d, e, f, g, h]);
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_and_words_are_inverse() {
        let fields = std::array::from_fn(|index| index as u32 + 1);
        assert_eq!(halves(&words(fields)), fields);
    }

    #[test]
    fn count_that_changes_between_the_calls_is_written() {
        assert!([(0, 0), (7, 7), (7, 8), (u32::MAX, u32::MAX)].iter().all(|&(zeros, ones)| is_written(zeros, ones)));
        assert!(!is_written(0, u32::MAX));
    }

    #[test]
    fn unknown_type_has_no_layout() {
        assert!(Layout::of(LinkType(99), 0).is_none());
        assert!(Layout::of(LinkType::XDP, 0).unwrap().lists.is_empty());
    }

    /// An old kernel refuses bytes that it does not know, so none of them is set.
    #[test]
    fn bytes_that_the_kernel_does_not_know_stay_0() {
        let layout = Layout::of(LinkType::KPROBE_MULTI, 0).unwrap();
        let old = Filled::new(layout, 3, 32, u8::MAX);
        assert_eq!(old.info.words[2..], [0; 4]);
        assert_ne!(old.info.words[0], 0);
        let new = Filled::new(layout, 3, 64, u8::MAX);
        assert_eq!((new.info.words[2], new.info.words[4]), (u64::MAX, u64::MAX));
        assert_ne!(new.info.words[3], u64::MAX);
    }
}
