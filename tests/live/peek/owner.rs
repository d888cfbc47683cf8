//! The owner of a ring or of a perf buffer: a process that does everything by bare system calls.
//!
//! ```text
//!     stdin             does                                                     stdout
//!                       makes the maps, loads the program                        ready ID
//!     produce N         runs the program N times: a record each                  produced N
//!     consume           reads what there is                                      consumed N next NEXT gaps GAPS lost LOST
//!     load SECONDS      both at once, in two threads                             the same
//!     map               maps an event that was opened and never mapped           mapped
//! ```
//!
//! A record is its number, twice. Every tenth is discarded; one that found no room is counted, and has no number.
#![expect(unsafe_code, reason = "system calls by hand, and pages that are shared with the kernel")]

use std::{
    fs::File,
    io::{self, BufRead, Write},
    os::fd::{AsFd, AsRawFd, BorrowedFd},
    os::fd::{FromRawFd, OwnedFd, RawFd},
    ptr,
    sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering, fence},
    thread,
    time::{Duration, Instant},
};

use rustix::process::Signal;

use crate::binary::Running;

/// The argument that makes this binary an owner.
const OWNER: &str = "as-owner";

/// Payload bytes of a record.
pub(crate) const PAYLOAD: u64 = 16;

/// Bytes that it takes in a ring.
pub(crate) const SPACE: u64 = PAYLOAD + 8;

/// What is owned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Ring,
    Perf,
}

/// An owner, seen from the test.
pub(crate) struct Owner {
    process: Running,
    /// The kernel's number of its map.
    pub(crate) id: u32,
    /// How many answers it has given.
    answers: usize,
}

/// What an owner has read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Read {
    pub(crate) records: u64,
    /// The number that the next record will have.
    pub(crate) next: u64,
    /// Numbers that were not those that had to follow.
    pub(crate) gaps: u64,
    /// Records that found no room.
    pub(crate) lost: u64,
}

impl Owner {
    /// Starts an owner of `bytes` bytes whose map has this name.
    pub(crate) fn start(kind: Kind, name: &str, bytes: u32) -> Self {
        let mut command = std::process::Command::new(std::env::current_exe().unwrap());
        command.args([OWNER, if kind == Kind::Ring { "ring" } else { "perf" }, name, &bytes.to_string()]);
        let mut owner = Self { process: Running::start(&mut command), id: 0, answers: 0 };
        owner.id = owner.answer("ready ").parse().unwrap();
        owner
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }

    pub(crate) fn produce(&mut self, count: u64) {
        self.process.write(&format!("produce {count}\n"));
        assert_eq!(self.answer("produced "), count.to_string());
    }

    pub(crate) fn consume(&mut self) -> Read {
        self.process.write("consume\n");
        self.read()
    }

    pub(crate) fn begin_load(&mut self, seconds: u64) {
        self.process.write(&format!("load {seconds}\n"));
    }

    pub(crate) fn map(&mut self) {
        self.process.write("map\n");
        self.answer("mapped");
    }

    /// What it answers to `consume` and `load`.
    pub(crate) fn read(&mut self) -> Read {
        let text = self.answer("consumed ");
        let numbers: Vec<u64> = text.split(' ').filter_map(|word| word.parse().ok()).collect();
        let [records, next, gaps, lost] = numbers[..] else { panic!("{text}") };
        Read { records, next, gaps, lost }
    }

    pub(crate) fn stop(&self) {
        self.process.stop();
    }

    pub(crate) fn go_on(&self) {
        self.process.send(Signal::CONT);
    }

    pub(crate) fn kill(self) {
        self.process.send(Signal::KILL);
    }

    /// The rest of its next line.
    fn answer(&mut self, begin: &str) -> String {
        let line = self.process.stdout_nth("the owner answers", self.answers);
        self.answers += 1;
        line.strip_prefix(begin).unwrap_or_else(|| panic!("{begin}: {line}")).to_owned()
    }
}

/// What this process does if it was started as an owner: it never returns then.
pub(crate) fn be_one_if_asked() {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() != Some(OWNER) {
        return;
    }
    let (kind, name, bytes) = (arguments.next().unwrap(), arguments.next().unwrap(), arguments.next().unwrap());
    let bytes = bytes.parse().unwrap();
    lift_memlock();
    match kind.as_str() {
        "ring" => serve(Ring::new(&name, bytes)),
        _ => serve(Perf::new(&name, bytes)),
    }
}

/// Before Linux 5.11 all maps of a user count as locked memory, of which 64 KiB are allowed.
fn lift_memlock() {
    let all = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: reads one struct that lives during the call. Where it fails, the limit is seldom reached.
    unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const all) };
}

/// What both kinds do.
trait Owned: Sync {
    fn id(&self) -> u32;
    fn produce(&self, count: u64);
    fn consume(&self, read: &mut Read);
    fn lost(&self) -> u64;
    fn map_spare(&self) {}
}

fn serve(owned: impl Owned) -> ! {
    let mut read = Read { records: 0, next: 0, gaps: 0, lost: 0 };
    let say = |text: String| {
        let mut stdout = io::stdout().lock();
        writeln!(stdout, "{text}").unwrap();
        stdout.flush().unwrap();
    };
    say(format!("ready {}", owned.id()));
    for line in io::stdin().lock().lines() {
        let line = line.unwrap();
        let (verb, number) = line.split_once(' ').unwrap_or((&line, "0"));
        let number: u64 = number.parse().unwrap();
        match verb {
            "produce" => {
                owned.produce(number);
                say(format!("produced {number}"));
                continue;
            }
            "map" => {
                owned.map_spare();
                say("mapped".to_owned());
                continue;
            }
            "load" => load(&owned, Duration::from_secs(number), &mut read),
            _ => owned.consume(&mut read),
        }
        let lost = owned.lost();
        say(format!("consumed {} next {} gaps {} lost {lost}", read.records, read.next, read.gaps));
    }
    std::process::exit(0)
}

/// Sends as fast as the other thread reads, and now and then faster.
fn load(owned: &impl Owned, time: Duration, read: &mut Read) {
    let ended = AtomicBool::new(false);
    let end = Instant::now() + time;
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut burst = 0;
            while Instant::now() < end {
                burst = burst % 97 + 1;
                owned.produce(burst);
            }
            // ATOMICS: pairs with the load below: all that was sent is there when the last round reads.
            ended.store(true, Ordering::Release);
        });
        loop {
            // ATOMICS: see above.
            let last = ended.load(Ordering::Acquire);
            owned.consume(read);
            if last {
                break;
            }
            thread::yield_now();
        }
    });
}

impl Read {
    fn take(&mut self, payload: [u64; 2]) {
        // Those that were discarded are never seen.
        if self.next % 10 == 9 {
            self.next += 1;
        }
        if payload != [self.next; 2] {
            self.gaps += 1;
        }
        self.records += 1;
        self.next = payload[0] + 1;
    }
}

/// A ring with its program, its pages, and its reader.
struct Ring {
    map: OwnedFd,
    state: OwnedFd,
    program: OwnedFd,
    consumer: Page,
    producer: Page,
    bytes: u32,
}

impl Ring {
    fn new(name: &str, bytes: u32) -> Self {
        let map = map_create(RINGBUF, [0, 0, bytes], name);
        let state = map_create(ARRAY, [4, 16, 1], "numbers");
        let program = load_program(&sending_to_ring(&map, &state), "send_to_ring");
        let page = rustix::param::page_size();
        let consumer = Page::map(map.as_fd(), 0, page, true);
        let producer = Page::map(map.as_fd(), page, page + 2 * bytes as usize, false);
        Self { map, state, program, consumer, producer, bytes }
    }
}

impl Owned for Ring {
    fn id(&self) -> u32 {
        map_id(self.map.as_fd())
    }

    fn produce(&self, count: u64) {
        test_run(self.program.as_fd(), count);
    }

    fn lost(&self) -> u64 {
        lookup(self.state.as_fd())[1]
    }

    /// The five steps, and nothing else.
    fn consume(&self, read: &mut Read) {
        let page = rustix::param::page_size();
        let mut position = self.consumer.word(0).load(Ordering::Relaxed);
        loop {
            // ATOMICS: acquires the kernel's release of producer_pos: up to there, headers are headers.
            if self.producer.word(0).load(Ordering::Acquire) == position {
                return;
            }
            let offset = page + (position & u64::from(self.bytes - 1)) as usize;
            // ATOMICS: acquires the commit's exchange of the length word.
            let length = self.producer.half(offset).load(Ordering::Acquire);
            if length & 1 << 31 != 0 {
                return;
            }
            if length & 1 << 30 == 0 {
                assert_eq!(u64::from(length), PAYLOAD, "at {position}");
                read.take([8, 16].map(|at| self.producer.word(offset + at).load(Ordering::Relaxed)));
            }
            position += u64::from(length & !(3 << 30)).next_multiple_of(8) + 8;
            // ATOMICS: what was read is read before it is free.
            self.consumer.word(0).store(position, Ordering::Release);
        }
    }
}

/// The perf buffer of CPU 0 with its program; and an event that has no ring until somebody asks for it.
struct Perf {
    map: OwnedFd,
    state: OwnedFd,
    program: OwnedFd,
    _event: OwnedFd,
    spare: OwnedFd,
    page: Page,
    bytes: u32,
}

impl Perf {
    fn new(name: &str, bytes: u32) -> Self {
        // The program runs where this runs, and what it sends goes into that CPU's buffer.
        pin_to_cpu_0();
        let map = map_create(PERF_EVENT_ARRAY, [4, 4, 1], name);
        let state = map_create(ARRAY, [4, 16, 1], "numbers");
        let program = load_program(&sending_to_perf(&map, &state), "send_to_perf");
        let (event, spare) = (perf_event(), perf_event());
        let page = rustix::param::page_size();
        let pages = Page::map(event.as_fd(), 0, page + bytes as usize, true);
        update(map.as_fd(), &event.as_raw_fd().to_ne_bytes());
        Self { map, state, program, _event: event, spare, page: pages, bytes }
    }
}

impl Owned for Perf {
    fn id(&self) -> u32 {
        map_id(self.map.as_fd())
    }

    fn produce(&self, count: u64) {
        test_run(self.program.as_fd(), count);
    }

    fn lost(&self) -> u64 {
        lookup(self.state.as_fd())[1]
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
        // ATOMICS: what was read is read before it is free; the kernel has a full barrier on its side.
        fence(Ordering::SeqCst);
        tail.store(position, Ordering::Relaxed);
    }

    fn map_spare(&self) {
        let page = rustix::param::page_size();
        let pages = Page::map(self.spare.as_fd(), 0, page * 3, true);
        pages.word(1032).store(0, Ordering::Relaxed);
    }
}

/// Pages that are mapped for as long as the process lives.
struct Page {
    start: *mut u8,
    length: usize,
}

// SAFETY: the pages are only touched by atomic accesses.
unsafe impl Sync for Page {}

impl Page {
    fn map(fd: BorrowedFd<'_>, offset: usize, length: usize, writable: bool) -> Self {
        let prot = libc::PROT_READ | if writable { libc::PROT_WRITE } else { 0 };
        // SAFETY: a new mapping where the kernel likes.
        let start = unsafe {
            libc::mmap(ptr::null_mut(), length, prot, libc::MAP_SHARED, fd.as_raw_fd(), offset as libc::off_t)
        };
        assert_ne!(start, libc::MAP_FAILED, "{}", io::Error::last_os_error());
        Self { start: start.cast(), length }
    }

    fn word(&self, at: usize) -> &AtomicU64 {
        assert!(at + 8 <= self.length && at.is_multiple_of(8));
        // SAFETY: inside the mapping, which is never unmapped, and aligned.
        unsafe { AtomicU64::from_ptr(self.start.wrapping_add(at).cast()) }
    }

    fn half(&self, at: usize) -> &AtomicU32 {
        assert!(at + 4 <= self.length && at.is_multiple_of(4));
        // SAFETY: as above.
        unsafe { AtomicU32::from_ptr(self.start.wrapping_add(at).cast()) }
    }
}

const ARRAY: u32 = 2;
const PERF_EVENT_ARRAY: u32 = 4;
const RINGBUF: u32 = 27;

/// bpf(2) with an attribute of 128 bytes, made of 32-bit words at these offsets and of addresses at those.
fn bpf(command: u32, words: &[(usize, u32)], addresses: &[(usize, u64)]) -> io::Result<i64> {
    let mut attr = [0_u64; 16];
    let bytes: &mut [u8; 128] = {
        // SAFETY: 128 bytes, and any bytes are valid in both.
        unsafe { &mut *ptr::from_mut(&mut attr).cast() }
    };
    for (at, word) in words {
        bytes[*at..at + 4].copy_from_slice(&word.to_ne_bytes());
    }
    for (at, address) in addresses {
        bytes[*at..at + 8].copy_from_slice(&address.to_ne_bytes());
    }
    // SAFETY: the callers give addresses of what lives during the call and is as long as the command wants it.
    let answer = unsafe { libc::syscall(libc::SYS_bpf, command, ptr::from_mut(&mut attr), 128) };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(answer) }
}

fn owned(answer: io::Result<i64>) -> OwnedFd {
    let fd = RawFd::try_from(answer.unwrap()).unwrap();
    // SAFETY: the kernel has just made it for us.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

fn name(text: &str) -> [(usize, u32); 4] {
    let mut bytes = [0; 16];
    bytes[..text.len().min(15)].copy_from_slice(&text.as_bytes()[..text.len().min(15)]);
    [0, 4, 8, 12].map(|at| (at, u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap())))
}

fn map_create(kind: u32, [key, value, entries]: [u32; 3], text: &str) -> OwnedFd {
    let mut words = vec![(0, kind), (4, key), (8, value), (12, entries)];
    words.extend(name(text).map(|(at, word)| (28 + at, word)));
    owned(bpf(0, &words, &[]))
}

fn map_id(map: BorrowedFd<'_>) -> u32 {
    let mut info = [0_u32; 20];
    bpf(15, &[(0, map.as_raw_fd() as u32), (4, 80)], &[(8, ptr::from_mut(&mut info).expose_provenance() as u64)])
        .unwrap();
    info[1]
}

/// The one element of the map of numbers: the next one, and how many were lost.
fn lookup(map: BorrowedFd<'_>) -> [u64; 2] {
    let (key, mut value) = (0_u32, [0_u64; 2]);
    let addresses = [
        (8, ptr::from_ref(&key).expose_provenance() as u64),
        (16, ptr::from_mut(&mut value).expose_provenance() as u64),
    ];
    bpf(1, &[(0, map.as_raw_fd() as u32)], &addresses).unwrap();
    value
}

/// Sets element 0.
fn update(map: BorrowedFd<'_>, value: &[u8]) {
    let key = 0_u32;
    let addresses =
        [(8, ptr::from_ref(&key).expose_provenance() as u64), (16, value.as_ptr().expose_provenance() as u64)];
    bpf(2, &[(0, map.as_raw_fd() as u32)], &addresses).unwrap();
}

/// Loads a program of type `SOCKET_FILTER`, which anything may run by `BPF_PROG_TEST_RUN`.
fn load_program(instructions: &[u64], text: &str) -> OwnedFd {
    let mut log = vec![0_u8; 1 << 16];
    let words = [(0, 1), (4, instructions.len() as u32), (24, 1), (28, log.len() as u32)];
    let words: Vec<_> = words.into_iter().chain(name(text).map(|(at, word)| (48 + at, word))).collect();
    let addresses = [
        (8, instructions.as_ptr().expose_provenance() as u64),
        (16, c"GPL".as_ptr().expose_provenance() as u64),
        (32, log.as_mut_ptr().expose_provenance() as u64),
    ];
    let answer = bpf(5, &words, &addresses);
    assert!(answer.is_ok(), "{answer:?}: {}", String::from_utf8_lossy(&log).trim_end_matches('\0'));
    owned(answer)
}

/// Runs it so often, over an empty packet.
fn test_run(program: BorrowedFd<'_>, count: u64) {
    let packet = [0_u8; 64];
    let words = [(0, program.as_raw_fd() as u32), (8, packet.len() as u32), (32, count as u32)];
    if count > 0 {
        bpf(10, &words, &[(16, packet.as_ptr().expose_provenance() as u64)]).unwrap();
    }
}

fn pin_to_cpu_0() {
    let mut set = [0_u64; 16];
    set[0] = 1;
    // SAFETY: reads 128 bytes from `set`.
    let answer = unsafe { libc::syscall(libc::SYS_sched_setaffinity, 0, 128, ptr::from_ref(&set)) };
    assert_eq!(answer, 0);
}

/// An event of CPU 0 through which programs send: software, `BPF_OUTPUT`, raw samples, enabled.
fn perf_event() -> OwnedFd {
    let mut attr = [0_u64; 14];
    attr[0] = 112 << 32 | 1;
    attr[1] = 10;
    attr[2] = 1; // sample_period
    attr[3] = 1 << 10; // PERF_SAMPLE_RAW
    // SAFETY: 112 bytes that say so.
    let fd = unsafe { libc::syscall(libc::SYS_perf_event_open, ptr::from_ref(&attr), -1, 0, -1, 8) };
    owned(if fd < 0 { Err(io::Error::last_os_error()) } else { Ok(fd) })
}

/// An instruction: operation, registers, offset, constant.
fn op(code: u8, to: u8, from: u8, offset: i16, constant: i32) -> u64 {
    let [o0, o1] = offset.to_le_bytes();
    let [c0, c1, c2, c3] = constant.to_le_bytes();
    u64::from_le_bytes([code, from << 4 | to, o0, o1, c0, c1, c2, c3])
}

/// The address of a map into a register: two slots.
fn map_address(to: u8, map: &OwnedFd) -> [u64; 2] {
    [op(0x18, to, 1, 0, map.as_raw_fd()), 0]
}

/// r6 = the element of the map of numbers, or the end; r7 = the next number.
fn next_number(state: &OwnedFd) -> Vec<u64> {
    let mut code = vec![
        op(0xbf, 9, 1, 0, 0),   // r9 = r1, the context
        op(0x62, 10, 0, -4, 0), // *(u32 *)(r10 - 4) = 0
        op(0xbf, 2, 10, 0, 0),  // r2 = r10
        op(0x07, 2, 0, 0, -4),  // r2 += -4
    ];
    code.extend(map_address(1, state));
    code.extend([
        op(0x85, 0, 0, 0, 1), // call bpf_map_lookup_elem
        op(0x55, 0, 0, 2, 0), // if r0 != 0 go on
        op(0xb7, 0, 0, 0, 0), // r0 = 0
        op(0x95, 0, 0, 0, 0), // exit
        op(0xbf, 6, 0, 0, 0), // r6 = r0
        op(0x79, 7, 6, 0, 0), // r7 = *(u64 *)(r6 + 0)
    ]);
    code
}

fn sending_to_ring(map: &OwnedFd, state: &OwnedFd) -> Vec<u64> {
    let mut code = next_number(state);
    code.extend(map_address(1, map));
    code.extend([
        op(0xb7, 2, 0, 0, PAYLOAD as i32),
        op(0xb7, 3, 0, 0, 0),
        op(0x85, 0, 0, 0, 131), // call bpf_ringbuf_reserve
        op(0x55, 0, 0, 5, 0),   // if r0 != 0 go on
        op(0x79, 1, 6, 8, 0),   // lost += 1
        op(0x07, 1, 0, 0, 1),
        op(0x7b, 6, 1, 8, 0),
        op(0xb7, 0, 0, 0, 0),
        op(0x95, 0, 0, 0, 0),
        op(0x7b, 0, 7, 0, 0), // the number, twice
        op(0x7b, 0, 7, 8, 0),
        op(0xbf, 8, 7, 0, 0), // r8 = r7 % 10
        op(0x97, 8, 0, 0, 10),
        op(0x07, 7, 0, 0, 1), // next = r7 + 1
        op(0x7b, 6, 7, 0, 0),
        op(0xbf, 1, 0, 0, 0),
        op(0xb7, 2, 0, 0, 0),
        op(0x15, 8, 0, 3, 9),   // if r8 == 9 discard
        op(0x85, 0, 0, 0, 132), // call bpf_ringbuf_submit
        op(0xb7, 0, 0, 0, 0),
        op(0x95, 0, 0, 0, 0),
        op(0x85, 0, 0, 0, 133), // call bpf_ringbuf_discard
        op(0xb7, 0, 0, 0, 0),
        op(0x95, 0, 0, 0, 0),
    ]);
    code
}

fn sending_to_perf(map: &OwnedFd, state: &OwnedFd) -> Vec<u64> {
    let mut code = next_number(state);
    code.extend([
        op(0xbf, 8, 7, 0, 0), // every tenth number is left out, as those that a ring discards
        op(0x97, 8, 0, 0, 10),
        op(0x55, 8, 0, 1, 9),
        op(0x07, 7, 0, 0, 1),
        op(0x7b, 10, 7, -24, 0), // the number, twice
        op(0x7b, 10, 7, -16, 0),
        op(0xbf, 1, 9, 0, 0),
    ]);
    code.extend(map_address(2, map));
    code.extend([
        op(0x18, 3, 0, 0, -1), // BPF_F_CURRENT_CPU
        0,
        op(0xbf, 4, 10, 0, 0),
        op(0x07, 4, 0, 0, -24),
        op(0xb7, 5, 0, 0, PAYLOAD as i32),
        op(0x85, 0, 0, 0, 25), // call bpf_perf_event_output
        op(0x15, 0, 0, 5, 0),  // if r0 == 0 go on
        op(0x79, 1, 6, 8, 0),  // lost += 1
        op(0x07, 1, 0, 0, 1),
        op(0x7b, 6, 1, 8, 0),
        op(0xb7, 0, 0, 0, 0),
        op(0x95, 0, 0, 0, 0),
        op(0x07, 7, 0, 0, 1), // next = r7 + 1
        op(0x7b, 6, 7, 0, 0),
        op(0xb7, 0, 0, 0, 0),
        op(0x95, 0, 0, 0, 0),
    ]);
    code
}

/// A user ring of this process, whose producer page is ours to write: a record in each state, as a program never leaves them.
pub(crate) struct UserRing {
    pub(crate) map: OwnedFd,
}

impl UserRing {
    /// Three records: committed, discarded, busy; `None` if the kernel has no user rings (6.1).
    pub(crate) fn new(text: &str) -> Option<Self> {
        let page = rustix::param::page_size();
        let mut words = vec![(0, 31), (12, page as u32)];
        words.extend(name(text).map(|(at, word)| (28 + at, word)));
        let map = match bpf(0, &words, &[]) {
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => return None,
            answer => owned(answer),
        };
        let pages = Page::map(map.as_fd(), page, page * 3, true);
        for (at, header) in [(0, 24), (32, 8 | 1 << 30), (48, 40 | 1 << 31)] {
            pages.half(page + at).store(header, Ordering::Relaxed);
        }
        pages.word(page + 8).store(u64::from_ne_bytes(*b"a sample"), Ordering::Relaxed);
        // ATOMICS: the headers are there before the position covers them.
        pages.word(0).store(96, Ordering::Release);
        Some(Self { map })
    }

    pub(crate) fn id(&self) -> u32 {
        map_id(self.map.as_fd())
    }
}

/// A file of BTF: `struct pair { unsigned long first, second; }`.
pub(crate) fn btf_of_pair() -> Vec<u8> {
    let strings = b"\0unsigned long\0pair\0first\0second\0";
    let types: [u32; 13] = [1, 1 << 24, 8, 64, 15, 4 << 24 | 2, 16, 20, 1, 0, 26, 1, 64];
    let mut bytes = 0xeb9f_u16.to_ne_bytes().to_vec();
    bytes.extend([1, 0]);
    let length = size_of_val(&types) as u32;
    for word in [24, 0, length, length, strings.len() as u32].iter().chain(&types) {
        bytes.extend(word.to_ne_bytes());
    }
    bytes.extend(strings);
    bytes
}

/// A file with these bytes.
pub(crate) fn file(folder: &std::path::Path, name: &str, bytes: &[u8]) -> String {
    let path = folder.join(name);
    File::create(&path).unwrap().write_all(bytes).unwrap();
    path.to_str().unwrap().to_owned()
}
