//! A watched buffer on the live screen, or the perf buffers of a process, of which one is shown.

use std::time::{Duration, Instant};

use super::{
    keys::Key,
    screen::Page,
    view::{Live, View},
};
use crate::error::CliError;

/// Rows that list records, at most.
const ROWS: usize = 200;

/// Records of a paused screen that have their payload, at most.
const PAUSED: usize = 1 << 16;

/// The buffers on the screen, and the view settings.
pub(super) struct LivePage<'l, L> {
    live: &'l mut L,
    view: View,
}

impl<'l, L: Live> LivePage<'l, L> {
    pub(super) fn new(live: &'l mut L, interval: Duration) -> Self {
        let view = View::new(interval, live.fullest());
        Self { live, view }
    }
}

impl<L: Live> Page for LivePage<'_, L> {
    fn view(&mut self) -> &mut View {
        &mut self.view
    }

    fn sample(&mut self, now: Instant) {
        self.live.sample(now);
    }

    fn find_users(&mut self) -> Result<(), CliError> {
        self.live.find_users();
        Ok(())
    }

    fn take_snapshot(&mut self, now: Instant) -> Result<(), CliError> {
        let payloads = if self.view.paused { PAUSED } else { self.view.above + ROWS };
        self.live.take_snapshot(payloads, now);
        Ok(())
    }

    fn apply(&mut self, key: Key) {
        let (view, buffers) = (&mut self.view, self.live.buffers().max(1));
        let last = self.live.records(view.chosen).saturating_sub(1);
        let key = match key {
            // A single buffer has no neighbors.
            Key::Next if buffers == 1 => Key::Right,
            Key::Previous if buffers == 1 => Key::Left,
            key => key,
        };
        match key {
            Key::Left | Key::Right => {
                view.apply(key);
            }
            Key::Picture => view.drawn = !view.drawn,
            Key::Bytes => view.bytes = !view.bytes,
            Key::Down => view.above = (view.above + 1).min(last),
            Key::PageDown => view.above = (view.above + 10).min(last),
            Key::Next => (view.chosen, view.above) = ((view.chosen + 1) % buffers, 0),
            Key::Previous => (view.chosen, view.above) = ((view.chosen + buffers - 1) % buffers, 0),
            _ => {}
        }
    }

    fn lines(&self, columns: usize, rows: usize) -> Vec<String> {
        self.live.lines(&self.view, columns, rows)
    }

    fn keys(&self) -> String {
        let pause = if self.view.paused { "p resume" } else { "p pause" };
        let kind = match (self.live.is_decoded(), self.view.bytes) {
            (false, _) => "",
            (true, false) => "  x bytes",
            (true, true) => "  x values",
        };
        let picture = if self.view.drawn { "d hide picture" } else { "d picture" };
        let buffers = if self.live.buffers() > 1 { "  ←→ buffers" } else { "" };
        format!("q quit  {pause}  s snapshot  {picture}{kind}{buffers}  ↑↓ records  <> columns  +- interval")
    }
}
