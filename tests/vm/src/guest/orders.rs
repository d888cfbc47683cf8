//! Takes the guest's orders, and sets the clock and the random numbers, which a restored guest has from the time when
//! it was saved.
#![expect(unsafe_code, reason = "clock_settime(2) and the ioctls of random(4) have no safe wrapper here")]

use std::fs::File;
use std::io::{self, BufRead};
use std::os::fd::AsRawFd;

use super::channel::Channel;
use crate::orders::{Line, Orders, read};
use crate::protocol::Message;

/// `RNDADDENTROPY` and `RNDRESEEDCRNG` (include/uapi/linux/random.h): `_IOW('R', 3, int[2])` and `_IO('R', 7)`.
const ADD_ENTROPY: libc::Ioctl = 0x4008_5203;
const RESEED: libc::Ioctl = 0x5207;
/// The size of the seed in bytes.
const SEED: usize = 64;

/// `struct rand_pool_info` with room for the seed.
#[repr(C)]
struct Pool {
    entropy_bits: libc::c_int,
    bytes: libc::c_int,
    seed: [u8; SEED],
}

/// Waits for orders, after a message that the guest is ready. Sends no heartbeat meanwhile: a guest may be saved here.
pub(super) fn take(channel: &Channel, from_host: &mut impl BufRead) -> io::Result<Orders> {
    channel.send(&Message::Ready, b"");
    loop {
        match read(from_host)? {
            Some(Line::Work(orders)) => return Ok(*orders),
            Some(Line::Ping) => channel.send(&Message::Ready, b""),
            Some(Line::Typed(_) | Line::Noise) => {}
            None => return Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

/// Sets the clock and the seed. Returns a note for each step that failed.
pub(super) fn wake(orders: &Orders) -> Vec<String> {
    let mut complaints = Vec::new();
    if let Err(error) = set_clock(orders) {
        complaints.push(format!("cannot set the clock: {error}"));
    }
    if let Err(error) = seed(&orders.random) {
        complaints.push(format!("cannot seed the kernel's random numbers: {error}"));
    }
    complaints
}

fn set_clock(orders: &Orders) -> io::Result<()> {
    let now = libc::timespec {
        tv_sec: orders.seconds.try_into().map_err(io::Error::other)?,
        tv_nsec: orders.nanoseconds.into(),
    };
    // SAFETY: the pointer is to a live, initialized `timespec`, which the call only reads.
    let answer = unsafe { libc::clock_settime(libc::CLOCK_REALTIME, &raw const now) };
    if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn seed(random: &[u8]) -> io::Result<()> {
    let seed: [u8; SEED] = random.try_into().map_err(io::Error::other)?;
    let pool = Pool { entropy_bits: 8 * 64, bytes: 64, seed };
    let device = File::options().write(true).open("/dev/urandom")?;
    // SAFETY: the pointer is to a live `rand_pool_info` whose buffer has the `bytes` that it names; the kernel only
    // reads it. The fd is open for as long as `device` lives.
    let answer = unsafe { libc::ioctl(device.as_raw_fd(), ADD_ENTROPY, &raw const pool) };
    if answer != 0 {
        return Err(io::Error::last_os_error());
    }
    // The seed above reaches the generator at its next reseed only, up to five minutes later.
    // SAFETY: this ioctl takes no argument; the fd is open as above.
    let answer = unsafe { libc::ioctl(device.as_raw_fd(), RESEED) };
    if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
