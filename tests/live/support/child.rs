//! The traced process: the test's own binary in a second process. It calls `getaddrinfo` as the job says and writes
//! down the results, so that every event can be compared with the real call.
//!
//! ```text
//!     test                                     child
//!     DIR/job.json      the questions ───────▶ reads it
//!     DIR/ready         ◀───────────────────── creates it
//!     a line on stdin   if it has to wait ───▶ until then, calls with its beacon if it has one
//!     DIR/answers.json  ◀───────────────────── the results, complete or absent
//! ```
#![expect(unsafe_code, reason = "calls getaddrinfo and reads the list that it returns")]

use std::{
    ffi::{CStr, CString, OsString},
    fs::{self, File},
    io::{BufRead, Write},
    net::{Ipv4Addr, Ipv6Addr},
    path::{Path, PathBuf},
    process::Command,
    ptr,
    sync::{
        Barrier,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use crate::patience::wait_until;

/// The argument that makes this binary a child.
const CHILD: &str = "as-traced-child";

/// One call of `getaddrinfo`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Question {
    pub(crate) node: Option<String>,
    pub(crate) service: Option<String>,
    pub(crate) hints: Option<Hints>,
}

/// `struct addrinfo` as the hints of a question.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hints {
    pub(crate) flags: i32,
    pub(crate) family: i32,
    pub(crate) socktype: i32,
}

impl Question {
    pub(crate) fn new(node: &str) -> Self {
        Self { node: Some(node.to_owned()), service: None, hints: None }
    }

    /// Returns a question that fails at once with every resolver: the name is not an address, and nothing else is
    /// allowed.
    pub(crate) fn hopeless(node: &str) -> Self {
        Self::new(node).flags(libc::AI_NUMERICHOST)
    }

    pub(crate) fn service(mut self, service: &str) -> Self {
        self.service = Some(service.to_owned());
        self
    }

    pub(crate) fn flags(mut self, flags: i32) -> Self {
        self.hints.get_or_insert_default().flags = flags;
        self
    }

    pub(crate) fn family(mut self, family: i32) -> Self {
        self.hints.get_or_insert_default().family = family;
        self
    }

    pub(crate) fn socktype(mut self, socktype: i32) -> Self {
        self.hints.get_or_insert_default().socktype = socktype;
        self
    }

    /// Calls getaddrinfo and records the result.
    pub(crate) fn ask(&self) -> Answer {
        let c_string = |text: &Option<String>| text.as_deref().map(|text| CString::new(text).unwrap());
        let (node, service) = (c_string(&self.node), c_string(&self.service));
        let pointer = |text: &Option<CString>| text.as_ref().map_or(ptr::null(), |text| text.as_ptr());
        let hints = self.hints.map(|hints| libc::addrinfo {
            ai_flags: hints.flags,
            ai_family: hints.family,
            ai_socktype: hints.socktype,
            ai_protocol: 0,
            ai_addrlen: 0,
            ai_addr: ptr::null_mut(),
            ai_canonname: ptr::null_mut(),
            ai_next: ptr::null_mut(),
        });
        let hints = hints.as_ref().map_or(ptr::null(), ptr::from_ref);
        let mut list = ptr::null_mut();
        let begin_ns = now();
        // SAFETY: the strings and the hints live until the end of this function; `list` is writable.
        let ret = unsafe { libc::getaddrinfo(pointer(&node), pointer(&service), hints, &raw mut list) };
        let end_ns = now();
        let mut entries = Vec::new();
        let mut next = list.cast_const();
        // SAFETY: null, or an entry of the list that is not freed yet.
        while let Some(entry) = unsafe { next.as_ref() } {
            entries.push(Entry::read(entry));
            next = entry.ai_next;
        }
        if ret == 0 {
            // SAFETY: the list that getaddrinfo has just returned; no reference to it is left.
            unsafe { libc::freeaddrinfo(list) };
        }
        Answer { question: self.clone(), tid: thread_id(), comm: thread_name(), begin_ns, end_ns, ret, entries }
    }
}

/// The result of a call, the calling thread, and the time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Answer {
    pub(crate) question: Question,
    pub(crate) tid: u32,
    pub(crate) comm: String,
    /// `CLOCK_MONOTONIC` in nanoseconds, before and after the call.
    pub(crate) begin_ns: u64,
    pub(crate) end_ns: u64,
    pub(crate) ret: i32,
    pub(crate) entries: Vec<Entry>,
}

/// An entry of the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) flags: i32,
    pub(crate) family: i32,
    pub(crate) socktype: i32,
    pub(crate) protocol: i32,
    pub(crate) addrlen: u32,
    pub(crate) addr: String,
    pub(crate) canonname: Option<String>,
}

impl Entry {
    fn read(entry: &libc::addrinfo) -> Self {
        let addr = match entry.ai_family {
            libc::AF_INET => {
                // SAFETY: an entry of this family points to an address of it, as aligned as the list's memory is.
                let address = unsafe { &*entry.ai_addr.cast::<libc::sockaddr_in>() };
                Ipv4Addr::from(address.sin_addr.s_addr.to_ne_bytes()).to_string()
            }
            libc::AF_INET6 => {
                // SAFETY: as above.
                let address = unsafe { &*entry.ai_addr.cast::<libc::sockaddr_in6>() };
                let ip = Ipv6Addr::from(address.sin6_addr.s6_addr);
                match address.sin6_scope_id {
                    0 => ip.to_string(),
                    scope => format!("{ip}%{scope}"),
                }
            }
            other => panic!("an entry of the family {other}"),
        };
        let canonname = (!entry.ai_canonname.is_null()).then(|| {
            // SAFETY: not null, so a string of the list.
            let name = unsafe { CStr::from_ptr(entry.ai_canonname) };
            name.to_str().unwrap().to_owned()
        });
        Self {
            flags: entry.ai_flags,
            family: entry.ai_family,
            socktype: entry.ai_socktype,
            protocol: entry.ai_protocol,
            addrlen: entry.ai_addrlen,
            addr,
            canonname,
        }
    }
}

/// Returns the time of `CLOCK_MONOTONIC` in nanoseconds.
fn now() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is writable.
    let answer = unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    assert_eq!(answer, 0);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

fn thread_id() -> u32 {
    // SAFETY: takes nothing, gives a number.
    unsafe { libc::gettid() }.cast_unsigned()
}

/// Returns the thread's name as the kernel keeps it: 15 bytes.
fn thread_name() -> String {
    let mut name = [0_u8; 16];
    // SAFETY: this request writes at most 16 bytes.
    let answer = unsafe { libc::prctl(libc::PR_GET_NAME, name.as_mut_ptr()) };
    assert_eq!(answer, 0);
    CStr::from_bytes_until_nul(&name).unwrap().to_str().unwrap().to_owned()
}

/// The job of a child.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Orders {
    questions: Vec<Question>,
    /// Asked repeatedly while waiting; the results are not recorded.
    beacon: Option<Question>,
    wait: bool,
    /// The number of threads that share the questions; 0 for the main thread alone.
    threads: usize,
    /// How often all questions are asked before the time that is recorded.
    rehearsals: usize,
    uid: Option<u32>,
    /// Whether to stay on one CPU.
    pinned: bool,
    exit: i32,
}

/// A child's directory, before and after its run. The test or the traced command starts the child itself.
pub(crate) struct Job {
    orders: Orders,
    folder: TempDir,
}

impl Job {
    pub(crate) fn new(questions: impl IntoIterator<Item = Question>) -> Self {
        let orders = Orders { questions: questions.into_iter().collect(), ..Orders::default() };
        let job = Self { orders, folder: tempfile::tempdir().unwrap() };
        job.write();
        job
    }

    /// Makes the child wait for a line on its stdin, or for the end of it, before it asks.
    pub(crate) fn wait(self) -> Self {
        self.with(|orders| orders.wait = true)
    }

    /// Makes the child ask this every few milliseconds while it waits.
    pub(crate) fn beacon(self, beacon: Question) -> Self {
        self.with(|orders| orders.beacon = Some(beacon))
    }

    pub(crate) fn threads(self, threads: usize) -> Self {
        self.with(|orders| orders.threads = threads)
    }

    /// Makes the child ask all questions this often in all; only the last time is recorded.
    pub(crate) fn times(self, times: usize) -> Self {
        self.with(|orders| orders.rehearsals = times - 1)
    }

    /// Makes the child ask as this user.
    pub(crate) fn uid(self, uid: u32) -> Self {
        self.with(|orders| orders.uid = Some(uid))
    }

    /// Makes the child stay on the CPU that it starts on.
    pub(crate) fn pinned(self) -> Self {
        self.with(|orders| orders.pinned = true)
    }

    /// Sets the child's exit status.
    pub(crate) fn exit(self, status: i32) -> Self {
        self.with(|orders| orders.exit = status)
    }

    fn with(mut self, change: impl FnOnce(&mut Orders)) -> Self {
        change(&mut self.orders);
        self.write();
        self
    }

    fn write(&self) {
        fs::write(self.path("job.json"), serde_json::to_vec(&self.orders).unwrap()).unwrap();
    }

    fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    /// Returns the command line that runs the child.
    pub(crate) fn command_line(&self) -> Vec<OsString> {
        vec![std::env::current_exe().unwrap().into(), CHILD.into(), self.folder.path().into()]
    }

    /// Returns the same as a command, for a test that runs the child itself.
    pub(crate) fn command(&self) -> Command {
        let [program, arguments @ ..] = self.command_line().try_into().map(|line: [OsString; 3]| line).unwrap();
        let mut command = Command::new(program);
        command.args(arguments);
        command
    }

    /// Waits until the child has started, or waits for its line. Returns its process id.
    pub(crate) fn ready(&self) -> u32 {
        wait_until("the child is ready", || self.started())
    }

    /// Returns the child's process id. `None` if it has not got as far as [`Self::ready`] waits for.
    pub(crate) fn started(&self) -> Option<u32> {
        fs::read_to_string(self.path("ready")).ok()?.strip_suffix('\n')?.parse().ok()
    }

    /// Waits for the child's results, in the order of the questions for each thread.
    pub(crate) fn answers(&self) -> Vec<Answer> {
        let file = self.path("answers.json");
        let answers: Vec<Answer> =
            wait_until("the child has its answers", || serde_json::from_slice(&fs::read(&file).ok()?).ok());
        assert_eq!(answers.len(), self.orders.questions.len());
        answers
    }
}

/// Runs as a child and exits, if this process is one. `main` calls it first.
pub(crate) fn be_one_if_asked() {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_some_and(|first| first == CHILD) {
        let folder = PathBuf::from(arguments.next().unwrap());
        std::process::exit(run(&folder));
    }
}

fn run(folder: &Path) -> i32 {
    let orders: Orders = serde_json::from_slice(&fs::read(folder.join("job.json")).unwrap()).unwrap();
    let mut written = File::create(folder.join("answers.json")).unwrap();
    if orders.pinned {
        pin();
    }
    fs::write(folder.join("ready"), format!("{}\n", std::process::id())).unwrap();
    if let Some(uid) = orders.uid {
        // SAFETY: takes a number, gives a number.
        let answer = unsafe { libc::setuid(uid) };
        assert_eq!(answer, 0);
    }
    if orders.wait {
        wait_for_a_line(orders.beacon.as_ref());
    }
    let answers: Vec<Answer> = match orders.threads {
        0 => ask_all(orders.questions.iter(), orders.rehearsals),
        threads => in_threads(&orders.questions, threads, orders.rehearsals),
    };
    written.write_all(&serde_json::to_vec(&answers).unwrap()).unwrap();
    orders.exit
}

/// Keeps this process on its current CPU.
fn pin() {
    // SAFETY: plain bits, all of which may be 0.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: takes nothing, gives a number.
    let cpu = unsafe { libc::sched_getcpu() };
    // SAFETY: sets a bit of `set`.
    unsafe { libc::CPU_SET(usize::try_from(cpu).unwrap(), &mut set) };
    // SAFETY: reads `set`, which is as long as it is said to be.
    let answer = unsafe { libc::sched_setaffinity(0, size_of_val(&set), &raw const set) };
    assert_eq!(answer, 0);
}

fn wait_for_a_line(beacon: Option<&Question>) {
    let waited = AtomicBool::new(false);
    thread::scope(|scope| {
        if let Some(beacon) = beacon {
            let waited = &waited;
            scope.spawn(move || {
                // ATOMICS: only the flag itself passes between the threads.
                while !waited.load(Ordering::Relaxed) {
                    beacon.ask();
                    thread::sleep(Duration::from_millis(5));
                }
            });
        }
        std::io::stdin().lock().read_line(&mut String::new()).unwrap();
        waited.store(true, Ordering::Relaxed);
    });
}

/// Asks all questions, after some rehearsals.
fn ask_all<'a>(questions: impl Iterator<Item = &'a Question> + Clone, rehearsals: usize) -> Vec<Answer> {
    for _ in 0..rehearsals {
        questions.clone().for_each(|question| drop(question.ask()));
    }
    questions.map(Question::ask).collect()
}

/// Splits the questions among threads, each `threads`th one to the same thread; all threads ask at the same time.
fn in_threads(questions: &[Question], threads: usize, rehearsals: usize) -> Vec<Answer> {
    let start = Barrier::new(threads);
    thread::scope(|scope| {
        let running: Vec<_> = (0..threads)
            .map(|number| {
                let start = &start;
                let ask = move || {
                    start.wait();
                    ask_all(questions.iter().skip(number).step_by(threads), rehearsals)
                };
                thread::Builder::new().name(format!("asker-{number}")).spawn_scoped(scope, ask).unwrap()
            })
            .collect();
        running.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    })
}
