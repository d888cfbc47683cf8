//! The kernel's trace, in an instance of tracefs that this process makes and removes.
//!
//! Since Linux 5.9 `bpf_trace_printk` is a trace event. An instance has its own buffers, so other readers of the trace
//! get the same texts. Before, the texts are in the only trace, and each reader takes them from the others.
//!
//! The instance stays if this process is killed by SIGKILL. The next run removes those whose process has ended.

use std::{
    fs::File,
    io::{self, Write as _},
    os::fd::{AsFd, OwnedFd},
    sync::{Arc, Mutex, PoisonError},
};

use cutaway_sys::mount;
use rustix::{
    fs::{AtFlags, Dir, Mode, OFlags, mkdirat, open, openat, unlinkat},
    io::Errno,
};

use super::{
    print::Print,
    trace_line::{TraceLine, lost},
};
use crate::{
    diagnostics,
    error::CliError,
    signals::{self, LastAct},
};

/// The event of `bpf_trace_printk`.
const EVENT: &str = "events/bpf_trace/bpf_trace_printk/enable";

/// The beginning of the names of instances; the process id follows, and a number if that name is taken.
const PREFIX: &str = "cutaway-";

/// Number of names that are tried. A process of another PID namespace, or one that was killed, can have the same id.
const MOST_NAMES: u32 = 64;

/// Size of each CPU's buffer in KiB.
const KIB: &str = "256";

/// The trace, and the instance that it belongs to.
pub(super) struct TracePipe {
    /// Shared with the act at a sudden end: an instance whose pipe is open cannot be removed.
    pipe: Arc<Mutex<Option<File>>>,
    instance: Option<Arc<Instance>>,
    _at_sudden_end: Option<LastAct>,
    /// The last line, if its end has not been read.
    begun: Vec<u8>,
    is_behind: bool,
}

/// A directory in `instances`, which is removed at the end.
struct Instance {
    tracefs: Arc<OwnedFd>,
    path: String,
}

impl TracePipe {
    /// Makes an instance and opens its trace; opens the only trace before Linux 5.9.
    pub(super) fn open() -> Result<Self, CliError> {
        let failed = |error: io::Error| CliError::system("open the kernel's trace", &error);
        let tracefs = Arc::new(tracefs().map_err(failed)?);
        if openat(&*tracefs, EVENT, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty()).is_err() {
            diagnostics::say(
                "texts of bpf_trace_printk: this kernel has one trace for all readers (before Linux 5.9), and run takes \
                 the texts from them",
            );
            let pipe = Arc::new(Mutex::new(Some(read(&tracefs, "trace_pipe").map_err(failed)?)));
            return Ok(Self { pipe, instance: None, _at_sudden_end: None, begun: Vec::new(), is_behind: false });
        }
        remove_stale(&tracefs);
        let instance = Arc::new(Instance::make(tracefs).map_err(failed)?);
        let pipe = instance.start().map_err(failed)?;
        let pipe = Arc::new(Mutex::new(Some(pipe)));
        let (of_act, instance_of_act) = (Arc::clone(&pipe), Arc::clone(&instance));
        let act = signals::at_sudden_end(move || {
            if let Ok(mut pipe) = of_act.try_lock() {
                drop(pipe.take());
            }
            instance_of_act.remove();
        });
        Ok(Self { pipe, instance: Some(instance), _at_sudden_end: Some(act), begun: Vec::new(), is_behind: false })
    }

    /// Reads the texts that are in the trace now.
    pub(super) fn read(&mut self) -> Result<Vec<Print>, CliError> {
        let mut pipe = self.pipe.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(pipe) = pipe.as_mut() else { return Ok(Vec::new()) };
        let drained = drain(pipe, &mut self.begun).map_err(|error| CliError::system("read the kernel's trace", &error));
        self.is_behind = !drained?;
        let end = self.begun.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
        let rest = self.begun.split_off(end);
        let complete = std::mem::replace(&mut self.begun, rest);
        let monotonic = self.instance.is_some();
        let print = |line: &str| match lost(line) {
            Some((cpu, lost)) => Print::Lost { cpu, lost },
            None => Print::Trace(TraceLine::parse(line, monotonic)),
        };
        let lines = String::from_utf8_lossy(&complete).into_owned();
        Ok(lines.lines().filter(|line| !line.is_empty()).map(print).collect())
    }

    /// Disables the event, so that other programs of the machine add nothing to the texts that are left.
    pub(super) fn stop(&self) {
        if let Some(instance) = &self.instance {
            // If that fails, only the number of reads is larger.
            let _ = instance.write(EVENT, "0");
        }
    }

    /// Returns whether the last read left texts in the trace.
    pub(super) fn is_behind(&self) -> bool {
        self.is_behind
    }
}

/// Appends the texts that are in the trace now, with a limit. Returns whether all were read.
fn drain(trace: &mut impl io::Read, to: &mut Vec<u8>) -> io::Result<bool> {
    /// Number of reads: a program can print as fast as this reads.
    const MOST: usize = 256;
    let mut buffer = [0; 4096];
    for _ in 0..MOST {
        match trace.read(&mut buffer) {
            Ok(0) => return Ok(true),
            Ok(length) => to.extend_from_slice(buffer.get(..length).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}

impl Drop for TracePipe {
    fn drop(&mut self) {
        drop(self.pipe.lock().unwrap_or_else(PoisonError::into_inner).take());
        if let Some(instance) = &self.instance {
            instance.remove();
        }
    }
}

impl Instance {
    fn make(tracefs: Arc<OwnedFd>) -> io::Result<Self> {
        let first = format!("instances/{PREFIX}{}", std::process::id());
        let others = (1..MOST_NAMES).map(|number| format!("{first}-{number}"));
        for path in std::iter::once(first.clone()).chain(others) {
            match mkdirat(&*tracefs, &path, Mode::RWXU) {
                Ok(()) => return Ok(Self { tracefs, path }),
                Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(Errno::EXIST.into())
    }

    /// Enables the event, and opens the trace.
    fn start(&self) -> io::Result<File> {
        let started = self.write("buffer_size_kb", KIB).and_then(|()| self.write("trace_clock", "mono"));
        let pipe = started.and_then(|()| read(&self.tracefs, &format!("{}/trace_pipe", self.path)));
        let pipe = pipe.and_then(|pipe| self.write(EVENT, "1").map(|()| pipe));
        if pipe.is_err() {
            self.remove();
        }
        pipe
    }

    fn write(&self, file: &str, text: &str) -> io::Result<()> {
        let path = format!("{}/{file}", self.path);
        let file = openat(&*self.tracefs, path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
        File::from(file).write_all(text.as_bytes())
    }

    /// Removes the instance. It may be removed already.
    fn remove(&self) {
        // The kernel refuses to remove an instance whose event is enabled on some versions.
        let _ = self.write(EVENT, "0");
        let _ = unlinkat(&*self.tracefs, &self.path, AtFlags::REMOVEDIR);
    }
}

/// Opens tracefs: where it is mounted, or by a private mount.
fn tracefs() -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    for path in ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"] {
        if let Ok(directory) = open(path, flags, Mode::empty())
            && openat(&directory, "trace_pipe", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).is_ok()
        {
            return Ok(directory);
        }
    }
    mount::private(c"tracefs", "opens tracefs, which is not mounted, by a private mount, to read what programs print")
}

/// Opens a trace for reading, without waiting.
fn read(tracefs: &OwnedFd, path: &str) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    Ok(openat(tracefs, path, flags, Mode::empty()).map(File::from)?)
}

/// Removes the instances of processes that were killed. An instance in use cannot be removed (EBUSY).
fn remove_stale(tracefs: &OwnedFd) {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let Ok(instances) = openat(tracefs, "instances", flags, Mode::empty()) else { return };
    let Ok(entries) = Dir::read_from(instances.as_fd()) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(pid) = owner(&name) else { continue };
        let is_alive = std::path::Path::new(&format!("/proc/{pid}")).exists();
        if !is_alive
            && let Err(error) = unlinkat(&instances, &name, AtFlags::REMOVEDIR)
            && error != Errno::BUSY
        {
            log::debug!("cannot remove the trace instance {name}: {error}");
        }
    }
}

/// Returns the process id in the name of an instance; `None` if another program made it.
fn owner(name: &str) -> Option<u32> {
    let rest = name.strip_prefix(PREFIX)?;
    let (pid, number) = rest.split_once('-').unwrap_or((rest, "0"));
    number.parse::<u32>().ok()?;
    pid.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A trace with so many reads.
    struct Texts(usize);

    impl io::Read for Texts {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0 = self.0.checked_sub(1).ok_or(io::ErrorKind::WouldBlock)?;
            buffer.fill(b'x');
            Ok(buffer.len())
        }
    }

    #[test]
    fn texts_that_are_left_in_the_trace_are_noticed() {
        let (mut trace, mut text) = (Texts(300), Vec::new());
        assert!(!drain(&mut trace, &mut text).unwrap());
        assert!(drain(&mut trace, &mut text).unwrap());
        assert_eq!(text.len(), 300 * 4096);
    }

    #[test]
    fn taken_name_of_an_instance_is_not_used() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("instances")).unwrap();
        let tracefs = Arc::new(OwnedFd::from(File::open(directory.path()).unwrap()));
        let [first, second] = [(); 2].map(|()| Instance::make(Arc::clone(&tracefs)).unwrap());
        let pid = std::process::id();
        assert_eq!(first.path, format!("instances/cutaway-{pid}"));
        assert_eq!(second.path, format!("instances/cutaway-{pid}-1"));
        for made in [first, second] {
            assert_eq!(owner(made.path.strip_prefix("instances/").unwrap()), Some(pid));
        }
        for other in ["cutaway-", "cutaway-x", "cutaway-1-x", "trace-1"] {
            assert_eq!(owner(other), None, "{other}");
        }
    }
}
