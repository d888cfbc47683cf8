//! Reads a ring in a mio event loop. mio is edge-triggered: drain, prepare to wait, poll.

use std::os::fd::{AsFd, AsRawFd};
use std::thread;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
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

    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(8);
    let fd = ring.as_fd().as_raw_fd();
    poll.registry().register(&mut SourceFd(&fd), Token(0), Interest::READABLE)?;

    let mut received = 0_u64;
    while received < 1000 {
        for record in &mut ring.batch()? {
            assert_eq!(record, received.to_ne_bytes());
            received += 1;
        }
        if received < 1000 && ring.prepare_wait()? != Head::Ready {
            // The timeout is for records that are sent without a wake-up (BPF_RB_NO_WAKEUP).
            poll.poll(&mut events, Some(IDLE_POLL_INTERVAL))?;
        }
    }
    println!("received {received}");
    producer.join().map_err(|_| "the producer panicked")?;
    Ok(())
}
