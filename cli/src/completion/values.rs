//! Finds the values that an argument may have: by its definition, or from the machine or the object on the line.

use std::path::Path;

use clap::{Arg, ValueHint};

use super::{
    candidate::{Candidate, commands},
    line::Line,
    machine, object_names,
};

/// The values of an argument.
#[derive(Debug)]
pub(super) enum Values {
    Words(Vec<Candidate>),
    /// The shell itself completes files best: it knows `~` and how to quote.
    Files,
    Directories,
}

/// Where the values of an argument come from that its definition does not list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Files,
    Directories,
    Commands,
    Processes,
    ProcessNames,
    Interfaces,
    Users,
    BufferIds,
    BufferNames,
    Programs,
    Maps,
    Types,
    /// `NAME=VALUE`: the names, then nothing.
    ProgramEquals,
    FunctionEquals,
    VariableEquals,
    MapEquals,
    /// `[MAP=]TYPE`
    TypeOfMap,
    /// `PROGRAM[=FILE]`
    ProgramAndFile,
    /// A number, a duration, a pattern or an expression: it is typed.
    Typed,
}

/// The sources, by the argument's id. A test checks that each argument with a value has one, or a definition that
/// lists its values.
const SOURCES: [(&str, Source); 37] = [
    ("buffer", Source::Typed),
    ("cgroup", Source::Directories),
    ("comm", Source::ProcessNames),
    ("command", Source::Commands),
    ("count", Source::Typed),
    ("decode_as", Source::Types),
    ("directory", Source::Directories),
    ("draw", Source::Files),
    ("duration", Source::Typed),
    ("fail_above", Source::Typed),
    ("filter", Source::Typed),
    ("frequency", Source::Typed),
    ("host", Source::Typed),
    ("id", Source::BufferIds),
    ("interface", Source::Interfaces),
    ("interval", Source::Typed),
    ("library", Source::Files),
    ("maps", Source::Maps),
    ("max_entries", Source::MapEquals),
    ("min_latency", Source::Typed),
    ("module", Source::Typed),
    ("name", Source::BufferNames),
    ("object", Source::Files),
    ("pid", Source::Processes),
    ("pin", Source::Files),
    ("pins", Source::Directories),
    ("programs", Source::Programs),
    ("records", Source::Typed),
    ("sections", Source::FunctionEquals),
    ("settings", Source::VariableEquals),
    ("speed", Source::Typed),
    ("targets", Source::ProgramEquals),
    ("test_runs", Source::ProgramAndFile),
    ("token", Source::Directories),
    ("types", Source::TypeOfMap),
    ("uid", Source::Users),
    ("verifier_log", Source::Files),
];

fn source(arg: &Arg) -> Option<Source> {
    let source = SOURCES.iter().find(|(id, _)| arg.get_id() == id).map(|(_, source)| *source);
    source.or_else(|| match arg.get_value_hint() {
        ValueHint::AnyPath | ValueHint::FilePath | ValueHint::ExecutablePath => Some(Source::Files),
        ValueHint::DirPath => Some(Source::Directories),
        _ => None,
    })
}

/// Returns the values that begin with `typed`, the part of the word after `prefix`. Words are returned with the prefix;
/// for files, the prefix is the part of the word before the path.
pub(super) fn values(line: &Line<'_>, arg: &Arg, prefix: &str, typed: &str) -> (String, Values) {
    let (prefix, typed) = after_delimiter(arg, prefix, typed);
    let of_definition = arg.get_possible_values();
    let words = if of_definition.is_empty() {
        match of_source(line, source(arg), typed) {
            (Values::Words(words), _) => words,
            (others, name) => return (prefix + name, others),
        }
    } else {
        let listed = of_definition.iter().filter(|value| !value.is_hide_set());
        listed
            .map(|value| {
                Candidate::new(value.get_name(), value.get_help().map(ToString::to_string).unwrap_or_default())
            })
            .collect()
    };
    let begin = words.into_iter().filter(|candidate| candidate.word.starts_with(typed));
    let mut words: Vec<_> =
        begin.map(|Candidate { word, meaning }| Candidate { word: format!("{prefix}{word}"), meaning }).collect();
    // Numbers by size.
    let number = |candidate: &Candidate| candidate.word.get(prefix.len()..).and_then(|word| word.parse::<u32>().ok());
    words.sort_by(|one, other| (number(one), one).cmp(&(number(other), other)));
    words.dedup_by(|one, other| one.word == other.word);
    (prefix, Values::Words(words))
}

/// Moves the complete values of a list from the typed text to the prefix: `1,2` is `1,` and `2`.
fn after_delimiter<'t>(arg: &Arg, prefix: &str, typed: &'t str) -> (String, &'t str) {
    let split =
        arg.get_value_delimiter().and_then(|delimiter| typed.rfind(delimiter).map(|at| at + delimiter.len_utf8()));
    let (done, typed) = typed.split_at_checked(split.unwrap_or(0)).unwrap_or(("", typed));
    (format!("{prefix}{done}"), typed)
}

/// Returns the values of a source. Files have the part of `typed` before their path, too.
fn of_source<'t>(line: &Line<'_>, source: Option<Source>, typed: &'t str) -> (Values, &'t str) {
    let object = || object_names::named(line.value("object"), line.value("built_in"));
    let equals = |names: Vec<Candidate>| {
        names.into_iter().map(|name| Candidate { word: name.word + "=", ..name }).collect::<Vec<_>>()
    };
    let words = match source {
        Some(Source::Files) => return (Values::Files, ""),
        Some(Source::Directories) => return (Values::Directories, ""),
        Some(Source::ProgramAndFile) if typed.contains('=') => {
            let at = typed.find('=').map_or(0, |at| at + 1);
            return (Values::Files, typed.get(..at).unwrap_or_default());
        }
        Some(Source::Processes) => machine::processes(),
        Some(Source::ProcessNames) => machine::process_names(),
        Some(Source::Interfaces) => machine::interfaces(),
        Some(Source::Users) => machine::users(),
        Some(Source::BufferIds) => machine::buffers(Candidate::new),
        Some(Source::BufferNames) => machine::buffers(|id, name| Candidate::new(name, format!("map {id}"))),
        Some(Source::Programs | Source::ProgramAndFile) => object().programs(),
        Some(Source::Maps) => object().maps(),
        Some(Source::Types) => object_names::of_file(line.value("btf").map(Path::new)).types(),
        Some(Source::ProgramEquals) => equals(object().programs()),
        Some(Source::FunctionEquals) => equals(object().functions()),
        Some(Source::VariableEquals) => equals(object().variables()),
        Some(Source::MapEquals) => equals(object().maps()),
        Some(Source::TypeOfMap) => {
            let object = object();
            // `cutaway bindgen --type` takes no map.
            let maps = if line.command.get_name() == "bindgen" { Vec::new() } else { equals(object.buffers()) };
            let map = typed.find('=').and_then(|at| typed.get(..=at)).unwrap_or_default();
            let of_map = |ty: Candidate| Candidate { word: format!("{map}{}", ty.word), ..ty };
            maps.into_iter().chain(object.types().into_iter().map(of_map)).collect()
        }
        Some(Source::Commands) => commands(line.whole),
        Some(Source::Typed) | None => Vec::new(),
    };
    (Values::Words(words), "")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::CommandFactory;

    use super::*;

    #[test]
    fn each_argument_with_a_value_has_a_source() {
        let mut whole = crate::Arguments::command();
        whole.build();
        let mut used = BTreeSet::new();
        let shown = whole.get_subcommands().filter(|command| !command.is_hide_set());
        for command in std::iter::once(&whole).chain(shown) {
            for arg in command.get_arguments().filter(|arg| !arg.is_last_set() && !arg.is_hide_set()) {
                let takes_value = arg.get_num_args().is_some_and(|count| count.takes_values());
                if takes_value && arg.get_possible_values().is_empty() {
                    let (command, id) = (command.get_name(), arg.get_id().as_str());
                    assert!(source(arg).is_some(), "{command}: {id} has no source");
                    used.insert(id.to_owned());
                }
            }
        }
        for (id, _) in SOURCES {
            assert!(used.contains(id), "no argument has the id {id}");
        }
    }
}
