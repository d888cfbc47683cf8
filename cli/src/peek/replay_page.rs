//! A recording on the live screen: snapshot by snapshot, forward and back.

use std::time::{Duration, Instant};

use super::{kept::Kept, keys::Key, screen::Page, view::View};
use crate::{args::Format, columns::cut, draw, error::CliError};

/// The time for which a snapshot is shown, at the pace of the recording: within these limits a viewer can follow it.
const PACE: [f64; 2] = [0.05, 2.0];

/// The snapshots of a recording, and the one that is shown.
pub(super) struct ReplayPage {
    snapshots: Vec<Kept>,
    /// `None` before the first.
    at: Option<usize>,
    view: View,
}

impl ReplayPage {
    /// Makes a page of at least one snapshot. `speed` is that of `--speed`.
    pub(super) fn new(snapshots: Vec<Kept>, speed: Option<f64>) -> Self {
        let mut gaps: Vec<u64> = snapshots
            .windows(2)
            .filter_map(|pair| match pair {
                [one, next] => next.time_ns().checked_sub(one.time_ns()),
                _ => None,
            })
            .collect();
        gaps.sort_unstable();
        // A constant pace: while a buffer does not change, nothing is recorded.
        let usual = gaps.get(gaps.len() / 2).map_or(PACE[1], |gap| *gap as f64 / 1e9);
        let seconds = (usual / speed.unwrap_or(1.0)).clamp(PACE[0], PACE[1]);
        Self { snapshots, at: None, view: View::new(Duration::from_secs_f64(seconds), 0) }
    }

    fn last(&self) -> usize {
        self.snapshots.len().saturating_sub(1)
    }

    /// Shows another snapshot, and no further one by itself.
    fn step(&mut self, to: usize) {
        self.view.paused = true;
        self.at = Some(to.min(self.last()));
    }
}

impl Page for ReplayPage {
    fn view(&mut self) -> &mut View {
        &mut self.view
    }

    fn sample(&mut self, _: Instant) {}

    fn find_users(&mut self) -> Result<(), CliError> {
        Ok(())
    }

    fn take_snapshot(&mut self, _: Instant) -> Result<(), CliError> {
        let next = self.at.map_or(0, |at| at + 1);
        self.at = Some(next.min(self.last()));
        self.view.paused |= next >= self.last();
        Ok(())
    }

    fn apply(&mut self, key: Key) {
        let at = self.at.unwrap_or(0);
        match key {
            Key::Next => self.step(at + 1),
            Key::Previous => self.step(at.saturating_sub(1)),
            Key::Picture => self.view.drawn = !self.view.drawn,
            Key::Down => self.view.above += 1,
            Key::PageDown => self.view.above += 10,
            _ => {}
        }
    }

    fn lines(&self, columns: usize, _: usize) -> Vec<String> {
        let at = self.at.unwrap_or(0);
        let (Some(kept), Some(first)) = (self.snapshots.get(at), self.snapshots.first()) else { return Vec::new() };
        let since = kept.time_ns().saturating_sub(first.time_ns()) as f64 / 1e9;
        let title = format!("snapshot {} of {}, {since:.6} s after the first", at + 1, self.snapshots.len());
        let mut lines = vec![self.view.title(&title, columns)];
        // A snapshot that was read is shown without an error.
        let text = kept.show(Format::Table, usize::MAX).unwrap_or_default();
        let mut text = text.lines().map(str::to_owned);
        lines.extend(text.next());
        if self.view.drawn {
            lines.extend(draw::text(&kept.picture(), columns, self.view.colored).into_iter().skip(3));
        }
        lines.extend(text.skip(self.view.above));
        lines.iter().map(|line| cut(line, columns)).collect()
    }

    fn keys(&self) -> String {
        let pause = if self.view.paused { "p play" } else { "p pause" };
        let picture = if self.view.drawn { "d hide picture" } else { "d picture" };
        format!("q quit  {pause}  ←→ step  {picture}  ↑↓ scroll  +- pace")
    }
}
