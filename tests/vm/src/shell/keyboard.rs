//! The user's side of a shell: passes stdin on, and sets the terminal for it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::stdio::stdin;
use rustix::termios::{OptionalActions, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr};

use super::wire::{Typed, Window};
use crate::frames::ToGuest;

/// Ctrl-], which ends the guest if it is typed three times within a second, as machinectl(1) does.
const ESCAPE: u8 = 0x1d;
const TIMES: usize = 3;
const WITHIN: Duration = Duration::from_secs(1);
/// Input that is sent at once, in bytes: a guest's serial port is slow.
const PIECE: usize = 1 << 10;
/// Bytes sent and not yet taken by the guest, beyond which a file or a pipe is not read on. A person types less.
const MOST_AHEAD: usize = 1 << 20;

/// Returns the size of the terminal on stdin; `None` if stdin is not a terminal.
pub(crate) fn window() -> Option<Window> {
    let size = tcgetwinsize(stdin()).ok()?;
    // A terminal that does not know its size has that of most.
    let or = |value: u16, usual: u16| if value == 0 { usual } else { value };
    Some(Window { rows: or(size.ws_row, 24), columns: or(size.ws_col, 80) })
}

/// A thread that passes stdin on until this value is dropped. Meanwhile a terminal is in raw mode.
#[derive(Debug)]
pub(crate) struct Keyboard {
    thread: Option<JoinHandle<()>>,
    flags: Arc<Flags>,
    /// The terminal's settings before.
    before: Option<Termios>,
}

#[derive(Debug, Default)]
struct Flags {
    stop: AtomicBool,
    escaped: AtomicBool,
}

impl Keyboard {
    /// Starts the thread, which sends lines for the guest to `guest`.
    pub(crate) fn start(guest: ToGuest) -> Self {
        let before = if isatty(stdin()) { raw() } else { None };
        let flags = Arc::new(Flags::default());
        let own = Arc::clone(&flags);
        let terminal = before.is_some();
        let thread = std::thread::spawn(move || pass_on(&guest, &own, terminal));
        Self { thread: Some(thread), flags, before }
    }

    /// Returns true if the user has typed Ctrl-] three times.
    pub(crate) fn escaped(&self) -> bool {
        // ATOMICS: a lone flag; pairs with the relaxed store in `pass_on`.
        self.flags.escaped.load(Ordering::Relaxed)
    }
}

impl Drop for Keyboard {
    fn drop(&mut self) {
        // ATOMICS: a lone flag; pairs with the relaxed load in `pass_on`. The join orders everything else.
        self.flags.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has been printed.
            let _ = thread.join();
        }
        if let Some(before) = &self.before {
            // A terminal that has hung up has no settings to restore.
            let _ = tcsetattr(stdin(), OptionalActions::Drain, before);
        }
    }
}

/// Sets raw mode; returns the settings before it.
fn raw() -> Option<Termios> {
    let before = tcgetattr(stdin()).ok()?;
    let mut settings = before.clone();
    settings.make_raw();
    tcsetattr(stdin(), OptionalActions::Now, &settings).ok()?;
    Some(before)
}

fn pass_on(guest: &ToGuest, flags: &Flags, terminal: bool) {
    let mut shown = window();
    let mut escapes = Escapes::default();
    // ATOMICS: a lone flag; pairs with the relaxed store in `drop`.
    while !flags.stop.load(Ordering::Relaxed) {
        if terminal {
            let now = window();
            if let Some(new) = now.filter(|_| now != shown) {
                guest.send(Typed::Window(new).line());
                shown = now;
            }
        }
        if !terminal && guest.ahead() > MOST_AHEAD {
            std::thread::sleep(Duration::from_millis(20));
            continue;
        }
        match ready().and_then(|ready| if ready { read().map(Some) } else { Ok(None) }) {
            Ok(None) => {}
            Ok(Some(bytes)) if bytes.is_empty() => {
                guest.send(Typed::End.line());
                return;
            }
            Ok(Some(bytes)) => {
                if terminal && escapes.typed(&bytes, Instant::now()) {
                    // ATOMICS: a lone flag; pairs with the relaxed load in `escaped`.
                    flags.escaped.store(true, Ordering::Relaxed);
                    return;
                }
                guest.send(Typed::Bytes(bytes).line());
            }
            Err(_) => {
                guest.send(Typed::End.line());
                return;
            }
        }
    }
}

/// Waits a moment for input.
fn ready() -> io::Result<bool> {
    let stdin = stdin();
    let mut polled = [PollFd::new(&stdin, PollFlags::IN)];
    match poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 50_000_000 })) {
        Ok(count) => Ok(count > 0),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn read() -> io::Result<Vec<u8>> {
    let mut buffer = [0; PIECE];
    // Not `std::io::stdin`, whose buffer would hide input from `poll`.
    let length = rustix::io::read(stdin(), &mut buffer)?;
    Ok(buffer.get(..length).unwrap_or_default().to_vec())
}

/// The recent escape characters.
#[derive(Debug, Default)]
struct Escapes(Vec<Instant>);

impl Escapes {
    /// Returns true if the escape character was typed three times in a row, within a second.
    fn typed(&mut self, bytes: &[u8], now: Instant) -> bool {
        for byte in bytes {
            if *byte == ESCAPE {
                self.0.retain(|typed| now.duration_since(*typed) < WITHIN);
                self.0.push(now);
            } else {
                self.0.clear();
            }
            if self.0.len() >= TIMES {
                return true;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_escapes_within_a_second_end_the_guest() {
        let start = Instant::now();
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        let mut escapes = Escapes::default();
        assert!(!escapes.typed(b"a\x1d\x1d", at(0)));
        assert!(!escapes.typed(b"x\x1d", at(100)), "another character came between");
        assert!(!escapes.typed(b"\x1d", at(1050)));
        assert!(!escapes.typed(b"\x1d", at(1500)), "the first of the three is too old");
        assert!(escapes.typed(b"\x1d", at(1600)));
        assert!(Escapes::default().typed(b"\x1d\x1d\x1d", at(0)));
    }
}
