//! Progress while guests run: a live line for each kernel on a terminal, plain lines elsewhere.

use std::io::{IsTerminal, Write};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::report::{Guest, lines};
use crate::run::Heard;

/// The level of detail of the progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Detail {
    /// A line for each kernel.
    Kernels,
    /// A line for each kernel, on stderr: stdout has the results, in a format for programs.
    Aside,
    /// A line for each test.
    Tests,
    /// The program's output as it arrives, and nothing else.
    Output,
}

/// The screen, shared by all guests.
#[derive(Debug)]
pub(crate) struct Screen {
    bars: MultiProgress,
    detail: Detail,
    /// Keeps lines of several guests from mixing.
    lines: Mutex<()>,
}

impl Screen {
    pub(crate) fn new(detail: Detail) -> Self {
        let bars = MultiProgress::new();
        if detail != Detail::Kernels || !std::io::stderr().is_terminal() {
            bars.set_draw_target(indicatif::ProgressDrawTarget::hidden());
        }
        Self { bars, detail, lines: Mutex::new(()) }
    }

    /// Adds a line for a guest that is about to start.
    pub(crate) fn guest(&self, name: &str) -> Line<'_> {
        let bar = self.bars.add(ProgressBar::new(0));
        if let Ok(style) = ProgressStyle::with_template("{prefix:<8} {spinner} {pos}/{len} {elapsed} {wide_msg}") {
            bar.set_style(style);
        }
        bar.set_prefix(name.to_owned());
        bar.set_message("boots");
        bar.enable_steady_tick(Duration::from_millis(200));
        Line { screen: self, bar }
    }

    /// Prints a line about the run itself, on stderr.
    pub(crate) fn say(&self, text: &str) {
        if self.detail != Detail::Output {
            self.bars.suspend(|| eprintln!("{text}"));
        }
    }

    /// Prints a line about the run itself on stderr even where nothing but the program's output is shown.
    pub(crate) fn warn(&self, text: &str) {
        self.bars.suspend(|| eprintln!("{text}"));
    }

    fn print(&self, text: &str) {
        let _whole_lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        self.bars.suspend(|| println!("{text}"));
    }
}

/// One guest's part of the screen.
#[derive(Debug)]
pub(crate) struct Line<'a> {
    screen: &'a Screen,
    bar: ProgressBar,
}

impl Line<'_> {
    pub(crate) fn hear(&self, heard: &Heard<'_>) {
        match heard {
            Heard::Booted => self.bar.set_message("booted"),
            Heard::Listed(more) => self.bar.inc_length(*more as u64),
            Heard::Started(name) => self.bar.set_message((*name).to_owned()),
            Heard::Output(bytes) if self.screen.detail == Detail::Output => {
                // Keep the guest running if our stdout is a closed pipe: its exit status is still needed.
                let mut out = std::io::stdout().lock();
                let _ = out.write_all(bytes).and_then(|()| out.flush());
            }
            Heard::Output(_) => {}
            Heard::Shell(bytes) => {
                // As above.
                let mut out = std::io::stdout().lock();
                let _ = out.write_all(bytes).and_then(|()| out.flush());
            }
            Heard::Ended(test) => {
                self.bar.inc(1);
                if self.screen.detail == Detail::Tests {
                    self.screen.print(&lines::test(test));
                }
            }
        }
    }

    pub(crate) fn end(&self, guest: &Guest) {
        self.bar.finish_and_clear();
        match self.screen.detail {
            Detail::Output => {}
            Detail::Aside => self.screen.say(&lines::times(guest)),
            Detail::Kernels | Detail::Tests => self.screen.print(&lines::guest(guest)),
        }
    }
}
