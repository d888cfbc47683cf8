//! Finds what the word at the cursor is: a subcommand, an option, a value, or a part of COMMAND. The definition of the
//! command line by clap is the only source.

use clap::{Arg, ArgAction, Command};

/// A command line with a cursor.
pub(super) struct Line<'c> {
    pub(super) whole: &'c Command,
    /// The command or subcommand whose arguments the cursor is at.
    pub(super) command: &'c Command,
    /// The arguments on the line, with the values that they have.
    given: Vec<(&'c Arg, Option<String>)>,
    pub(super) wanted: Wanted<'c>,
}

/// The meaning of the word at the cursor.
#[derive(Debug)]
pub(super) enum Wanted<'c> {
    Subcommand,
    Option,
    /// A value, which begins after `prefix`: the part of the word before it.
    Value {
        arg: &'c Arg,
        prefix: String,
    },
    /// A word of COMMAND, which begins at word `first`.
    Command {
        first: usize,
    },
    Nothing,
}

/// The state between two words.
struct State<'c> {
    command: &'c Command,
    given: Vec<(&'c Arg, Option<String>)>,
    /// The option whose value comes next.
    open: Option<&'c Arg>,
    positionals: usize,
    /// The index of the first word after `--`.
    escaped: Option<usize>,
}

impl<'c> Line<'c> {
    /// Reads the words after the program's name. The cursor is at the end of word `at`; words after it may follow.
    /// `whole` must be built.
    pub(super) fn read(whole: &'c Command, words: &[String], at: usize) -> Self {
        let before = words.get(..at).unwrap_or(words);
        let current = words.get(at).map_or("", String::as_str);
        let mut state = State::of(whole, before);
        let wanted = state.wanted(current);
        let command = state.command;
        // An object may be named after the cursor. The word at the cursor counts only as a value.
        let is_value = matches!(wanted, Wanted::Value { .. });
        let others = words.iter().enumerate().filter(|(index, _)| is_value || *index != at);
        state = State::of(whole, &others.map(|(_, word)| word.clone()).collect::<Vec<_>>());
        Self { whole, command, given: state.given, wanted }
    }

    /// Returns the last value of an argument of this id.
    pub(super) fn value(&self, id: &str) -> Option<&str> {
        self.given.iter().rev().find(|(arg, _)| arg.get_id() == id)?.1.as_deref()
    }

    /// Returns whether an option may be added: it is not hidden, and can be repeated if it is given already.
    pub(super) fn may_add(&self, arg: &Arg) -> bool {
        let repeats = matches!(arg.get_action(), ArgAction::Append | ArgAction::Count);
        !arg.is_hide_set() && (repeats || !self.given.iter().any(|(given, _)| given.get_id() == arg.get_id()))
    }
}

impl<'c> State<'c> {
    fn of(whole: &'c Command, words: &[String]) -> Self {
        let mut state = Self { command: whole, given: Vec::new(), open: None, positionals: 0, escaped: None };
        for (index, word) in words.iter().enumerate() {
            if state.escaped.is_none() {
                state.take(word, index);
            }
        }
        state
    }

    /// Takes a word before the cursor.
    fn take(&mut self, word: &str, index: usize) {
        let is_option = is_option(word);
        if let Some(arg) = self.open.take().filter(|_| !is_option) {
            self.given.push((arg, Some(word.to_owned())));
            self.open = takes_many(arg).then_some(arg);
        } else if word == "--" {
            self.escaped = Some(index + 1);
        } else if let Some((arg, value)) = option(self.command, word) {
            self.open = (value.is_none() && takes_next_word(arg)).then_some(arg);
            self.given.push((arg, value.map(|(_, value)| value.to_owned())));
        } else if is_option {
            // An unknown option: the command will refuse it.
        } else if let Some(command) = self.command.find_subcommand(word) {
            (self.command, self.positionals) = (command, 0);
        } else if let Some(arg) = self.positional() {
            self.given.push((arg, Some(word.to_owned())));
            self.positionals += usize::from(!takes_many(arg));
        }
    }

    fn positional(&self) -> Option<&'c Arg> {
        self.command.get_positionals().filter(|arg| !arg.is_last_set()).nth(self.positionals)
    }

    fn wanted(&self, current: &str) -> Wanted<'c> {
        if let Some(first) = self.escaped {
            let is_command = self.command.get_positionals().any(Arg::is_last_set);
            return if is_command { Wanted::Command { first } } else { Wanted::Nothing };
        }
        if let Some(arg) = self.open.filter(|_| !is_option(current)) {
            return Wanted::Value { arg, prefix: String::new() };
        }
        if current.starts_with('-') {
            return match option(self.command, current) {
                Some((arg, Some((at, _)))) => {
                    Wanted::Value { arg, prefix: current.get(..at).unwrap_or_default().to_owned() }
                }
                _ => Wanted::Option,
            };
        }
        if self.command.has_subcommands() {
            return Wanted::Subcommand;
        }
        match self.positional() {
            Some(arg) => Wanted::Value { arg, prefix: String::new() },
            None if current.is_empty() => Wanted::Option,
            None => Wanted::Nothing,
        }
    }
}

fn is_option(word: &str) -> bool {
    word.starts_with('-') && word != "-"
}

/// Returns the option of a word, and the value that the word has, with its index: `--pid=1`, `-p1` or `-qp1`.
fn option<'c, 'w>(command: &'c Command, word: &'w str) -> Option<(&'c Arg, Option<(usize, &'w str)>)> {
    let options = || command.get_arguments().filter(|arg| !arg.is_positional());
    let after = |at: usize| Some((at, word.get(at..)?));
    if let Some(long) = word.strip_prefix("--") {
        let name = long.split_once('=').map_or(long, |(name, _)| name);
        let is_named = |arg: &&Arg| {
            arg.get_long() == Some(name) || arg.get_all_aliases().is_some_and(|aliases| aliases.contains(&name))
        };
        let value = (name.len() < long.len()).then(|| after("--".len() + name.len() + 1)).flatten();
        return options().find(is_named).filter(|arg| value.is_none() || takes_value(arg)).map(|arg| (arg, value));
    }
    let mut found = None;
    for (at, letter) in word.char_indices().skip(1) {
        let arg = options().find(|arg| arg.get_short() == Some(letter))?;
        let end = at + letter.len_utf8();
        if takes_value(arg) && end < word.len() {
            let end = end + usize::from(word.get(end..).is_some_and(|rest| rest.starts_with('=')));
            return Some((arg, after(end)));
        }
        found = Some((arg, None));
    }
    found
}

fn takes_value(arg: &Arg) -> bool {
    arg.get_num_args().is_some_and(|count| count.takes_values())
}

fn takes_next_word(arg: &Arg) -> bool {
    takes_value(arg) && !arg.is_require_equals_set()
}

/// Returns whether several words follow one mention of the argument: `--merge a.info b.info`.
fn takes_many(arg: &Arg) -> bool {
    arg.get_num_args().is_some_and(|count| count.max_values() > 1)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    /// Describes what the last of these words is, and what else is given.
    fn wanted(words: &str) -> String {
        let mut whole = crate::Arguments::command();
        whole.build();
        let words: Vec<_> = words.split(' ').map(str::to_owned).collect();
        let at = words.iter().position(|word| word.ends_with('|')).unwrap_or(words.len() - 1);
        let words: Vec<_> = words.iter().map(|word| word.trim_end_matches('|').to_owned()).collect();
        let line = Line::read(&whole, &words, at);
        let name = line.command.get_name();
        match &line.wanted {
            Wanted::Value { arg, prefix } => format!("{name} {}={prefix}", arg.get_id()),
            Wanted::Command { first } => format!("{name} command from {first}"),
            other => format!("{name} {other:?}"),
        }
    }

    #[test]
    fn word_at_the_cursor_is_recognized() {
        for (words, expected) in [
            ("", "cutaway Subcommand"),
            ("tr", "cutaway Subcommand"),
            ("--color", "cutaway Option"),
            ("--color ", "cutaway color="),
            ("help tr", "help Subcommand"),
            ("trace ", "trace Option"),
            ("trace --", "trace Option"),
            ("trace --transport r", "trace transport="),
            ("trace --transport=r", "trace transport=--transport="),
            ("trace -p", "trace Option"),
            ("trace -p ", "trace pid="),
            ("trace -p47", "trace pid=-p"),
            ("trace -qp=47", "trace pid=-qp="),
            ("trace --quiet=x", "trace Option"),
            // A value of these two needs `=`, so the next word is something else.
            ("trace --draw ", "trace Option"),
            ("trace --draw=a", "trace draw=--draw="),
            ("trace --unknown ", "trace Option"),
            ("trace --color always tr", "trace Nothing"),
            ("trace --pid 1 -- ls -", "trace command from 4"),
            ("run ", "run object="),
            ("run a.o ", "run Option"),
            ("run - --program ", "run programs="),
            ("run --built-in ring -- ", "run command from 4"),
            ("cover --merge a b", "cover merge="),
            ("cover --merge a --", "cover Option"),
            ("completions z", "completions shell="),
            ("completions zsh -- a", "completions Nothing"),
        ] {
            assert_eq!(wanted(words), expected, "{words:?}");
        }
    }

    #[test]
    fn arguments_after_the_cursor_are_read() {
        let mut whole = crate::Arguments::command();
        whole.build();
        let words = ["run", "--program", "", "a.o"].map(str::to_owned);
        let line = Line::read(&whole, &words, 2);
        assert_eq!((line.value("object"), line.value("programs")), (Some("a.o"), Some("")));
    }

    #[test]
    fn option_is_offered_once_unless_it_repeats() {
        let mut whole = crate::Arguments::command();
        whole.build();
        let words = ["trace", "--quiet", "--pid", "1", "--"].map(str::to_owned);
        let line = Line::read(&whole, &words, 4);
        let may = |id: &str| line.command.get_arguments().find(|arg| arg.get_id() == id).map(|arg| line.may_add(arg));
        assert_eq!([may("quiet"), may("pid"), may("wide"), may("none")], [Some(false), Some(true), Some(true), None]);
    }
}
