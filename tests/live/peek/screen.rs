//! The live screen in a real terminal: a pseudo terminal whose other end is an emulator.
#![expect(unsafe_code, reason = "the child makes the pseudo terminal its own between fork and exec")]

use std::{
    fs::File,
    io::{Read, Write},
    os::unix::process::CommandExt,
    process::{Child, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use libtest_mimic::Trial;
use rustix::{
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{Winsize, tcsetwinsize},
};

use crate::{
    binary::command,
    owner::{Kind, Owner, SPACE},
    patience::wait_until,
    requirements::Needs,
    trial,
};

pub(crate) fn trials() -> Vec<Trial> {
    [(80, 24), (120, 40), (40, 10)]
        .map(|(columns, rows)| {
            trial(format!("the_screen_fits_{columns}_by_{rows}"), Needs::Ring, move || fits(columns, rows))
        })
        .into_iter()
        .chain([
            trial("keys_do_what_the_screen_says", Needs::Ring, keys),
            trial("a_screen_follows_its_terminal_s_size", Needs::Ring, resized),
            trial("a_screen_outlives_the_owner", Needs::Ring, orphaned),
            trial("a_screen_ends_with_its_terminal", Needs::Ring, closed),
        ])
        .collect()
}

/// `cutaway peek --watch` in a terminal of its own.
struct Terminal {
    child: Child,
    input: File,
    emulator: Arc<Mutex<vt100::Parser>>,
    /// The window is to be closed.
    closing: Arc<AtomicBool>,
}

impl Terminal {
    fn start(id: u32, columns: u16, rows: u16) -> Self {
        let outer = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&outer).unwrap();
        unlockpt(&outer).unwrap();
        let name = ptsname(&outer, Vec::new()).unwrap().into_string().unwrap();
        let inner = || File::options().read(true).write(true).open(&name).unwrap();
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&outer, size).unwrap();
        let mut command = command(["peek", "--id", &id.to_string(), "--watch", "--interval", "0.1"]);
        command.env("TERM", "xterm-256color").env_remove("COLUMNS");
        command.stdin(inner()).stdout(inner()).stderr(Stdio::piped());
        // SAFETY: setsid(2) and ioctl(2) may be called between fork and exec.
        unsafe {
            command.pre_exec(|| {
                rustix::process::setsid()?;
                rustix::process::ioctl_tiocsctty(rustix::stdio::stdin())?;
                Ok(())
            });
        }
        let child = command.spawn().unwrap();
        let emulator = Arc::new(Mutex::new(vt100::Parser::new(rows, columns, 0)));
        let (mut output, shared) = (File::from(outer.try_clone().unwrap()), Arc::clone(&emulator));
        let closing = Arc::new(AtomicBool::new(false));
        let close = Arc::clone(&closing);
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            // The other end is closed when nobody holds it any more: EIO.
            while let Ok(length) = output.read(&mut bytes) {
                shared.lock().unwrap().process(&bytes[..length]);
                // ATOMICS: nothing but the flag itself passes from thread to thread.
                if close.load(Ordering::Relaxed) {
                    break;
                }
            }
        });
        Self { child, input: File::from(outer), emulator, closing }
    }

    fn text(&self) -> String {
        self.emulator.lock().unwrap().screen().contents()
    }

    /// Waits until the screen shows this.
    fn shows(&self, part: &str) -> String {
        wait_until(&format!("the screen shows {part:?}"), || Some(self.text()).filter(|text| text.contains(part)))
    }

    fn without(&self, part: &str) {
        wait_until(&format!("the screen no longer shows {part:?}"), || (!self.text().contains(part)).then_some(()));
    }

    fn key(&mut self, keys: &str) {
        self.input.write_all(keys.as_bytes()).unwrap();
    }

    /// It ends well, and leaves the terminal as it was.
    fn ends(mut self) {
        let status = wait_until("it ends", || self.child.try_wait().unwrap());
        assert!(status.success(), "{status}");
        wait_until("the terminal is as it was", || {
            let emulator = self.emulator.lock().unwrap();
            let screen = emulator.screen();
            (!screen.alternate_screen() && !screen.hide_cursor()).then_some(())
        });
        let modes = rustix::termios::tcgetattr(&self.input).unwrap().local_modes;
        assert!(modes.contains(rustix::termios::LocalModes::ICANON | rustix::termios::LocalModes::ECHO));
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn owner() -> Owner {
    let mut owner = Owner::start(Kind::Ring, "peek_screen", rustix::param::page_size() as u32);
    owner.produce(30);
    owner
}

fn fits(columns: u16, rows: u16) {
    let owner = owner();
    let mut terminal = Terminal::start(owner.id, columns, rows);
    let text = terminal.shows("q quit");
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), usize::from(rows), "{text}");
    assert!(lines.iter().all(|line| line.chars().count() <= usize::from(columns)), "{text}");
    assert!(lines[0].starts_with(&format!("ring {} `peek_screen`", owner.id)), "{text}");
    assert!(lines.last().unwrap().starts_with("q quit  p pause"), "{text}");
    if columns >= 80 {
        assert!(lines[0].ends_with("every 0.1 s"), "{text}");
        for part in [
            "30 records: 27 committed",
            "the head for",
            "B/s written",
            "the data",
            "░",
            "POSITION",
            "committed  00000000",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
    terminal.key("q");
    terminal.ends();
}

fn keys() {
    let mut owner = owner();
    let mut terminal = Terminal::start(owner.id, 100, 40);
    terminal.shows("d no picture");
    terminal.key("d");
    terminal.shows("d picture");
    terminal.without("the same pages");
    terminal.key("p");
    terminal.shows("paused");
    owner.produce(5);
    // Paused, nothing moves but by the key for one look.
    std::thread::sleep(std::time::Duration::from_millis(400));
    assert!(terminal.text().contains("30 records"), "{}", terminal.text());
    terminal.key("s");
    terminal.shows("35 records");
    terminal.shows("paused");
    terminal.key("p");
    terminal.shows("every 0.1 s");
    terminal.key("-");
    terminal.shows("every 0.2 s");
    terminal.key("+");
    terminal.shows("every 0.1 s");
    // The first record scrolls out.
    let first = format!("{:>8} {:>#10x}", 0, 0);
    terminal.shows(&first);
    terminal.key("\x1b[B");
    terminal.without(&first);
    terminal.key("\x1b[A");
    terminal.shows(&first);
    owner.consume();
    terminal.shows("the reader has caught up");
    terminal.shows(&format!("consumer {:>21}", 35 * SPACE));
    terminal.key("\x03");
    terminal.ends();
}

fn resized() {
    let owner = owner();
    let mut terminal = Terminal::start(owner.id, 80, 24);
    terminal.shows("q quit");
    terminal.emulator.lock().unwrap().screen_mut().set_size(30, 132);
    let size = Winsize { ws_row: 30, ws_col: 132, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(&terminal.input, size).unwrap();
    wait_until("the keys are on the last of 30 lines", || {
        let text = terminal.text();
        let lines: Vec<_> = text.lines().collect();
        (lines.len() == 30 && lines[29].starts_with("q quit") && lines[0].chars().count() == 132).then_some(())
    });
    terminal.key("q");
    terminal.ends();
}

fn orphaned() {
    let owner = owner();
    let mut terminal = Terminal::start(owner.id, 80, 24);
    terminal.shows(&format!("({}, fd", owner.pid()));
    owner.kill();
    terminal.shows("held by   no process");
    assert!(terminal.text().contains("30 records"), "{}", terminal.text());
    terminal.key("\x1b");
    terminal.ends();
}

/// The window is closed: nobody is left to press a key, and nothing must go on turning.
fn closed() {
    let owner = owner();
    let mut terminal = Terminal::start(owner.id, 80, 24);
    terminal.shows("q quit");
    // Both of our descriptors go; the kernel hangs up on whoever has the terminal.
    terminal.closing.store(true, Ordering::Relaxed);
    terminal.input = File::open("/dev/null").unwrap();
    wait_until("it ends", || terminal.child.try_wait().unwrap());
}
