//! Horizontal bars with their names on the left and their values at the end.

use super::{
    plot::{AXIS, GRID, LETTER, WIDTH, color, legend, line, text},
    scale::{Scale, label},
};
use crate::{
    columns::display_width,
    compare::data::{Axis, Point, number},
};

const TOP: f64 = 34.0;
const BAR: f64 = 17.0;
const GAP: f64 = 12.0;
/// Right end of the longest bar, which leaves space for its value.
const RIGHT: f64 = WIDTH - 64.0;

/// Draws the bars. Returns the drawing and its height.
pub(super) fn draw(axis: &Axis, series: &[String], groups: &[(String, Vec<Option<Point>>)]) -> (String, f64) {
    let longest = groups.iter().flat_map(|(name, _)| name.lines()).map(display_width).max().unwrap_or(0);
    let left = longest as f64 * LETTER + 24.0;
    let shown = |series: usize| groups.iter().any(|(_, bars)| matches!(bars.get(series), Some(Some(_))));
    let (top, names) = if series.len() > 1 {
        let names = series.iter().map(String::as_str).enumerate().filter(|&(series, _)| shown(series));
        let (names, end) = legend(names, TOP + 6.0, |series, x, y| bar(series, x + 4.0, y - 6.0, 24.0, 12.0));
        (end + 4.0, names)
    } else {
        (TOP, String::new())
    };
    let all = groups.iter().flat_map(|(_, bars)| bars).flatten();
    let scale = Scale::over(axis, all.flat_map(|point| [point.y, point.high]), left, RIGHT);
    let rows: usize = groups.iter().map(|(name, bars)| height(name, bars)).sum();
    let bottom = top + rows as f64 * BAR + groups.len() as f64 * GAP;

    let mut drawing = names;
    drawing.push_str(&text(12.0, 18.0, "start", &axis.label));
    for tick in scale.ticks() {
        let x = scale.coordinate(tick);
        drawing.push_str(&line((x, top), (x, bottom), GRID));
        drawing.push_str(&text(x, bottom + 18.0, "middle", &label(tick)));
    }
    let mut y = top + GAP / 2.0;
    for (name, bars) in groups {
        let rows = height(name, bars) as f64 * BAR;
        let lines = name.lines().count() as f64;
        for (index, part) in name.lines().enumerate() {
            let baseline = y + rows / 2.0 + (index as f64 - (lines - 1.0) / 2.0) * (BAR - 1.0) + 4.5;
            drawing.push_str(&text(left - 10.0, baseline, "end", part));
        }
        let mut bar_top = y + (rows - bars.iter().flatten().count() as f64 * BAR) / 2.0;
        for (index, point) in bars.iter().enumerate().filter_map(|(index, point)| Some((index, point.as_ref()?))) {
            drawing.push_str(&drawn(index, point, bar_top, &scale));
            bar_top += BAR;
        }
        y += rows + GAP;
    }
    drawing.push_str(&line((left, top), (left, bottom), AXIS));
    (drawing, bottom + 30.0)
}

/// Returns the height in rows of [`BAR`]: the number of bars, or of the name's lines if there are more.
fn height(name: &str, bars: &[Option<Point>]) -> usize {
    bars.iter().flatten().count().max(name.lines().count())
}

/// Draws a bar, its spread and its value.
fn drawn(series: usize, point: &Point, y: f64, scale: &Scale) -> String {
    let (from, to) = (scale.coordinate(0.0), scale.coordinate(point.y));
    // A value of 0 has no bar.
    let mut drawing =
        if point.y == 0.0 { String::new() } else { bar(series, from, y + 2.0, (to - from).max(1.0), BAR - 4.0) };
    let mut end = to;
    if point.low < point.high {
        let (low, high) = (scale.coordinate(point.low), scale.coordinate(point.high));
        drawing.push_str(&line((low, y + BAR / 2.0), (high, y + BAR / 2.0), "#000000"));
        end = end.max(high);
    }
    drawing.push_str(&text(end + 6.0, y + BAR / 2.0 + 4.5, "start", &number(point.y)));
    drawing
}

fn bar(series: usize, x: f64, y: f64, width: f64, height: f64) -> String {
    let color = color(series);
    // The second series is pale with a border, the third is empty, so that they differ in print.
    let fill = if series % 3 == 2 { "#ffffff" } else { color };
    let opacity = if series % 3 == 1 { "0.55" } else { "1" };
    format!(
        "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" fill=\"{fill}\" \
         fill-opacity=\"{opacity}\" stroke=\"{color}\" stroke-width=\"1.5\"/>\n"
    )
}
