//! The buffers: a ring, a perf buffer, a user ring. Each has a reader or a writer of a few lines, written from the
//! protocol's steps.

use std::{
    os::fd::{AsFd, AsRawFd, OwnedFd},
    sync::atomic::{Ordering, fence},
};

use super::{
    Owned, PAYLOAD, Read,
    calls::{
        ARRAY, PERF_EVENT_ARRAY, Page, RINGBUF, USER_RINGBUF, load_program, lookup, map_create, map_id, perf_event,
        pin_to_cpu_0, test_run, try_map_create, update,
    },
    programs::{sending_to_perf, sending_to_ring},
};

/// A map, the program that sends into it, and the program's counters.
pub(super) struct Sender {
    map: OwnedFd,
    state: OwnedFd,
    program: OwnedFd,
}

impl Sender {
    /// Loads the program; `code` returns its instructions, which send into the first map and count in the second.
    fn new(map: OwnedFd, name: &str, code: impl FnOnce(&OwnedFd, &OwnedFd) -> Vec<u64>) -> Self {
        let state = map_create(ARRAY, [4, 16, 1], "numbers");
        let program = load_program(&code(&map, &state), name);
        Self { map, state, program }
    }

    /// Returns the map id.
    pub(super) fn id(&self) -> u32 {
        map_id(self.map.as_fd())
    }

    pub(super) fn produce(&self, count: u64) {
        test_run(self.program.as_fd(), count);
    }

    pub(super) fn lost(&self) -> u64 {
        lookup(self.state.as_fd())[1]
    }
}

/// A ring with its pages, and its reader.
pub(super) struct Ring {
    sender: Sender,
    consumer: Page,
    producer: Page,
    bytes: u32,
}

impl Ring {
    pub(super) fn new(name: &str, bytes: u32) -> Self {
        let sender = Sender::new(map_create(RINGBUF, [0, 0, bytes], name), "send_to_ring", sending_to_ring);
        let page = rustix::param::page_size();
        let consumer = Page::map(sender.map.as_fd(), 0, page, true);
        let producer = Page::map(sender.map.as_fd(), page, page + 2 * bytes as usize, false);
        Self { sender, consumer, producer, bytes }
    }
}

impl Owned for Ring {
    fn sender(&self) -> &Sender {
        &self.sender
    }

    /// Reads by the five steps of the protocol, and nothing else.
    fn consume(&self, read: &mut Read) {
        let page = rustix::param::page_size();
        let mut position = self.consumer.word(0).load(Ordering::Relaxed);
        loop {
            // ATOMICS: pairs with the kernel's release of producer_pos: headers before that position are valid.
            if self.producer.word(0).load(Ordering::Acquire) == position {
                return;
            }
            let offset = page + (position & u64::from(self.bytes - 1)) as usize;
            // ATOMICS: pairs with the commit's exchange of the length word.
            let length = self.producer.half(offset).load(Ordering::Acquire);
            if length & 1 << 31 != 0 {
                return;
            }
            if length & 1 << 30 == 0 {
                assert_eq!(u64::from(length), PAYLOAD, "at {position}");
                read.take([8, 16].map(|at| self.producer.word(offset + at).load(Ordering::Relaxed)));
            }
            position += u64::from(length & !(3 << 30)).next_multiple_of(8) + 8;
            // ATOMICS: the record is read before its space is released.
            self.consumer.word(0).store(position, Ordering::Release);
        }
    }
}

/// The perf buffer of CPU 0, and an event that has no ring until the test requests one.
pub(super) struct Perf {
    sender: Sender,
    _event: OwnedFd,
    spare: OwnedFd,
    page: Page,
    bytes: u32,
}

impl Perf {
    pub(super) fn new(name: &str, bytes: u32) -> Self {
        // The program runs on this thread's CPU, and sends into that CPU's buffer.
        pin_to_cpu_0();
        let sender = Sender::new(map_create(PERF_EVENT_ARRAY, [4, 4, 1], name), "send_to_perf", sending_to_perf);
        let (event, spare) = (perf_event(), perf_event());
        let page = rustix::param::page_size();
        let pages = Page::map(event.as_fd(), 0, page + bytes as usize, true);
        update(sender.map.as_fd(), &event.as_raw_fd().to_ne_bytes());
        Self { sender, _event: event, spare, page: pages, bytes }
    }
}

impl Owned for Perf {
    fn sender(&self) -> &Sender {
        &self.sender
    }

    fn consume(&self, read: &mut Read) {
        let page = rustix::param::page_size();
        let (head, tail) = (self.page.word(1024), self.page.word(1032));
        let mut position = tail.load(Ordering::Relaxed);
        let end = head.load(Ordering::Relaxed);
        // ATOMICS: pairs with the kernel's smp_wmb() before it stores data_head.
        fence(Ordering::Acquire);
        while position != end {
            let at = |bytes: u64| page + ((position + bytes) & u64::from(self.bytes - 1)) as usize;
            let header = self.page.word(at(0)).load(Ordering::Relaxed).to_ne_bytes();
            let size = u64::from(u16::from_ne_bytes([header[6], header[7]]));
            // `PERF_RECORD_SAMPLE`: u32 size, then the payload, which is not aligned to 8.
            if header[0] == 9 {
                let raw: Vec<u8> = (0..3)
                    .flat_map(|word| self.page.word(at(8 + 8 * word)).load(Ordering::Relaxed).to_ne_bytes())
                    .collect();
                let number = |at: usize| u64::from_ne_bytes(raw[at..at + 8].try_into().unwrap());
                read.take([number(4), number(12)]);
            }
            position += size;
        }
        // ATOMICS: the record is read before its space is released; the kernel has a full barrier on its side.
        fence(Ordering::SeqCst);
        tail.store(position, Ordering::Relaxed);
    }

    fn map_spare(&self) {
        let page = rustix::param::page_size();
        let pages = Page::map(self.spare.as_fd(), 0, page * 3, true);
        pages.word(1032).store(0, Ordering::Relaxed);
    }
}

/// A user ring of this process, whose producer page this process writes. It has a record in each state; a real
/// producer does not leave records like that.
pub(crate) struct UserRing {
    pub(crate) map: OwnedFd,
}

impl UserRing {
    /// Creates three records: committed, discarded, busy. `None` if the kernel has no user rings (6.1).
    pub(crate) fn new(text: &str) -> Option<Self> {
        let page = rustix::param::page_size();
        let map = match try_map_create(USER_RINGBUF, [0, 0, page as u32], text) {
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => return None,
            map => map.unwrap(),
        };
        let pages = Page::map(map.as_fd(), page, page * 3, true);
        for (at, header) in [(0, 24), (32, 8 | 1 << 30), (48, 40 | 1 << 31)] {
            pages.half(page + at).store(header, Ordering::Relaxed);
        }
        pages.word(page + 8).store(u64::from_ne_bytes(*b"a sample"), Ordering::Relaxed);
        // ATOMICS: the headers are written before the position covers them.
        pages.word(0).store(96, Ordering::Release);
        Some(Self { map })
    }

    pub(crate) fn id(&self) -> u32 {
        map_id(self.map.as_fd())
    }
}
