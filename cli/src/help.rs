//! Fits `--help` to the width of the terminal.
//!
//! The texts in the source have lines for 80 columns, which pipes, files and terminals of that width get as they are.
//! For other terminals, the lines of a paragraph are joined, and clap wraps them.

use std::io::{self, IsTerminal};

use clap::{Arg, Command};

use crate::{columns::display_width, terminal};

/// The narrowest and the widest help in columns: longer lines are hard to read.
const WIDTHS: (usize, usize) = (60, 120);

/// A width that no line reaches. It is clap's own where it does not wrap, which decides how options are laid out.
const UNWRAPPED: usize = 100;

/// Fits the help of a command and its subcommands to the terminal on stdout.
pub(crate) fn fitted(command: Command) -> Command {
    if !io::stdout().is_terminal() {
        return command.term_width(UNWRAPPED);
    }
    match terminal::width().clamp(WIDTHS.0, WIDTHS.1) {
        terminal::WIDTH => command.term_width(UNWRAPPED),
        width => fitted_to(command, width).term_width(width),
    }
}

fn fitted_to(mut command: Command, width: usize) -> Command {
    if let Some(about) = command.get_long_about().map(|about| joined(&about.to_string())) {
        command = command.long_about(about);
    }
    if let Some(examples) = command.get_after_help().map(|examples| broken(&examples.to_string(), width)) {
        command = command.after_help(examples);
    }
    command.mut_args(with_joined_help).mut_subcommands(|command| fitted_to(command, width))
}

fn with_joined_help(arg: Arg) -> Arg {
    match arg.get_long_help().map(|help| joined(&help.to_string())) {
        Some(help) => arg.long_help(help),
        None => arg,
    }
}

/// Returns whether a line begins the meaning of a value: `json: one object per line`, `auto (default): …`.
pub(crate) fn is_meaning(line: &str) -> bool {
    let value = line.split_once(": ").map_or("", |(value, _)| value.strip_suffix(" (default)").unwrap_or(value));
    !value.is_empty() && value.chars().all(|char| char.is_ascii_lowercase() || matches!(char, '\\' | '-'))
}

/// Joins the lines of each paragraph, and of each meaning. Indented lines are tables and stay as they are.
fn joined(text: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    // Whether the next line may continue the last one; an indented line may continue only a meaning.
    let (mut in_paragraph, mut in_meaning) = (false, false);
    for line in text.lines() {
        let is_indented = line.starts_with(' ');
        let continues = if is_indented { in_meaning } else { in_paragraph && !is_meaning(line) };
        match lines.last_mut().filter(|_| continues && !line.is_empty()) {
            Some(last) => {
                last.push(' ');
                last.push_str(line.trim_start());
            }
            None => {
                lines.push(line.to_owned());
                in_meaning = is_meaning(line);
                in_paragraph = !line.is_empty() && !is_indented;
            }
        }
    }
    lines.join("\n")
}

/// Breaks the lines of examples that are too long between the command and its explanation.
fn broken(examples: &str, width: usize) -> String {
    let broken = examples.lines().map(|line| {
        let gap = line.rfind("  ").filter(|at| display_width(line) > width && !line.split_at(*at).0.trim().is_empty());
        match gap.map(|at| line.split_at(at)) {
            Some((command, meaning)) => format!("{}\n      {}", command.trim_end(), meaning.trim_start()),
            None => line.to_owned(),
        }
    });
    broken.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn paragraphs_are_joined_and_tables_are_not() {
        let text = "First line\n\nOne two\nthree.\n\n  a     table\n  with  rows\n\ntable: columns,\n    for people\nperf-heap \
                    (default): copied\n(twice)\n\nLast.";
        let expected = "First line\n\nOne two three.\n\n  a     table\n  with  rows\n\ntable: columns, for people\n\
                        perf-heap (default): copied (twice)\n\nLast.";
        assert_eq!(joined(text), expected);
    }

    #[test]
    fn long_examples_are_broken_before_their_explanation() {
        let text =
            "Examples:\n  cutaway x --long      what it does\n  cutaway y  short\n  cutaway z --without-a-gap-in-it";
        let expected =
            "Examples:\n  cutaway x --long\n      what it does\n  cutaway y  short\n  cutaway z --without-a-gap-in-it";
        assert_eq!(broken(text, 25), expected);
    }

    #[test]
    fn help_fits_each_width() {
        for width in [60, 66, 72, 90, 100, 120] {
            let mut whole = fitted_to(crate::Arguments::command(), width).term_width(width);
            whole.build();
            for command in whole.get_subcommands_mut() {
                let help = command.render_long_help().to_string();
                // clap does not wrap the line of usage. An example without a gap, and a path, cannot be broken.
                let prose = help.lines().filter(|line| !line.contains("cutaway ") && line.trim().contains(' '));
                for line in prose.filter(|line| !line.starts_with("Usage:")) {
                    assert!(display_width(line) <= width, "{width}: {line}");
                }
                let longest = help.lines().map(display_width).max().unwrap_or(0);
                assert!(width < 90 || longest > 80 || command.get_name() == "help", "{}: {help}", command.get_name());
            }
        }
    }
}
