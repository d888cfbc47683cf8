//! Lines over two axes, with the spread of each point.

use super::{
    plot::{AXIS, FONT, GRID, WIDTH, color, dash, legend, line, marker, text},
    scale::{Scale, label},
};
use crate::{
    columns::display_width,
    compare::data::{Axis, Point},
};

const LEFT: f64 = 64.0;
const RIGHT: f64 = WIDTH - 16.0;
const TOP: f64 = 34.0;
const BOTTOM: f64 = 280.0;
/// With more points than this, markers would hide the line.
const MARKED: usize = 20;

/// Draws the lines. Returns the drawing and its height.
pub(super) fn draw(x: &Axis, y: &Axis, series: &[(String, Vec<Point>)]) -> (String, f64) {
    let points = || series.iter().flat_map(|(_, points)| points).copied();
    let across = Scale::over(x, points().map(|point| point.x), LEFT + 10.0, RIGHT - 10.0);
    let up = Scale::over(y, points().flat_map(|point| [point.y, point.low, point.high]), BOTTOM, TOP);
    let mut drawing = String::new();

    for tick in up.ticks() {
        let at = up.coordinate(tick);
        drawing.push_str(&line((LEFT, at), (RIGHT, at), GRID));
        drawing.push_str(&text(LEFT - 6.0, at + 4.5, "end", &label(tick)));
    }
    for tick in across_ticks(&across, points().map(|point| point.x)) {
        let at = across.coordinate(tick);
        drawing.push_str(&line((at, BOTTOM), (at, BOTTOM + 5.0), AXIS));
        drawing.push_str(&text(at, BOTTOM + 20.0, "middle", &label(tick)));
    }
    drawing.push_str(&line((LEFT, BOTTOM), (RIGHT, BOTTOM), AXIS));
    drawing.push_str(&text(12.0, 18.0, "start", &y.label));
    drawing.push_str(&text((LEFT + RIGHT) / 2.0, BOTTOM + 40.0, "middle", &x.label));

    for (index, (_, points)) in series.iter().enumerate() {
        drawing.push_str(&curve(index, points, &across, &up));
    }
    let shown = series.iter().enumerate().filter(|(_, (_, points))| !points.is_empty());
    let names = shown.map(|(index, (name, _))| (index, name.as_str()));
    let (names, end) = legend(names, BOTTOM + 40.0 + FONT * 2.0, |index, x, y| {
        let path = format!("M{x:.1} {y:.1}h28");
        let marked = series.get(index).is_some_and(|(_, points)| points.len() <= MARKED);
        stroke(index, &path) + &if marked { marker(index, x + 14.0, y) } else { String::new() }
    });
    drawing.push_str(&names);
    (drawing, end)
}

/// Returns ticks at the points, without those whose labels would overlap; round values if most would overlap.
fn across_ticks(scale: &Scale, values: impl Iterator<Item = f64>) -> Vec<f64> {
    const DIGIT: f64 = 8.3;
    const BETWEEN: f64 = 4.0;
    let mut values: Vec<f64> = values.filter(|value| value.is_finite()).collect();
    values.sort_by(f64::total_cmp);
    values.dedup();
    let half = |value: f64| display_width(&label(value)) as f64 / 2.0 * DIGIT;
    let mut ticks: Vec<f64> = Vec::new();
    for &value in &values {
        let room = |&last: &f64| scale.coordinate(value) - scale.coordinate(last) > half(last) + half(value) + BETWEEN;
        if ticks.last().is_none_or(room) {
            ticks.push(value);
        }
    }
    if ticks.len() > 1 && ticks.len() * 2 > values.len() { ticks } else { scale.ticks() }
}

fn curve(series: usize, points: &[Point], across: &Scale, up: &Scale) -> String {
    let points: Vec<_> = points.iter().filter(|point| point.y.is_finite()).collect();
    let mut path = String::new();
    let mut marks = String::new();
    for (index, point) in points.iter().enumerate() {
        let (x, y) = (across.coordinate(point.x), up.coordinate(point.y));
        path.push_str(&format!("{}{x:.1} {y:.1}", if index == 0 { 'M' } else { 'L' }));
        if point.low < point.high {
            marks.push_str(&line((x, up.coordinate(point.low)), (x, up.coordinate(point.high)), color(series)));
        }
        if points.len() <= MARKED {
            marks.push_str(&marker(series, x, y));
        }
    }
    stroke(series, &path) + &marks
}

fn stroke(series: usize, path: &str) -> String {
    let (color, dash) = (color(series), dash(series));
    format!("<path d=\"{path}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"1.8\" stroke-dasharray=\"{dash}\"/>\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_at_the_points_if_most_fit() {
        let ticks = |values: &[f64]| {
            let scale = Scale::over(&Axis::logarithmic(""), values.iter().copied(), LEFT, RIGHT);
            across_ticks(&scale, values.iter().copied())
        };
        assert_eq!(ticks(&[100.0, 10_000.0, 1e6]), [100.0, 10_000.0, 1e6]);
        let sizes = [8.0, 64.0, 256.0, 512.0, 1024.0, 4096.0, 16_384.0];
        let kept = ticks(&sizes);
        assert!(kept.len() < sizes.len() && kept.iter().all(|tick| sizes.contains(tick)), "{kept:?}");
        let every: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!(ticks(&every), [1.0, 3.0, 10.0, 30.0, 100.0]);
    }
}
