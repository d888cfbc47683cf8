//! `first-event (first | load) OBJECT`: loads an object, attaches it and waits for its first event; or only loads it.

use std::os::fd::AsRawFd;

use aya::{Ebpf, maps::RingBuf, programs::Program};

unsafe extern "C" {
    safe fn getpgid(pid: i32) -> i32;
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let [what, path] = [1, 2].map(|word| std::env::args().nth(word).expect("first-event (first | load) OBJECT"));
    let mut object = Ebpf::load_file(path)?;
    for (_, program) in object.programs_mut() {
        match program {
            Program::TracePoint(program) => {
                program.load()?;
                if what == "first" {
                    program.attach("syscalls", "sys_enter_getpgid")?;
                }
            }
            Program::RawTracePoint(program) => program.load()?,
            other => panic!("{other:?}"),
        }
    }
    if what == "first" {
        let mut ring = RingBuf::try_from(object.map_mut("events").expect("a map"))?;
        getpgid(0);
        let mut poll = libc::pollfd { fd: ring.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one entry, which is alive.
        unsafe { libc::poll(&raw mut poll, 1, -1) };
        assert!(ring.next().is_some());
    }
    // The peak memory (`VmHWM`). Only the process itself can tell it from its parent's.
    let status = std::fs::read_to_string("/proc/self/status")?;
    println!("{}", status.lines().find(|line| line.starts_with("VmHWM:")).unwrap_or_default());
    Ok(())
}
