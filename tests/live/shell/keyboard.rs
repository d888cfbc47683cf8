//! A program in its own terminal, and the keys that the test presses.

use std::{
    fs::File,
    io::Write,
    process::{Child, Command},
    sync::{Arc, Mutex},
};

use rustix::termios::{Winsize, tcsetwinsize};

use crate::{patience::wait_until, pseudo_terminal};

/// The program, its keys and its screen.
pub(crate) struct Keyboard {
    child: Child,
    keys: File,
    screen: Arc<Mutex<vt100::Parser>>,
}

const ROWS: u16 = 24;
const COLUMNS: u16 = 120;

impl Keyboard {
    pub(crate) fn at(mut command: Command) -> Self {
        let (keys, inner) = pseudo_terminal::open();
        tcsetwinsize(&keys, Winsize { ws_row: ROWS, ws_col: COLUMNS, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
        command.stdin(inner()).stdout(inner()).stderr(inner());
        let child = pseudo_terminal::start(command);
        let screen = Arc::new(Mutex::new(vt100::Parser::new(ROWS, COLUMNS, 0)));
        let shared = Arc::clone(&screen);
        pseudo_terminal::read(&keys, move |bytes| {
            shared.lock().unwrap().process(bytes);
            true
        });
        Self { child, keys, screen }
    }

    pub(crate) fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until the screen shows this.
    pub(crate) fn shows(&self, part: &str) {
        wait_until(&format!("the screen shows {part:?}"), || {
            self.screen.lock().unwrap().screen().contents().contains(part).then_some(())
        });
    }

    /// Waits until the line of the cursor is this, without the spaces at its end.
    pub(crate) fn line_is(&self, expected: &str) {
        let line = || {
            let screen = self.screen.lock().unwrap();
            let (row, _) = screen.screen().cursor_position();
            let lines: Vec<_> = screen.screen().rows(0, COLUMNS).collect();
            lines[usize::from(row)].trim_end().to_owned()
        };
        let mut last = String::new();
        wait_until(&format!("the line of the cursor is {expected:?}"), || {
            let now = line();
            if now != last {
                eprintln!("the line of the cursor: {now:?}");
                last = now;
            }
            (last == expected).then_some(())
        });
    }
}

impl Drop for Keyboard {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
