//! Simulates an older kernel. The calls of bpf(2) and perf_event_open(2) of a process are first reported to the test.
//! Some of them never reach the kernel, but fail as they would on an older one. The test can watch other calls as well.
//!
//! This is seccomp's user notification (`seccomp_unotify(2)`, Linux 5.5). A filter belongs to a thread and to
//! everything that this thread starts. So a new thread installs it, starts the process, and ends.
#![expect(unsafe_code, reason = "seccomp(2) and its ioctls have no safe wrapper")]

use std::{
    fs::File,
    io,
    os::{
        fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
        unix::fs::FileExt,
    },
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    sync::mpsc,
    thread,
};

use crate::binary::{Ended, Running};

/// A system call before it is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Call {
    /// The thread that makes it.
    pub(crate) thread: u32,
    /// `libc::SYS_bpf`, `libc::SYS_perf_event_open` or another.
    pub(crate) number: libc::c_long,
    /// All arguments: numbers, fds, addresses.
    pub(crate) arguments: [u64; 6],
    /// The command of bpf(2).
    pub(crate) command: u64,
    /// The bytes of `bpf_attr` or `perf_event_attr`; empty for another call.
    attr: Vec<u8>,
}

impl Call {
    /// Returns the 32-bit word at this offset of the attributes.
    pub(crate) fn word(&self, offset: usize) -> Option<u32> {
        self.attr.get(offset..offset + 4).map(|bytes| u32::from_ne_bytes(bytes.try_into().unwrap()))
    }

    /// Returns true if it is this command of bpf(2) (`enum bpf_cmd`).
    pub(crate) fn is_bpf(&self, command: u64) -> bool {
        self.number == libc::SYS_bpf && self.command == command
    }
}

/// Runs a process to its end. `refuse` returns the errno of each call that has to fail. Returns all calls, in order.
pub(crate) fn run(command: Command, refuse: impl Fn(&Call) -> Option<i32> + Sync) -> (Ended, Vec<Call>) {
    watch(command, &[libc::SYS_bpf, libc::SYS_perf_event_open], refuse)
}

/// Does the same as [`run`] for the system calls of these numbers.
pub(crate) fn watch(
    mut command: Command,
    numbers: &[libc::c_long],
    refuse: impl Fn(&Call) -> Option<i32> + Sync,
) -> (Ended, Vec<Call>) {
    let ended = AtomicBool::new(false);
    thread::scope(|scope| {
        let (sender, receiver) = mpsc::channel();
        let starter = scope.spawn(move || {
            sender.send(listen_to_this_thread(numbers).unwrap()).unwrap();
            Running::start(&mut command)
        });
        let listener = receiver.recv().unwrap();
        let (ended, refuse) = (&ended, &refuse);
        let calls = scope.spawn(move || answer_calls(&listener, ended, refuse));
        let running = starter.join().unwrap();
        // Set even if waiting for the process panics.
        let over = Over(ended);
        let result = running.end();
        drop(over);
        (result, calls.join().unwrap())
    })
}

struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        // ATOMICS: only the flag itself passes between the threads.
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Makes the kernel report these calls of this thread, and of everything that it starts, on an fd.
fn listen_to_this_thread(numbers: &[libc::c_long]) -> io::Result<OwnedFd> {
    const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    const JUMP_IF_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    let statement = |code, k| libc::sock_filter { code, jt: 0, jf: 0, k };
    let jump = |(before, number): (usize, &libc::c_long)| {
        // The jump skips the remaining comparisons, and the first of the two return statements.
        let jt = (numbers.len() - before) as u8;
        libc::sock_filter { code: JUMP_IF_EQUAL, jt, jf: 0, k: *number as u32 }
    };
    // The call's number is the first word of `struct seccomp_data`.
    let mut filter = vec![statement(LOAD, 0)];
    filter.extend(numbers.iter().enumerate().map(jump));
    filter.push(statement(RETURN, libc::SECCOMP_RET_ALLOW));
    filter.push(statement(RETURN, libc::SECCOMP_RET_USER_NOTIF));
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: the kernel reads the program and its instructions, which live until the call is over.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            libc::SECCOMP_FILTER_FLAG_NEW_LISTENER,
            &raw const program,
        )
    };
    let fd = RawFd::try_from(answer).unwrap();
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just created this fd for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// `struct seccomp_notif`
#[derive(Debug, Default)]
#[repr(C)]
struct Notification {
    id: u64,
    pid: u32,
    flags: u32,
    number: i32,
    arch: u32,
    instruction_pointer: u64,
    arguments: [u64; 6],
}

/// `struct seccomp_notif_resp`
#[derive(Debug, Default)]
#[repr(C)]
struct Response {
    id: u64,
    value: i64,
    error: i32,
    flags: u32,
}

/// `SECCOMP_IOCTL_NOTIF_RECV` and `SECCOMP_IOCTL_NOTIF_SEND`: read and write, the structure's size, `!`, a number.
const RECEIVE: u32 = 3 << 30 | (size_of::<Notification>() as u32) << 16 | (b'!' as u32) << 8;
const SEND: u32 = 3 << 30 | (size_of::<Response>() as u32) << 16 | (b'!' as u32) << 8 | 1;
/// `SECCOMP_USER_NOTIF_FLAG_CONTINUE`
const CONTINUE: u32 = 1;

fn answer_calls(listener: &OwnedFd, ended: &AtomicBool, refuse: &dyn Fn(&Call) -> Option<i32>) -> Vec<Call> {
    let mut calls = Vec::new();
    // ATOMICS: see `Over`.
    while !ended.load(Ordering::Relaxed) {
        let mut poll = libc::pollfd { fd: listener.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one live element.
        let ready = unsafe { libc::poll(&raw mut poll, 1, 20) };
        if ready < 1 || poll.revents & libc::POLLIN == 0 {
            continue;
        }
        let mut notification = Notification::default();
        // SAFETY: the request writes one `Notification`.
        if unsafe { libc::ioctl(listener.as_raw_fd(), RECEIVE.into(), &raw mut notification) } < 0 {
            continue; // the caller has been killed meanwhile
        }
        let call = read(&notification);
        let mut response = Response { id: notification.id, ..Response::default() };
        match refuse(&call) {
            Some(errno) => response.error = -errno,
            None => response.flags = CONTINUE,
        }
        calls.push(call);
        // SAFETY: the request reads one `Response`. It fails if the caller is gone.
        unsafe { libc::ioctl(listener.as_raw_fd(), SEND.into(), &raw mut response) };
    }
    calls
}

fn read(notification: &Notification) -> Call {
    let number = libc::c_long::from(notification.number);
    let [first, second, third, ..] = notification.arguments;
    let (command, address, length) = match number {
        libc::SYS_bpf => (first, second, third as usize),
        libc::SYS_perf_event_open => (0, first, 64), // PERF_ATTR_SIZE_VER0
        _ => (0, 0, 0),
    };
    let mut attr = vec![0; length];
    if length > 0 {
        let memory = File::open(format!("/proc/{}/mem", notification.pid)).unwrap();
        memory.read_exact_at(&mut attr, address).unwrap();
    }
    Call { thread: notification.pid, number, arguments: notification.arguments, command, attr }
}
