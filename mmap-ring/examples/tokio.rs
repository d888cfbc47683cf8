//! Reads a ring in an async task, through `tokio::io::unix::AsyncFd`.
#![expect(unsafe_code, reason = "tokio requires a promise about the fd")]

use std::os::fd::AsFd;
use std::thread;

use mmap_ring::fake::{Commit, Kernel};
use mmap_ring::{Head, IDLE_POLL_INTERVAL};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::timeout;

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // In place of `Ring::open(map_fd, bytes)`.
    let (kernel, mut ring) = Kernel::new(4096)?;
    let producer = thread::spawn(move || {
        for number in 0..1000_u64 {
            while !kernel.output(&number.to_ne_bytes(), Commit::Adaptive) {
                thread::yield_now();
            }
        }
    });

    // A duplicate of the fd, so that the ring can be borrowed meanwhile.
    let fd = ring.as_fd().try_clone_to_owned()?;
    // SAFETY: `readable` owns the fd and keeps it open and unchanged as long as it lives.
    let readable = unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) };
    let readable = readable.map_err(std::io::Error::from)?;
    let mut received = 0_u64;
    while received < 1000 {
        for record in &mut ring.batch()? {
            assert_eq!(record, received.to_ne_bytes());
            received += 1;
        }
        // Never sleep on a ring that has a record: its producer may have found this consumer behind and sent no
        // wake-up.
        if received == 1000 || ring.prepare_wait()? == Head::Ready {
            continue;
        }
        // tokio reports the ring as readable until `clear_ready`. A wake-up between `readable` and `clear_ready` is not
        // lost: the next `readable` reports it. The timeout is for records that are sent without a wake-up
        // (BPF_RB_NO_WAKEUP).
        if let Ok(ready) = timeout(IDLE_POLL_INTERVAL, readable.readable()).await {
            ready?.clear_ready();
        }
    }
    println!("received {received}");
    producer.join().map_err(|_| "the producer panicked")?;
    Ok(())
}
