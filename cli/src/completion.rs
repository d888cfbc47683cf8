//! Completion of words in a shell: `cutaway completions SHELL` prints the shell's script, and the script asks
//! `cutaway complete` for the candidates at each press of TAB.
//!
//! ```text
//!     complete.{bash,zsh,fish}   the scripts: the shell's words ──▶ `cutaway complete` ──▶ the shell's candidates
//!     candidate.rs               a word and its meaning
//!     line.rs                    what the word at the cursor is, by clap's definition of the command line
//!     values.rs                  the values of an argument
//!     machine.rs                 processes, interfaces, users, rings
//!     object_names.rs            programs, maps, variables and types of the object on the line
//! ```
//!
//! The first line of `cutaway complete` says what the word is. The scripts complete files and other commands by
//! themselves, which the shell does best:
//!
//! | line | the word is |
//! | --- | --- |
//! | `words` | one of the next lines: the word, a tab, what it means |
//! | `files PREFIX`, `directories PREFIX` | PREFIX, followed by a path |
//! | `command N` | part of another command, which begins at word N |

mod candidate;
mod line;
mod machine;
mod object_names;
mod values;

use std::ffi::OsString;

use clap::{Arg, Args, Command, ValueEnum};

use self::{
    candidate::{Candidate, commands, help},
    line::{Line, Wanted},
    values::{Values, values},
};
use crate::{error::CliError, terminal};

const EXAMPLES: &str = "\
Examples:
  source <(cutaway completions bash)    for bash, in this shell only

  In every later shell:
  cutaway completions bash | install -Dm 644 /dev/stdin \\
    ~/.local/share/bash-completion/completions/cutaway
  cutaway completions zsh | install -Dm 644 /dev/stdin \"${fpath[1]}/_cutaway\"
  cutaway completions fish | install -Dm 644 /dev/stdin \\
    ~/.config/fish/completions/cutaway.fish

  Without the package bash-completion, in every later bash:
  echo 'source <(cutaway completions bash)' >> ~/.bashrc";

/// The arguments of `cutaway completions`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Completions {
    /// Shell to complete words for
    ///
    /// TAB then completes commands, options and their values: processes,
    /// interfaces, rings, and the names in the object on the line. The ids
    /// and names of rings are completed for root only.
    #[arg(value_enum, verbatim_doc_comment)]
    shell: Shell,
}

/// The shells whose scripts the tests run.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

/// The arguments of `cutaway complete`, which the scripts run.
#[derive(Debug, Args)]
pub(crate) struct Complete {
    /// Index of the word at the cursor
    #[arg(long, value_name = "INDEX")]
    at: usize,

    /// Words after the program's name
    #[arg(last = true, value_name = "WORD")]
    words: Vec<OsString>,
}

/// Prints the script.
pub(crate) fn script(arguments: &Completions) -> Result<(), CliError> {
    terminal::print(match arguments.shell {
        Shell::Bash => include_str!("completion/complete.bash"),
        Shell::Zsh => include_str!("completion/complete.zsh"),
        Shell::Fish => include_str!("completion/complete.fish"),
    })
}

/// Prints the candidates for the word at the cursor.
pub(crate) fn complete(arguments: &Complete, mut whole: Command) -> Result<(), CliError> {
    whole.build();
    let words: Vec<_> = arguments.words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let line = Line::read(&whole, &words, arguments.at);
    let current = words.get(arguments.at).map_or("", String::as_str);
    let (prefix, values) = match &line.wanted {
        Wanted::Nothing => return Ok(()),
        Wanted::Command { first } => return terminal::print(&format!("command {first}\n")),
        Wanted::Subcommand => (String::new(), Values::Words(commands(line.command))),
        Wanted::Option => (String::new(), Values::Words(options(&line))),
        Wanted::Value { arg, prefix } => values(&line, arg, prefix, current.get(prefix.len()..).unwrap_or_default()),
    };
    terminal::print(&match values {
        Values::Files => format!("files {prefix}\n"),
        Values::Directories => format!("directories {prefix}\n"),
        Values::Words(words) => {
            let begin = words.iter().filter(|candidate| candidate.word.starts_with(current));
            std::iter::once("words \n".to_owned()).chain(begin.map(row)).collect()
        }
    })
}

/// Returns the options of the line's command: the long ones, then the short ones.
fn options(line: &Line<'_>) -> Vec<Candidate> {
    let addable = || line.command.get_arguments().filter(|arg| line.may_add(arg));
    let long = addable().filter_map(|arg| Some((arg, format!("--{}", arg.get_long()?))));
    let short = addable().filter_map(|arg| Some((arg, format!("-{}", arg.get_short()?))));
    let candidate = |(arg, word): (&Arg, String)| Candidate::new(word, help(arg.get_help()));
    long.chain(short).map(candidate).collect()
}

/// Formats a candidate on a line.
fn row(candidate: &Candidate) -> String {
    let Candidate { word, meaning } = candidate;
    // A name with a newline or an escape sequence cannot be typed.
    if terminal::one_line(word) != *word {
        return String::new();
    }
    let meaning = terminal::one_line(meaning.lines().next().unwrap_or_default());
    format!("{word}\t{}\n", meaning.trim_end())
}
