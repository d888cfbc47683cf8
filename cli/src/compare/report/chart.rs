//! A plot as SVG.

use super::{
    bars, lines,
    plot::{FONT, INK, WIDTH},
};
use crate::{compare::data::Plot, draw::escaped};

/// Draws a plot. `id` is its name in the page.
pub(super) fn svg(id: &str, plot: &Plot) -> String {
    let (title, (drawing, height)) = match plot {
        Plot::Lines { title, x, y, series } => (title, lines::draw(x, y, series)),
        Plot::Bars { title, y, series, groups } => (title, bars::draw(y, series, groups)),
    };
    let title = escaped(title);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" id=\"{id}\" width=\"{WIDTH}\" height=\"{height:.0}\" \
         viewBox=\"0 0 {WIDTH} {height:.0}\" role=\"img\" aria-label=\"{title}\" font-family=\"system-ui, sans-serif\" font-size=\"{FONT}\" fill=\"{INK}\">\n\
         <title>{title}</title>\n<rect width=\"{WIDTH}\" height=\"{height:.0}\" fill=\"#ffffff\"/>\n{drawing}</svg>\n"
    )
}
