//! Prints help, version and usage errors of clap.

use std::{
    ffi::OsString,
    io::{ErrorKind, Write},
    process::ExitCode,
};

use clap::error::{ContextKind, ContextValue, ErrorKind as Wrong};

use crate::{diagnostics, error::CliError, outlet, terminal};

/// Prints help and version on stdout, errors of usage on stderr. Returns the exit status.
pub(crate) fn print(mut message: clap::Error) -> ExitCode {
    let words: Vec<_> = std::env::args_os().skip(1).collect();
    let text: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
    if let Some(hint) = hint(&message, &text.iter().map(AsRef::as_ref).collect::<Vec<_>>()) {
        message.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![hint.into()]));
    }
    // The error quotes the command line, with colors. If an argument has a control character, everything is printed
    // without colors, and control characters are escaped.
    let has_controls = |word: &OsString| {
        let word = word.to_string_lossy();
        terminal::clean(&word) != word
    };
    let printed = if message.use_stderr() && words.iter().any(has_controls) {
        outlet::stderr().write_all(terminal::clean(&message.render().to_string()).as_bytes())
    } else {
        message.print()
    };
    match printed {
        Err(error) if !message.use_stderr() && error.kind() != ErrorKind::BrokenPipe => {
            diagnostics::fail(&CliError::system("write to stdout", &error));
            ExitCode::FAILURE
        }
        // If stderr is closed, there is nowhere left to report to.
        _ => u8::try_from(message.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from),
    }
}

/// Returns a hint for two usual mistakes: a COMMAND without `--` before it, and no object. `words` are the arguments,
/// without the program's name.
fn hint(error: &clap::Error, words: &[&str]) -> Option<String> {
    let command = words.iter().find(|word| !word.starts_with('-'))?;
    let is_built_in = words.iter().any(|word| word.starts_with("--built-in"));
    let invalid = match error.get(ContextKind::InvalidArg)? {
        ContextValue::String(invalid) => invalid.as_str(),
        ContextValue::Strings(invalid) => invalid.first()?,
        _ => return None,
    };
    let before = match (*command, is_built_in) {
        ("trace", _) => "cutaway trace",
        ("run", false) => "cutaway run OBJECT",
        ("run", true) => "cutaway run --built-in TRANSPORT",
        _ => "",
    };
    match error.kind() {
        Wrong::UnknownArgument if !before.is_empty() && !invalid.starts_with('-') => {
            // With --built-in, clap has already taken the first word of the command for OBJECT.
            let (shown, is_last) =
                if is_built_in { ("COMMAND", true) } else { (invalid, words.last() == Some(&invalid)) };
            let rest = if is_last { "" } else { " …" };
            Some(format!("put -- before the command: {before} -- {shown}{rest}"))
        }
        Wrong::ArgumentConflict if *command == "run" && is_built_in && !words.contains(&"--") => {
            Some(format!("to run a command, put -- before it: {before} -- COMMAND"))
        }
        Wrong::MissingRequiredArgument if invalid == "<OBJECT>" => {
            Some(format!("without an object file, name a built-in object: cutaway {command} --built-in ring"))
        }
        _ => None,
    }
}
