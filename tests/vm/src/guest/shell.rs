//! The guest's side of a shell: runs it on a pseudo terminal, or between pipes.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, PipeWriter, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use super::channel::Channel;
use super::process::{self, Report};
use crate::orders::{Line, read};
use crate::protocol::{Message, Status};
use crate::shell::{Shell, Typed, Window, is_busybox};

/// The first argument with which process 1 starts itself to become the shell.
const BECOME: &str = "cutaway-vm-become-shell";
/// A shell has no time limit. This one is longer than a machine is up.
const FOREVER: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// Becomes the shell if process 1 has started this process for that. Otherwise does nothing.
pub(super) fn run_if_named() -> Option<i32> {
    let mut words = std::env::args_os().skip(1);
    if words.next().is_none_or(|word| word != BECOME) {
        return None;
    }
    let error = become_shell(words.collect());
    eprintln!("cutaway-vm: cannot start the shell: {error}");
    Some(127)
}

/// Takes stdin as the controlling terminal, so that Ctrl-C reaches the shell's processes, and executes the shell.
fn become_shell(words: Vec<std::ffi::OsString>) -> io::Error {
    if let Err(error) = rustix::process::setsid() {
        return error.into();
    }
    if let Err(error) = rustix::process::ioctl_tiocsctty(rustix::stdio::stdin()) {
        return error.into();
    }
    match words.split_first() {
        Some((program, arguments)) => Command::new(program).args(arguments).exec(),
        None => io::ErrorKind::InvalidInput.into(),
    }
}

/// Runs the shell until it ends, and reports its status.
pub(super) fn run(channel: &Channel, lines: &Lines, shell: &Shell, environment: &BTreeMap<String, String>) {
    let started = Instant::now();
    let status = watched(channel, lines, shell, environment).unwrap_or_else(|error| {
        channel.send(&Message::Shell, format!("cannot run {}: {error}\r\n", shell.program.join(" ")).as_bytes());
        Status::NotStarted
    });
    channel.send(&Message::Left { status, seconds: started.elapsed().as_secs_f64() }, b"");
}

fn watched(
    channel: &Channel,
    lines: &Lines,
    shell: &Shell,
    environment: &BTreeMap<String, String>,
) -> io::Result<Status> {
    let (program, arguments) = shell.program.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    std::fs::create_dir_all(&shell.directory)?;
    if is_busybox(Path::new(program)) {
        // Files of the host that are already there stay.
        let linked =
            Command::new(program).args(["--install", "-s"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
        if !linked.as_ref().is_ok_and(std::process::ExitStatus::success) {
            channel.note(format!("the commands of busybox were not all linked: {linked:?}"));
        }
    }
    let mut report = |report: Report<'_>| {
        if let Report::Output(bytes) = report {
            channel.send(&Message::Shell, bytes);
        }
    };
    let mut command = match shell.window {
        Some(_) => {
            let mut command = Command::new(std::env::current_exe()?);
            command.arg(BECOME).arg(program);
            command
        }
        None => {
            let mut command = Command::new(program);
            command.process_group(0);
            command
        }
    };
    command.args(arguments).current_dir(&shell.directory).env_clear().envs(environment);
    let deadline = Instant::now() + FOREVER;
    match shell.window {
        Some(window) => {
            let (outer, inner) = terminal(window)?;
            command.stdin(inner.try_clone()?).stdout(inner.try_clone()?).stderr(inner);
            let child = command.spawn()?;
            // The command holds the inner end: the outer end would never end.
            drop(command);
            let mut output = outer.try_clone()?;
            with_input(lines, To::Terminal(outer), || process::follow(child, &mut output, deadline, &mut report))
        }
        None => {
            let (mut output, writer) = io::pipe()?;
            let (reader, input) = io::pipe()?;
            command.stdin(reader).stdout(writer.try_clone()?).stderr(writer);
            let child = command.spawn()?;
            drop(command);
            with_input(lines, To::Pipe(Some(input)), || process::follow(child, &mut output, deadline, &mut report))
        }
    }
}

/// Opens a pseudo terminal. Returns its outer and its inner end.
fn terminal(window: Window) -> io::Result<(File, File)> {
    let outer = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    grantpt(&outer)?;
    unlockpt(&outer)?;
    let name = ptsname(&outer, Vec::new())?;
    let name = name.to_str().map_err(io::Error::other)?;
    // Process 1 must not get it as its controlling terminal.
    let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::NOCTTY | rustix::fs::OFlags::CLOEXEC;
    let inner = rustix::fs::open(name, flags, rustix::fs::Mode::empty())?;
    let outer = File::from(outer);
    resize(&outer, window)?;
    Ok((outer, File::from(inner)))
}

fn resize(outer: &File, window: Window) -> io::Result<()> {
    let size = Winsize { ws_row: window.rows, ws_col: window.columns, ws_xpixel: 0, ws_ypixel: 0 };
    Ok(tcsetwinsize(outer, size)?)
}

/// The lines of the host, read by a thread of their own.
pub(super) struct Lines(Mutex<Receiver<Typed>>);

impl Lines {
    /// Starts the thread, which ends with the channel.
    pub(super) fn read(mut from_host: BufReader<File>) -> Self {
        let (send, receive) = mpsc::channel();
        std::thread::spawn(move || {
            while let Ok(Some(line)) = read(&mut from_host) {
                if let Line::Typed(typed) = line
                    && send.send(typed).is_err()
                {
                    return;
                }
            }
        });
        Self(Mutex::new(receive))
    }

    /// Waits for the host's word after a test. Returns true if it wants a shell.
    pub(super) fn wants_shell(&self) -> bool {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match lines.recv() {
                Ok(Typed::Open(shell)) => return shell,
                // Keys that were typed after the end of a shell.
                Ok(_) => {}
                Err(_) => return false,
            }
        }
    }
}

/// The input of the shell.
enum To {
    Terminal(File),
    Pipe(Option<PipeWriter>),
}

/// Passes the user's input on to the shell, until `stop`.
fn pass_on(lines: &Lines, mut to: To, stop: &AtomicBool) {
    let lines = lines.0.lock().unwrap_or_else(PoisonError::into_inner);
    // ATOMICS: a lone flag; pairs with the relaxed store in `with_input`.
    while !stop.load(Ordering::Relaxed) {
        let typed = match lines.recv_timeout(Duration::from_millis(50)) {
            Ok(typed) => typed,
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        // An error of the shell's input means that it has ended, which its status reports.
        match (typed, &mut to) {
            (Typed::Bytes(bytes), To::Terminal(outer)) => drop(outer.write_all(&bytes)),
            (Typed::Bytes(bytes), To::Pipe(Some(pipe))) => drop(pipe.write_all(&bytes)),
            (Typed::Window(window), To::Terminal(outer)) => drop(resize(outer, window)),
            // A terminal has no end of its input but the character for it.
            (Typed::End, To::Terminal(outer)) => drop(outer.write_all(b"\x04")),
            (Typed::End, To::Pipe(pipe)) => *pipe = None,
            (Typed::Bytes(_), To::Pipe(None)) | (Typed::Window(_), To::Pipe(_)) | (Typed::Open(_), _) => {}
        }
    }
}

/// Follows the shell to its end while another thread passes its input on.
fn with_input(lines: &Lines, to: To, follow: impl FnOnce() -> io::Result<Status>) -> io::Result<Status> {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| pass_on(lines, to, &stop));
        let status = follow();
        // ATOMICS: a lone flag; pairs with the relaxed load in `pass_on`. The scope's end orders everything else.
        stop.store(true, Ordering::Relaxed);
        status
    })
}
