//! Reads a ring in an async task while another task makes the events.
//!
//! `streams OBJECT`, where OBJECT is `one_ring.o`.

use std::{os::fd::AsFd, time::Duration};

use cutaway::{Object, mmap_ring::Head};
use tokio::{
    io::{Interest, unix::AsyncFd},
    time::sleep,
};

const EVENTS: usize = 20;

unsafe extern "C" {
    safe fn getpgid(pid: i32) -> i32;
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("usage: streams OBJECT")?;
    let mut object = Object::parse(&std::fs::read(path)?)?;
    object.set_variable("own", &std::process::id())?;
    let loaded = object.load()?;
    let _links = loaded.attach()?;
    let mut ring = loaded.map("events")?.ring()?;

    let calls = tokio::spawn(async {
        for _ in 0..EVENTS {
            getpgid(0);
            sleep(Duration::from_millis(2)).await;
        }
    });
    // A duplicate of the fd, so that the ring can be borrowed meanwhile.
    let fd = ring.as_fd().try_clone_to_owned()?;
    // SAFETY: `readable` owns the fd, which stays open and unchanged as long as `readable` lives.
    let readable = unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) };
    let readable = readable.map_err(std::io::Error::from)?;
    let mut received = 0;
    let mut last = 0;
    while received < EVENTS {
        for record in &mut ring.batch()? {
            let time = u64::from_ne_bytes(record.as_ref().try_into()?);
            assert!(time > last, "the ring keeps the order");
            last = time;
            received += 1;
        }
        // Never sleep while the ring has a record: its producer may have found this consumer behind and sent no
        // wake-up.
        if received < EVENTS && ring.prepare_wait()? != Head::Ready {
            readable.readable().await?.clear_ready();
        }
    }
    calls.await?;
    println!("{received} events");
    Ok(())
}
