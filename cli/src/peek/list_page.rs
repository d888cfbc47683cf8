//! The list of buffers on the live screen: a line for each, sorted by fill, rate or id.

use std::time::{Duration, Instant};

use super::{
    keys::Key,
    live_list::{LiveList, LiveRow, Order},
    screen::Page,
    view::View,
};
use crate::{
    columns::{counted, cut},
    error::CliError,
};

/// The list, its order, and the view settings.
pub(super) struct ListPage {
    live: LiveList,
    order: Order,
    view: View,
}

impl ListPage {
    pub(super) fn new(live: LiveList, interval: Duration) -> Self {
        Self { live, order: Order::Fill, view: View::new(interval, 0) }
    }

    fn title(&self) -> String {
        let by = match self.order {
            Order::Fill => "fill",
            Order::Rate => "rate",
            Order::Id => "id",
        };
        format!("{} by {by}", counted(self.live.count() as u64, "buffer"))
    }
}

impl Page for ListPage {
    fn view(&mut self) -> &mut View {
        &mut self.view
    }

    fn sample(&mut self, _: Instant) {}

    fn find_users(&mut self) -> Result<(), CliError> {
        self.live.find_users()
    }

    fn take_snapshot(&mut self, now: Instant) -> Result<(), CliError> {
        self.live.take_snapshot(now)?;
        // Buffers may have gone.
        self.view.above = self.view.above.min(self.live.count().saturating_sub(1));
        Ok(())
    }

    fn apply(&mut self, key: Key) {
        let last = self.live.count().saturating_sub(1);
        let order = match key {
            Key::ByFill => Order::Fill,
            Key::ByRate => Order::Rate,
            Key::ById => Order::Id,
            Key::Down => return self.view.above = (self.view.above + 1).min(last),
            Key::PageDown => return self.view.above = (self.view.above + 10).min(last),
            _ => return,
        };
        (self.order, self.view.above) = (order, 0);
    }

    fn lines(&self, columns: usize, rows: usize) -> Vec<String> {
        let (bold, _, plain) = self.view.pens();
        let heading = format!("{bold}{}{plain}", LiveRow::heading(Some(self.order), columns));
        let mut lines = vec![self.view.title(&self.title(), columns), heading];
        let room = rows.saturating_sub(lines.len());
        if self.live.count() == 0 {
            lines.push(self.live.nothing().to_owned());
        }
        lines.extend(self.view.scrolled(&self.live.sorted(self.order), room, |row| row.line(columns)));
        lines.iter().map(|line| cut(line, columns)).collect()
    }

    fn keys(&self) -> String {
        let pause = if self.view.paused { "p resume" } else { "p pause" };
        format!("q quit  {pause}  s snapshot  f fill  r rate  i id  ↑↓ scroll  +- interval")
    }
}
