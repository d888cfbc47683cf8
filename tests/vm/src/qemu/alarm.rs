//! Makes a guest that hangs print its stacks and panic: by an NMI, or where the machine has none, by SysRq on the
//! serial console. For SysRq the kernel must still serve the console's interrupts.

use std::io::{self, Write};
use std::time::Duration;

use serde_json::json;

use super::machine::Files;
use super::monitor::{Monitor, connected, inject_nmi};
use crate::arch::Arch;

/// SysRq's keys, each after a break (Documentation/admin-guide/sysrq.rst): the stacks of all active CPUs, then a crash.
const KEYS: [&[u8]; 2] = [b"l", b"c"];
/// The time that the guest has to print between two keys.
const PAUSE: Duration = Duration::from_millis(500);

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
        std::thread::sleep(PAUSE);
    }
    // The guest's output goes to this connection too: if it stayed open and unread, it would stop QEMU once it is full.
    drop(keyboard);
    Ok(())
}
