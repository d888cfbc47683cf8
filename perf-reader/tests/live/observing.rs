//! Tests the observer on the running kernel: this process borrows from itself.

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

use perf_reader::{Error, Options, OverwriteBuffer, Peek, PerCpuBuffers, Record, Wake};

use crate::bpf::Sender;
use crate::harness::Test;
use crate::privileges::{CAP_IPC_LOCK, with_capabilities};
use crate::{bytes, live};

pub(crate) fn tests() -> Vec<Test> {
    let tests = [
        live!(observer_sees_pending_records_and_consumes_none),
        live!(observer_distinguishes_overwrite_buffers),
        live!(observer_creates_no_ring),
        live!(observer_maps_only_perf_events),
    ];
    tests.map(|test| test.unless(no_pidfd_getfd)).into()
}

/// Returns why fds of other processes cannot be borrowed here (before Linux 5.6).
fn no_pidfd_getfd() -> Option<String> {
    // A process that does not exist.
    let error = Peek::of_process(u32::MAX >> 1, 0).unwrap_err();
    if error.errno().map(|errno| errno.raw()) == Some(libc::ENOSYS) {
        return Some("needs 5.6: pidfd_getfd(2)".to_owned());
    }
    assert_eq!(error.errno().map(|errno| errno.raw()), Some(libc::ESRCH), "{error}");
    None
}

fn peek_at(event: &impl AsFd) -> Result<Option<Peek>, Error> {
    Peek::of_process(std::process::id(), event.as_fd().as_raw_fd() as u32)
}

/// A file with the control page of a ring could be truncated at any time, which would kill a process that reads its
/// mapping.
fn observer_maps_only_perf_events(_: &Sender) {
    // SAFETY: the name is a C string.
    let fd = unsafe { libc::memfd_create(c"anon_inode:[perf_event]".as_ptr(), libc::MFD_CLOEXEC) };
    assert!(fd >= 0, "{}", io::Error::last_os_error());
    // SAFETY: the kernel has just created this fd for the caller.
    let memory = std::fs::File::from(unsafe { OwnedFd::from_raw_fd(fd) });
    // Larger than any ring, without any memory behind it.
    memory.set_len(1 << 40).unwrap();
    let (socket, _other) = std::os::unix::net::UnixStream::pair().unwrap();
    for fd in [memory.into(), socket.into(), OwnedFd::from(std::fs::File::open("/proc/self/exe").unwrap())] {
        let error = peek_at(&fd).unwrap_err();
        assert_eq!(error.errno().map(|errno| errno.raw()), Some(libc::ENODEV), "{error}");
    }
}

/// The observer takes neither records nor the wake-up from the owner; it does not show released records.
fn observer_sees_pending_records_and_consumes_none(sender: &Sender) {
    let mut set = PerCpuBuffers::open_on([0], bytes(2), &Options::new()).unwrap();
    sender.payload(0, &[]).unwrap();
    let buffer = set.get(0).unwrap();
    sender.connect(0, buffer.as_fd()).unwrap();
    let peek = peek_at(buffer).unwrap().unwrap();
    assert_eq!((peek.snapshot().fill(), peek.snapshot().size), (0, 8192));
    sender.send(0, 8, 3).unwrap();
    for _ in 0..2 {
        let snapshot = peek.snapshot();
        let numbers: Vec<u64> = snapshot
            .records
            .iter()
            .map(|record| u64::from_ne_bytes(record.raw().unwrap().1[..8].try_into().unwrap()))
            .collect();
        assert_eq!(numbers, [1, 2, 3]);
        assert_eq!((snapshot.fill(), snapshot.backward, snapshot.corrupt), (72, false, None));
    }
    assert_eq!(set.wait(Some(Duration::from_secs(5))).unwrap(), Wake::Ready, "the owner gets the wake-up");
    let mut received = 0;
    set.drain(|_, record| received += u32::from(matches!(record, Ok(Record::Sample(_)))));
    assert_eq!(received, 3);
    let snapshot = peek.snapshot();
    assert_eq!((snapshot.tail, snapshot.head, snapshot.records.len()), (72, 72, 0));
    // The ring can still be observed after its owner has closed it.
    drop(set);
    assert_eq!(peek.snapshot(), snapshot);
}

fn observer_distinguishes_overwrite_buffers(sender: &Sender) {
    let recorder = OverwriteBuffer::open(0, bytes(1), &Options::new()).unwrap();
    sender.connect(0, recorder.as_fd()).unwrap();
    sender.payload(0, &[]).unwrap();
    sender.send(0, 8, 1).unwrap();
    let snapshot = peek_at(&recorder).unwrap().unwrap().snapshot();
    assert!(snapshot.backward && snapshot.records.is_empty() && snapshot.fill() == 0, "{snapshot:?}");
}

/// An event without a ring still has none afterwards, and checking this needs no right to lock memory.
fn observer_creates_no_ring(_: &Sender) {
    // type SOFTWARE and size 64, config CPU_CLOCK, and nothing else.
    let attr = [1_u64 | 64 << 32, 0, 0, 0, 0, 1, 0, 0];
    // SAFETY: the attribute is as long as its size field.
    let event = unsafe { libc::syscall(libc::SYS_perf_event_open, attr.as_ptr(), 0, -1, -1, 8_u64) };
    assert!(event >= 0, "{}", io::Error::last_os_error());
    // SAFETY: the kernel has just created this fd for the caller.
    let event = unsafe { OwnedFd::from_raw_fd(event as i32) };
    assert!(peek_at(&event).unwrap().is_none());
    with_capabilities(!(1 << CAP_IPC_LOCK), || assert!(peek_at(&event).unwrap().is_none()));
    let page = 4096;
    // SAFETY: a new mapping, at an address that the kernel chooses.
    let pages = unsafe {
        let (prot, fd) = (libc::PROT_READ | libc::PROT_WRITE, event.as_raw_fd());
        libc::mmap(std::ptr::null_mut(), 3 * page, prot, libc::MAP_SHARED, fd, 0)
    };
    assert_ne!(pages, libc::MAP_FAILED, "the owner can still create a ring of any size");
    // SAFETY: the mapping that was just created.
    assert_eq!(unsafe { libc::munmap(pages, 3 * page) }, 0);
}
