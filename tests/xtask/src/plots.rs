//! Extracts the plots of a report of `cutaway compare` into files, for `docs/compare.md`.

use std::{fs, path::PathBuf};

use clap::Args;

use crate::tools::{Outcome, Result};

/// The arguments of `cargo xtask plots`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The file that `cutaway compare --report` wrote
    report: PathBuf,
    /// The directory to write to; created if it does not exist
    directory: PathBuf,
}

/// Writes each plot as `EXPERIMENT-NUMBER.svg`.
pub(crate) fn write(arguments: &Arguments) -> Result {
    let Arguments { report, directory } = arguments;
    let page = fs::read_to_string(report).map_err(|error| format!("cannot read {}: {error}", report.display()))?;
    fs::create_dir_all(directory)
        .map_err(|error| format!("cannot create the directory {}: {error}", directory.display()))?;
    let plots = plots(&page);
    if plots.is_empty() {
        return Err(format!("{} has no plots: is it a report of `cutaway compare`?", report.display()));
    }
    for (name, plot) in plots {
        let path = directory.join(format!("{name}.svg"));
        fs::write(&path, plot).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
        println!("{}", path.display());
    }
    Ok(Outcome::Done)
}

/// Returns the plots of a page, each with its name.
fn plots(page: &str) -> Vec<(&str, &str)> {
    const END: &str = "</svg>\n";
    let mut plots = Vec::new();
    for (start, _) in page.match_indices("<svg ") {
        let Some(rest) = page.get(start..) else { continue };
        let plot = rest.find(END).and_then(|end| rest.get(..end + END.len()));
        let name = rest.split_once(" id=\"").and_then(|(_, rest)| rest.split_once('"')).map(|(name, _)| name);
        plots.extend(name.zip(plot));
    }
    plots
}

#[cfg(test)]
mod tests {
    #[test]
    fn plots_are_found_with_their_names() {
        let page = "<p>\n<svg xmlns=\"x\" id=\"order-1\">1</svg>\n</p><svg id=\"copies-1\">2</svg>\n";
        let plots = super::plots(page);
        assert_eq!(plots[0], ("order-1", "<svg xmlns=\"x\" id=\"order-1\">1</svg>\n"));
        assert_eq!(plots[1], ("copies-1", "<svg id=\"copies-1\">2</svg>\n"));
    }
}
