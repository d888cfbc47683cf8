//! Pages for man(1). They are generated on request from the same definitions as `--help`, so there is no copy to
//! maintain.

use std::{fs, path::PathBuf};

use clap::{Args, Command};
use clap_mangen::Man as Page;

use crate::{
    error::{CliError, listed},
    help::is_meaning,
    output_file::{self, OutputFile, Refused},
    peek::WATCH_KEYS,
    terminal,
};

const MAN: &str = "\
Examples:
  cutaway man | man -l -          the page of cutaway
  cutaway man trace | man -l -    the page of cutaway trace
  cutaway man --directory /usr/local/share/man/man1";

/// The arguments of `cutaway man`.
#[derive(Debug, Args)]
#[command(after_help = MAN)]
pub(crate) struct Man {
    /// Command whose page is printed
    ///
    /// Default: the page of cutaway itself. Excludes --directory.
    #[arg(verbatim_doc_comment)]
    #[arg(conflicts_with = "directory")]
    command: Option<String>,

    /// Write all pages into this directory
    ///
    /// Writes a file for each page, and creates the directory if it does not
    /// exist.
    #[arg(long, value_name = "DIR", alias = "folder", verbatim_doc_comment)]
    directory: Option<PathBuf>,
}

/// Prints one page, or writes all pages to a directory.
pub(crate) fn man(arguments: &Man, mut whole: Command) -> Result<(), CliError> {
    // This sets the full names of the subcommands.
    whole.build();
    let commands = || documented(&whole);
    if let Some(directory) = &arguments.directory {
        let failed = |what: &str, error| CliError::system(&format!("{what} {}", directory.display()), &error);
        fs::create_dir_all(directory).map_err(|error| failed("create the directory", error))?;
        for command in std::iter::once(&whole).chain(commands()) {
            let path = directory.join(format!("{}.1", title(command)));
            let refused = |refused| output_file::failure("write the page", &path, refused);
            let mut file = OutputFile::open(&path).map_err(refused)?;
            file.write(page(command, &whole)?.as_bytes()).map_err(|error| refused(Refused::System(error)))?;
        }
        return Ok(());
    }
    let command = match &arguments.command {
        None => &whole,
        Some(name) => commands().find(|command| command.get_name() == name).ok_or_else(|| {
            let names: Vec<_> = commands().map(Command::get_name).collect();
            CliError::new(format!("cannot print the page of `{name}`: there is no such command"))
                .advise(&format!("the commands are {}", listed(&names)))
        })?,
    };
    terminal::print(&page(command, &whole)?)
}

/// Returns the commands that have a page: all but `help`, which clap adds, and the one that scripts run.
fn documented(whole: &Command) -> impl Iterator<Item = &Command> {
    whole.get_subcommands().filter(|command| command.get_name() != "help" && !command.is_hide_set())
}

/// Formats the keys as a section of a page.
fn keys() -> String {
    let key = |(keys, meaning): &(&str, &str)| format!(".TP\n{}\n{meaning}\n", keys.replace('-', "\\-"));
    format!(".SH KEYS\nWith \\-\\-watch, on a terminal:\n{}", WATCH_KEYS.iter().map(key).collect::<String>())
}

/// Returns the title of a page: `cutaway` or `cutaway-trace`.
fn title(command: &Command) -> &str {
    command.get_display_name().unwrap_or_else(|| command.get_name())
}

/// Formats a page in troff.
fn page(command: &Command, whole: &Command) -> Result<String, CliError> {
    let failed = |error| CliError::system("write the page", &error);
    let made = Page::new(command.clone());
    // The date is empty: it would be the day of printing.
    let head = format!(".TH {} 1 \"\" \"cutaway {}\" \"cutaway\"\n", title(command), env!("CARGO_PKG_VERSION"));
    let mut page = head.into_bytes();
    made.render_name_section(&mut page).map_err(failed)?;
    made.render_synopsis_section(&mut page).map_err(failed)?;
    made.render_description_section(&mut page).map_err(failed)?;
    let mut options = Vec::new();
    made.render_options_section(&mut options).map_err(failed)?;
    page.extend(with_breaks(&String::from_utf8_lossy(&options)).into_bytes());
    if command.has_subcommands() {
        made.render_subcommands_section(&mut page).map_err(failed)?;
    }
    let mut page = String::from_utf8_lossy(&page).into_owned();
    // Literal lines: clap_mangen would make running text of them.
    if let Some(examples) = command.get_after_help() {
        let lines = examples.to_string();
        let lines = lines.strip_prefix("Examples:\n").unwrap_or(&lines);
        // With the usual indent of 7 columns, a line of 80 columns in `--help` would be longer here.
        page.push_str(".SH EXAMPLES\n.nf\n.in 2n\n");
        for line in lines.lines() {
            page.push_str(&literal(line.strip_prefix("  ").unwrap_or(line)));
        }
        page.push_str(".fi\n");
    }
    if command.get_name() == "peek" {
        page.push_str(&keys());
    }
    page.push_str(
        ".SH EXIT STATUS\n0 on success, 1 on failure (one line on stderr says what failed, why, and what to do), 2 on \
         wrong usage.\n\
         .SH SIGNALS\nOn the first SIGINT, SIGTERM or SIGHUP, trace and run detach all programs, print their summary and \
         exit. compare and peek --watch clean up and exit. The first signal ends the other commands at once. The second \
         signal ends any command of cutaway at once, and kills a COMMAND that still runs. A shell then shows the exit \
         status 128 + the number of the signal. If a signal was ignored when cutaway started (under nohup, for example), \
         it stays ignored.\n\
         .SH OUTPUT FILES\nIf the output file is an existing regular file, a complete new file replaces it. The new file \
         gets the mode of the old one, and its owner and group if that is permitted. On failure, the old file is \
         unchanged. A symbolic link is refused. FIFOs, character devices, /dev/stdout and /dev/fd/N are written \
         to.\n\
         .SH ENVIRONMENT\n.TP\nRUST_LOG\nWhat is logged on stderr: warn (default), info, debug or trace; also for one \
         part of cutaway, as in RUST_LOG=cutaway=debug. With debug, the verifier's log of a refused program is printed. It \
         has priority over \\-\\-verbose.\n.TP\nNO_COLOR\nIf set and not empty, results have no colors, unless \
         \\-\\-color says otherwise.\n.TP\nCOLUMNS\nThe width of the output; by default that of the terminal, or 80.\n",
    );
    let others = std::iter::once(whole).chain(documented(whole)).filter(|other| title(other) != title(command));
    let others: Vec<_> = others.map(|other| format!("\\fB{}\\fR(1)", title(other).replace('-', "\\-"))).collect();
    page.push_str(&format!(".SH SEE ALSO\n{}\n", others.join(", ")));
    Ok(ascii(&page))
}

/// Puts each line `value: meaning` on a line of its own: troff fills lines, unlike `--help`.
fn with_breaks(options: &str) -> String {
    let lines = options.lines().map(|line| format!("{}{line}\n", if is_meaning(line) { ".br\n" } else { "" }));
    lines.collect()
}

/// Replaces characters other than ASCII by their troff names.
fn ascii(page: &str) -> String {
    let mut made = String::with_capacity(page.len());
    for character in page.chars() {
        match character {
            plain if plain.is_ascii() => made.push(plain),
            other => made.push_str(&format!("\\[u{:04X}]", u32::from(other))),
        }
    }
    made
}

/// Escapes a line so that troff prints it literally.
fn literal(line: &str) -> String {
    let line = line.replace('\\', "\\e").replace('-', "\\-").replace('\'', "\\(aq");
    // A dot at the beginning would start a request.
    let guard = if line.starts_with('.') { "\\&" } else { "" };
    format!("{guard}{line}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_are_escaped() {
        assert_eq!(literal(".so /etc/passwd"), "\\&.so /etc/passwd\n");
        assert_eq!(literal("a 'b' --c \\"), "a \\(aqb\\(aq \\-\\-c \\e\n");
    }

    #[test]
    fn meanings_of_values_are_lines() {
        let text = "Output:\ntext (default): a b\nperf\\-heap: c\nThe others: d\n";
        assert_eq!(with_breaks(text), "Output:\n.br\ntext (default): a b\n.br\nperf\\-heap: c\nThe others: d\n");
    }

    #[test]
    fn other_characters_have_names() {
        assert_eq!(ascii("µs …"), "\\[u00B5]s \\[u2026]");
    }

    #[test]
    fn each_command_has_a_page() {
        let mut whole = <crate::Arguments as clap::CommandFactory>::command();
        whole.build();
        for command in documented(&whole) {
            let page = page(command, &whole).unwrap();
            assert!(page.contains(".SH EXAMPLES\n.nf\n"), "{}", command.get_name());
            assert!(page.contains(&format!("cutaway\\-{}", command.get_name())), "{page}");
        }
    }
}
