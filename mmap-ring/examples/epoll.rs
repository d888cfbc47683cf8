//! Reads a ring in the caller's own epoll loop, edge-triggered: drain, prepare to wait, sleep.
#![expect(unsafe_code, reason = "epoll is called as C does")]

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::thread;

use mmap_ring::fake::{Commit, Kernel};
use mmap_ring::{Head, IDLE_POLL_INTERVAL};

pub(crate) fn main() -> Result<(), Box<dyn std::error::Error>> {
    // In place of `Ring::open(map_fd, bytes)`.
    let (kernel, mut ring) = Kernel::new(4096)?;
    let producer = thread::spawn(move || {
        for number in 0..1000_u64 {
            while !kernel.output(&number.to_ne_bytes(), Commit::Adaptive) {
                thread::yield_now();
            }
        }
    });

    // SAFETY: takes no memory.
    let epoll = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
    if epoll < 0 {
        return Err(io::Error::last_os_error().into());
    }
    // SAFETY: the kernel has just created this fd for the caller.
    let epoll = unsafe { OwnedFd::from_raw_fd(epoll) };
    let mut event = libc::epoll_event { events: (libc::EPOLLIN | libc::EPOLLET) as u32, u64: 0 };
    let (own, fd) = (epoll.as_raw_fd(), ring.as_fd().as_raw_fd());
    // SAFETY: `event` lives during the call.
    if unsafe { libc::epoll_ctl(own, libc::EPOLL_CTL_ADD, fd, &raw mut event) } < 0 {
        return Err(io::Error::last_os_error().into());
    }

    let mut received = 0_u64;
    while received < 1000 {
        for record in &mut ring.batch()? {
            assert_eq!(record, received.to_ne_bytes());
            received += 1;
        }
        // Do not sleep while a record is left. A busy head is no reason to stay awake: its commit sends a wake-up. The
        // timeout is for commits that send none (BPF_RB_NO_WAKEUP).
        if received < 1000 && ring.prepare_wait()? != Head::Ready {
            // SAFETY: there is room for one event.
            unsafe { libc::epoll_wait(own, &raw mut event, 1, IDLE_POLL_INTERVAL.as_millis() as i32) };
        }
    }
    println!("received {received}");
    producer.join().map_err(|_| "the producer panicked")?;
    Ok(())
}
