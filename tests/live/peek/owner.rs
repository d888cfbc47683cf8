//! The owner of a ring or of a perf buffer: a process that makes all its system calls directly.
//!
//! ```text
//!     stdin             action                                                stdout
//!                       creates the maps, loads the program                   ready ID
//!     produce N         runs the program N times, for one record each         produced N
//!     consume           reads the pending records                             consumed N next NEXT gaps GAPS lost LOST
//!     load SECONDS      does both at once, in two threads                     the same
//!     map               maps an event that was opened and not mapped yet      mapped
//! ```
//!
//! A record is its number, twice. Every tenth is discarded. A record without space in the buffer is counted and gets no
//! number.
//!
//! ```text
//!     buffers.rs   the buffers, and their readers
//!     programs.rs  the programs that send the records
//!     calls.rs     the system calls, and shared pages
//!     foreign.py   the same in another language
//! ```

mod buffers;
mod calls;
mod programs;

use std::{
    fs::File,
    io::{self, BufRead, Write},
    os::unix::process::CommandExt,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use rustix::process::Signal;

pub(crate) use self::buffers::UserRing;
use self::buffers::{Perf, Ring, Sender};
use crate::binary::Running;

/// The argument that makes this binary an owner.
const OWNER: &str = "as-owner";

/// The payload of a record in bytes.
pub(crate) const PAYLOAD: u64 = 16;

/// The bytes that a record takes in a ring.
pub(crate) const SPACE: u64 = PAYLOAD + 8;

/// The kind of the buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Ring,
    Perf,
}

/// An owner, as the test sees it.
pub(crate) struct Owner {
    process: Running,
    /// The map id.
    pub(crate) id: u32,
    /// The number of answers that it has given.
    answers: usize,
}

/// The result of an owner's reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Read {
    pub(crate) records: u64,
    /// The number of the next record.
    pub(crate) next: u64,
    /// The records whose number did not follow the previous one.
    pub(crate) gaps: u64,
    /// The records for which the buffer had no space.
    pub(crate) lost: u64,
}

impl Owner {
    /// Starts an owner with a buffer of `bytes` bytes whose map has this name.
    pub(crate) fn start(kind: Kind, name: &str, bytes: u32) -> Self {
        let mut command = std::process::Command::new(std::env::current_exe().unwrap());
        command.args([OWNER, if kind == Kind::Ring { "ring" } else { "perf" }, name, &bytes.to_string()]);
        Self::begin(&mut command)
    }

    /// Starts the owner of a ring of one page, whose executable has this path: the kernel takes the process's name from
    /// the file name.
    pub(crate) fn by_path(path: &std::path::Path, name: &str) -> Self {
        std::os::unix::fs::symlink(std::env::current_exe().unwrap(), path).unwrap();
        let bytes = rustix::param::page_size().to_string();
        Self::begin(std::process::Command::new(path).arg0("owner").args([OWNER, "ring", name, &bytes]))
    }

    /// Starts the owner of a ring as a program in another language.
    pub(crate) fn foreign(name: &str, bytes: u32) -> Self {
        let script = include_str!("owner/foreign.py");
        Self::begin(std::process::Command::new("python3").args(["-c", script, name, &bytes.to_string()]))
    }

    fn begin(command: &mut std::process::Command) -> Self {
        let mut owner = Self { process: Running::start(command), id: 0, answers: 0 };
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

    /// Returns its answer to `consume` and `load`.
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

    /// Returns the rest of its next line.
    fn answer(&mut self, begin: &str) -> String {
        let line = self.process.stdout_nth("the owner answers", self.answers);
        self.answers += 1;
        line.strip_prefix(begin).unwrap_or_else(|| panic!("{begin}: {line}")).to_owned()
    }
}

/// Runs the owner and does not return, if this process was started as one.
pub(crate) fn be_one_if_asked() {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() != Some(OWNER) {
        return;
    }
    let (kind, name, bytes) = (arguments.next().unwrap(), arguments.next().unwrap(), arguments.next().unwrap());
    let bytes = bytes.parse().unwrap();
    calls::lift_memlock();
    match kind.as_str() {
        "ring" => serve(Ring::new(&name, bytes)),
        _ => serve(Perf::new(&name, bytes)),
    }
}

/// The actions of both kinds.
trait Owned: Sync {
    fn sender(&self) -> &Sender;
    fn consume(&self, read: &mut Read);
    fn map_spare(&self) {}
}

fn serve(owned: impl Owned) -> ! {
    let mut read = Read { records: 0, next: 0, gaps: 0, lost: 0 };
    let say = |text: String| {
        let mut stdout = io::stdout().lock();
        writeln!(stdout, "{text}").unwrap();
        stdout.flush().unwrap();
    };
    say(format!("ready {}", owned.sender().id()));
    for line in io::stdin().lock().lines() {
        let line = line.unwrap();
        let (verb, number) = line.split_once(' ').unwrap_or((&line, "0"));
        let number: u64 = number.parse().unwrap();
        match verb {
            "produce" => {
                owned.sender().produce(number);
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
        let lost = owned.sender().lost();
        say(format!("consumed {} next {} gaps {} lost {lost}", read.records, read.next, read.gaps));
    }
    std::process::exit(0)
}

/// Sends as fast as the other thread reads, and sometimes faster.
fn load(owned: &impl Owned, time: Duration, read: &mut Read) {
    let ended = AtomicBool::new(false);
    let end = Instant::now() + time;
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut burst = 0;
            while Instant::now() < end {
                burst = burst % 97 + 1;
                owned.sender().produce(burst);
            }
            // ATOMICS: pairs with the load below: all records sent are visible to the last round of reading.
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
        // The discarded records are never read.
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

/// Returns BTF: `struct pair { unsigned long first, second; }`.
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

/// Writes a file with these bytes.
pub(crate) fn file(folder: &std::path::Path, name: &str, bytes: &[u8]) -> String {
    let path = folder.join(name);
    File::create(&path).unwrap().write_all(bytes).unwrap();
    path.to_str().unwrap().to_owned()
}
