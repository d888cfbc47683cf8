//! Makes a guest that hangs print its stacks and panic: by an NMI, or where the machine has none, by SysRq on the
//! serial console. For SysRq the kernel must still serve the console's interrupts.

use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use serde_json::json;

use super::machine::Files;
use super::monitor::{Monitor, connected, inject_nmi};
use crate::arch::Arch;

/// SysRq's keys, each after a break (Documentation/admin-guide/sysrq.rst): the stacks of all active CPUs, then a crash.
const KEYS: [&[u8]; 2] = [b"l", b"c"];
/// The time that the guest has to print after each key.
const PAUSE: Duration = Duration::from_secs(2);

/// Raises the alarm.
pub(crate) fn raise(arch: Arch, files: &Files) -> io::Result<()> {
    if arch.has_nmi() {
        return inject_nmi(&files.monitor);
    }
    let mut monitor = Monitor::connect(&files.monitor, &mut || false)?;
    let mut keyboard = connected(&files.keyboard, &mut || false)?;
    for key in KEYS {
        monitor.execute("chardev-send-break", &json!({ "id": "console" }))?;
        keyboard.write_all(key)?;
        discard(&mut keyboard, PAUSE)?;
    }
    Ok(())
}

/// Reads for a while. The guest's output goes to this connection too, and to the log: unread, it would stop QEMU.
fn discard(console: &mut UnixStream, time: Duration) -> io::Result<()> {
    let end = Instant::now() + time;
    let mut buffer = [0; 4096];
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        console.set_read_timeout(Some(left))?;
        match console.read(&mut buffer) {
            // The guest has ended.
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(error) => return Err(error),
        }
    }
}
