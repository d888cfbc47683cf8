//! Keeps a thread from going on while probes are put on a library that it has just mapped.
//!
//! A probe takes some ten milliseconds to attach (the kernel waits until every CPU knows of it), and a small program calls
//! `getaddrinfo` one millisecond after its start. So the thread is stopped by ptrace(2), in the way that its parent and the
//! process itself do not notice: `PTRACE_SEIZE` and `PTRACE_INTERRUPT` send no signal. A thread that another debugger has is
//! left alone.
//!
//! The tracer is a thread of its own. When that ends, for whatever reason, the kernel lets the held thread go on
//! (`kernel/ptrace.c`, `exit_ptrace`): nothing stays stopped.
#![expect(unsafe_code, reason = "ptrace(2)")]

use std::{
    ptr,
    sync::mpsc::{self, Sender},
    thread::{self, JoinHandle},
};

/// A thread that stands still until this is dropped.
pub(crate) struct Held {
    release: Option<Sender<()>>,
    tracer: Option<JoinHandle<()>>,
}

impl Held {
    /// Stops the thread; `None` if it is gone, or may not be stopped.
    pub(crate) fn thread(tid: u32) -> Option<Self> {
        let (seized, is_seized) = mpsc::channel();
        let (release, released) = mpsc::channel::<()>();
        let hold = move || {
            let held = seize(tid);
            let _ = seized.send(held);
            if held {
                // Until the sender is dropped; nothing is ever sent.
                let _ = released.recv();
            }
        };
        let tracer = thread::Builder::new().name("hold".to_owned()).spawn(hold).ok()?;
        let held = Self { release: Some(release), tracer: Some(tracer) };
        is_seized.recv().unwrap_or(false).then_some(held)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        drop(self.release.take());
        if let Some(tracer) = self.tracer.take() {
            let _ = tracer.join();
        }
    }
}

/// Has the thread stop as soon as it would return to its program.
fn seize(tid: u32) -> bool {
    let Ok(tid) = libc::pid_t::try_from(tid) else { return false };
    let none = ptr::null_mut::<libc::c_void>();
    // SAFETY: takes a number; no option is set.
    let seized = unsafe { libc::ptrace(libc::PTRACE_SEIZE, tid, none, none) };
    if seized != 0 {
        return false;
    }
    // SAFETY: takes a number.
    let interrupted = unsafe { libc::ptrace(libc::PTRACE_INTERRUPT, tid, none, none) };
    interrupted == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, process::Command, time::Duration};

    fn state(pid: u32) -> String {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        stat.rsplit_once(") ").unwrap().1[..1].to_owned()
    }

    fn becomes(pid: u32, wanted: &str) {
        for _ in 0..2_000 {
            if state(pid) == wanted {
                return;
            }
            thread::sleep(Duration::from_millis(1));
        }
        panic!("it is {}, not {wanted}", state(pid));
    }

    #[test]
    fn a_held_thread_stands_still_and_goes_on() {
        let mut child = Command::new("sleep").arg("100").spawn().unwrap();
        let held = Held::thread(child.id()).unwrap();
        becomes(child.id(), "t");
        assert!(Held::thread(child.id()).is_none(), "it has a tracer");
        drop(held);
        becomes(child.id(), "S");
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
