//! Boots a guest, receives its messages, and ends it.

use std::fs;
use std::path::PathBuf;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::dispatch::Dispatch;
use super::heard::Heard;
use super::session::{Event, Session};
use super::spec::{COMPLAINTS, CONSOLE, Run, Start};
use super::transcript::Transcript;
use crate::console::{Cut, Log};
use crate::error::{Error, Result};
use crate::frames::{self, Frame};
use crate::interrupt;
use crate::protocol::Message;
use crate::qemu::{Files, Running, alarm};
use crate::report::{End, Guest};

/// An iteration of the receive loop takes a tenth of a second. If one takes longer than this, this process was stopped.
const LONG_TURN: Duration = Duration::from_secs(2);
const TURN: Duration = Duration::from_millis(100);
/// Before the first message the turns are short: a restored guest is asked in each whether it listens.
const FIRST_TURNS: Duration = Duration::from_millis(20);

impl Run<'_> {
    /// Runs the guest. `listen` receives its progress as it happens.
    ///
    /// # Errors
    /// If QEMU cannot be started or the directory cannot be written. Failures in the guest are in the report.
    pub fn guest(&self, listen: &mut dyn FnMut(Heard<'_>)) -> Result<Guest> {
        // A socket's path must be short; a results directory may be deep.
        let sockets = tempfile::tempdir().map_err(Error::file("create", std::env::temp_dir()))?;
        let files = Files {
            kernel: self.kernel.image.clone(),
            initramfs: if let Start::Boot(path) = self.start { path.to_path_buf() } else { PathBuf::new() },
            console: self.folder.join(CONSOLE),
            monitor: sockets.path().join("qmp"),
            keyboard: sockets.path().join("console"),
            complaints: self.folder.join(COMPLAINTS),
            incoming: matches!(self.start, Start::Restore(_)).then(|| sockets.path().join("state")),
        };
        let started = Instant::now();
        if let Start::Restore(saved) = self.start {
            saved.console_to(&files.console)?;
        }
        let (mut qemu, to, from) = Running::start(self.machine, &files, self.accelerator)?;
        let mut transcript = Transcript::new(self);
        let frames = frames::receive(from);
        let mut orders = Dispatch::new(self, frames::send(to));
        let restored = match (self.start, &files.incoming) {
            (Start::Restore(saved), Some(socket)) => saved.restore(socket, &files.monitor, &mut qemu),
            _ => Ok(()),
        };
        let end = match restored {
            Ok(()) => self.hear(&frames, &files, &mut transcript, &mut orders, started, listen),
            Err(error) => Ending::Noise(format!("the saved guest was not restored: {error}")),
        };
        let status = wait_a_little(&mut qemu)?;
        qemu.kill();
        match Cut::finish(&files.console) {
            Ok(0) => {}
            Ok(bytes) => transcript.note(format!("{bytes} bytes were cut out of the middle of {CONSOLE}")),
            Err(error) => transcript.note(format!("{CONSOLE} is large and was not shortened: {error}")),
        }
        let console = Log::read(&files.console);
        let complaints = fs::read_to_string(&files.complaints).unwrap_or_default();
        let end = end.explained(transcript.is_done(), &console, &complaints, status.map(|status| status.to_string()));
        Ok(transcript.finish(end, &console, started))
    }

    /// Records the guest's messages in `transcript`, until it ends, hangs, or exceeds its time limit.
    fn hear(
        &self,
        frames: &mpsc::Receiver<Frame>,
        files: &Files,
        transcript: &mut Transcript<'_>,
        orders: &mut Dispatch<'_>,
        started: Instant,
        listen: &mut dyn FnMut(Heard<'_>),
    ) -> Ending {
        // The time that this process itself was blocked: suspended, stopped, or waiting for the reader of its output.
        // The time of shells is added to it.
        let mut still = Duration::ZERO;
        let mut heard_last = started;
        let mut hanging = None;
        let mut console_bytes = 0;
        let mut cut = Cut::default();
        let mut session = Session::default();
        let mut turn = Instant::now();
        loop {
            if turn.elapsed() > LONG_TURN {
                still += turn.elapsed();
                heard_last = Instant::now();
            }
            turn = Instant::now();
            if interrupt::seen() || session.is_escaped() {
                break Ending::Interrupted;
            }
            if !session.is_open() && started.elapsed().saturating_sub(still) > self.limits.whole {
                break Ending::OutOfTime;
            }
            let bytes = cut.relieve(&files.console);
            orders.ask(transcript.has_booted());
            match frames.recv_timeout(if transcript.has_booted() { TURN } else { FIRST_TURNS }) {
                Ok(Ok((Message::Ready, _))) => {
                    heard_last = Instant::now();
                    orders.send();
                }
                Ok(Ok((Message::Unable { why }, _))) => break Ending::Noise(why),
                Ok(Ok((message, payload))) => {
                    heard_last = Instant::now();
                    hanging = None;
                    let event = Event::of(&message);
                    transcript.take(message, &payload, listen);
                    still += session.after(event, self, transcript, orders);
                }
                Ok(Err(error)) => break Ending::Noise(error.to_string()),
                Err(RecvTimeoutError::Timeout) => {
                    // A kernel that still prints boots, however slow the host is.
                    if !transcript.has_booted() && hanging.is_none() && bytes > console_bytes {
                        console_bytes = bytes;
                        heard_last = Instant::now();
                    }
                    let patience = if transcript.has_booted() { self.limits.silence } else { self.limits.boot };
                    match hanging {
                        None if heard_last.elapsed() > patience => {
                            // No message: the alarm makes the guest print its stacks on the console, and it gets time
                            // for that.
                            hanging = Some(Instant::now());
                            if let Err(error) = alarm::raise(self.machine.arch, files) {
                                transcript.note(format!("the guest could not be asked for its stacks: {error}"));
                            }
                        }
                        Some(since) if since.elapsed() > Duration::from_secs(10) => break Ending::Hung,
                        _ => {}
                    }
                }
                // QEMU has ended, or is about to end.
                Err(RecvTimeoutError::Disconnected) => {
                    break if hanging.is_some() { Ending::Hung } else { Ending::Gone };
                }
            }
        }
    }
}

/// The reason why the loop ended.
enum Ending {
    Gone,
    Hung,
    OutOfTime,
    Interrupted,
    Noise(String),
}

impl Ending {
    fn explained(self, done: bool, console: &Log, complaints: &str, status: Option<String>) -> End {
        match self {
            Self::Interrupted => End::Interrupted,
            Self::OutOfTime => End::OutOfTime,
            Self::Noise(error) => End::Broken(error),
            Self::Hung => End::Hung(console.crash()),
            Self::Gone if done => End::Clean,
            Self::Gone => match console.crash() {
                Some(crash) => End::Crashed(crash),
                None if !complaints.trim().is_empty() => {
                    End::Broken(format!("QEMU printed: {}", complaints.lines().next().unwrap_or_default().trim()))
                }
                None => {
                    let status = status.unwrap_or_else(|| "still running".to_owned());
                    End::Broken(format!(
                        "the guest ended (QEMU: {status}) without a reason; its console ends with:\n{}",
                        console.tail()
                    ))
                }
            },
        }
    }
}

/// Waits a moment for QEMU to end: a guest powers off shortly after its last message.
fn wait_a_little(qemu: &mut Running) -> Result<Option<std::process::ExitStatus>> {
    let limit = Instant::now() + Duration::from_secs(5);
    loop {
        if let Some(status) = qemu.ended()? {
            return Ok(Some(status));
        }
        if Instant::now() > limit || interrupt::seen() {
            return Ok(None);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
