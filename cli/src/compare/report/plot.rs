//! The parts of all plots: size, legend, markers and colors.
//!
//! Each drawing is self-contained: it names its colors and fonts, so that it looks the same in the report and alone.
//! Series differ in color (a palette for the color-blind: Okabe and Ito, 2008) and in markers and dashes, so that they
//! differ in print, too.

use std::fmt::Write as _;

use crate::{columns::display_width, draw::escaped};

/// Width of a plot in pixels. Small, so that text is legible on a phone, which scales the plot to its width.
pub(super) const WIDTH: f64 = 480.0;
pub(super) const FONT: f64 = 13.0;
/// About the width of a letter.
pub(super) const LETTER: f64 = 6.6;

/// Colors of text, axes and grid lines.
pub(super) const INK: &str = "#222222";
pub(super) const AXIS: &str = "#666666";
pub(super) const GRID: &str = "#dddddd";

const COLORS: [&str; 7] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b07c00", "#56b4e9", "#000000"];
const DASHES: [&str; 7] = ["", "7 3", "2 3", "9 3 2 3", "5 5", "1 3", "12 4"];

pub(super) fn color(series: usize) -> &'static str {
    COLORS.get(series % COLORS.len()).copied().unwrap_or(INK)
}

pub(super) fn dash(series: usize) -> &'static str {
    DASHES.get(series % DASHES.len()).copied().unwrap_or_default()
}

/// Draws a marker whose shape identifies the series.
pub(super) fn marker(series: usize, x: f64, y: f64) -> String {
    let color = color(series);
    let polygon = |points: &[(f64, f64)]| {
        let points: Vec<_> = points.iter().map(|(dx, dy)| format!("{:.1},{:.1}", x + dx, y + dy)).collect();
        format!("<polygon points=\"{}\" fill=\"{color}\"/>\n", points.join(" "))
    };
    let stroke = |path: &str| {
        format!("<path d=\"M{x:.1} {y:.1}{path}\" stroke=\"{color}\" stroke-width=\"2\" fill=\"none\"/>\n")
    };
    match series % 7 {
        0 => format!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\" fill=\"{color}\"/>\n"),
        1 => polygon(&[(-4.0, -4.0), (4.0, -4.0), (4.0, 4.0), (-4.0, 4.0)]),
        2 => polygon(&[(0.0, -5.0), (4.8, 3.5), (-4.8, 3.5)]),
        3 => polygon(&[(0.0, -5.5), (5.5, 0.0), (0.0, 5.5), (-5.5, 0.0)]),
        4 => polygon(&[(0.0, 5.0), (4.8, -3.5), (-4.8, -3.5)]),
        5 => stroke("m-4 -4l8 8m0 -8l-8 8"),
        _ => stroke("m-5 0h10m-5 -5v10"),
    }
}

/// Draws text at a point; `anchor` is `start`, `middle` or `end`.
pub(super) fn text(x: f64, y: f64, anchor: &str, text: &str) -> String {
    format!("<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{}</text>\n", escaped(text))
}

pub(super) fn line(from: (f64, f64), to: (f64, f64), color: &str) -> String {
    let ((x1, y1), (x2, y2)) = (from, to);
    format!("<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"{color}\"/>\n")
}

/// Draws the legend from `top` on. Returns it with its bottom. A series is identified by its index among all series,
/// those without data included, so that a name has the same color in all plots of an experiment.
pub(super) fn legend<'n>(
    names: impl IntoIterator<Item = (usize, &'n str)>,
    top: f64,
    symbol: impl Fn(usize, f64, f64) -> String,
) -> (String, f64) {
    const ROW: f64 = 20.0;
    const SYMBOL: f64 = 36.0;
    let (mut drawing, mut x, mut y) = (String::new(), 12.0, top);
    for (series, name) in names {
        let width = SYMBOL + display_width(name) as f64 * LETTER + 16.0;
        if x + width > WIDTH && x > 12.0 {
            (x, y) = (12.0, y + ROW);
        }
        drawing.push_str(&symbol(series, x, y));
        // Writing to a string cannot fail.
        let _ = write!(drawing, "{}", text(x + SYMBOL, y + 4.5, "start", name));
        x += width;
    }
    (drawing, y + ROW)
}
