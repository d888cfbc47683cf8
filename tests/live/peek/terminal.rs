//! A terminal: a pseudo terminal whose outer end is a terminal emulator.

use std::{
    fs::File,
    io::Write,
    os::unix::process::ExitStatusExt,
    process::{Child, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use rustix::{
    process::{Pid, Signal, kill_process},
    termios::{Winsize, tcsetwinsize},
};

use crate::{binary::command, patience::wait_until, pseudo_terminal};

/// `cutaway` with a live screen, in its own terminal.
pub(crate) struct Terminal {
    child: Child,
    input: File,
    emulator: Arc<Mutex<vt100::Parser>>,
    /// The window is to be closed.
    closing: Arc<AtomicBool>,
    /// The terminal's output is not read.
    stalled: Arc<AtomicBool>,
}

impl Terminal {
    /// Starts `cutaway peek --watch`.
    pub(crate) fn start(words: &str, columns: u16, rows: u16) -> Self {
        Self::of(&format!("peek {words} --watch --interval 0.1"), columns, rows)
    }

    /// Starts `cutaway` with these words.
    pub(crate) fn of(words: &str, columns: u16, rows: u16) -> Self {
        let (input, inner) = pseudo_terminal::open();
        set_size(&input, columns, rows);
        let mut command = command(words.split_whitespace());
        command.env("TERM", "xterm-256color").env_remove("COLUMNS");
        command.stdin(inner()).stdout(inner()).stderr(Stdio::piped());
        let child = pseudo_terminal::start(command);
        let emulator = Arc::new(Mutex::new(vt100::Parser::new(rows, columns, 0)));
        let closing = Arc::new(AtomicBool::new(false));
        let stalled = Arc::new(AtomicBool::new(false));
        let (shared, close, stall) = (Arc::clone(&emulator), Arc::clone(&closing), Arc::clone(&stalled));
        pseudo_terminal::read(&input, move |shown| {
            // ATOMICS: only the flag itself passes between the threads.
            while stall.load(Ordering::Relaxed) {
                thread::sleep(Duration::from_millis(2));
            }
            shared.lock().unwrap().process(shown);
            // ATOMICS: only the flag itself passes between the threads.
            !close.load(Ordering::Relaxed)
        });
        Self { child, input, emulator, closing, stalled }
    }

    pub(crate) fn text(&self) -> String {
        self.emulator.lock().unwrap().screen().contents()
    }

    /// Waits until the screen shows this.
    pub(crate) fn shows(&self, part: &str) -> String {
        wait_until(&format!("the screen shows {part:?}"), || Some(self.text()).filter(|text| text.contains(part)))
    }

    pub(crate) fn without(&self, part: &str) {
        wait_until(&format!("the screen no longer shows {part:?}"), || (!self.text().contains(part)).then_some(()));
    }

    pub(crate) fn key(&mut self, keys: &str) {
        self.input.write_all(keys.as_bytes()).unwrap();
    }

    /// Changes the window's size.
    pub(crate) fn resize(&self, columns: u16, rows: u16) {
        self.emulator.lock().unwrap().screen_mut().set_size(rows, columns);
        set_size(&self.input, columns, rows);
    }

    /// Closes the window. The command then has to end, with any status.
    pub(crate) fn close(mut self) {
        // Both of our fds are closed; the kernel sends SIGHUP to the terminal's processes.
        // ATOMICS: only the flag itself passes between the threads.
        self.closing.store(true, Ordering::Relaxed);
        self.input = File::open("/dev/null").unwrap();
        wait_until("it ends", || self.child.try_wait().unwrap());
    }

    /// Stops reading the output, and waits until the terminal accepts no more.
    pub(crate) fn stall(&self) {
        // ATOMICS: only the flag itself passes between the threads.
        self.stalled.store(true, Ordering::Relaxed);
        let (mut before, mut same) = (0, 0);
        wait_until("the terminal is full", || {
            let waiting = rustix::io::ioctl_fionread(&self.input).unwrap();
            same = if waiting == before && waiting > 0 { same + 1 } else { 0 };
            before = waiting;
            thread::sleep(Duration::from_millis(10));
            (same > 40).then_some(())
        });
    }

    /// Sends two signals. The second ends the command, and the terminal has its modes again.
    pub(crate) fn ends_by_two(mut self, [one, two]: [Signal; 2]) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, one).unwrap();
        thread::sleep(Duration::from_millis(20));
        kill_process(pid, two).unwrap();
        let status = wait_until("it ends", || self.child.try_wait().unwrap());
        assert_eq!(status.signal(), Some(two.as_raw()), "{status}");
        self.has_its_modes();
        // ATOMICS: as above.
        self.stalled.store(false, Ordering::Relaxed);
    }

    fn has_its_modes(&self) {
        let modes = rustix::termios::tcgetattr(&self.input).unwrap().local_modes;
        assert!(modes.contains(rustix::termios::LocalModes::ICANON | rustix::termios::LocalModes::ECHO));
    }

    /// Asserts that the command ends with success, and leaves the terminal in its original modes.
    pub(crate) fn ends(mut self) {
        let status = wait_until("it ends", || self.child.try_wait().unwrap());
        assert!(status.success(), "{status}");
        wait_until("the terminal is as it was", || {
            let emulator = self.emulator.lock().unwrap();
            let screen = emulator.screen();
            (!screen.alternate_screen() && !screen.hide_cursor()).then_some(())
        });
        self.has_its_modes();
    }
}

fn set_size(terminal: &File, columns: u16, rows: u16) {
    let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(terminal, size).unwrap();
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // ATOMICS: see `start`.
        self.stalled.store(false, Ordering::Relaxed);
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
