//! Prints help, version and usage errors of clap.

use std::{
    ffi::OsString,
    io::{ErrorKind, Write},
    process::ExitCode,
};

use crate::{diagnostics, error::CliError, outlet, terminal};

/// Prints help and version on stdout, errors of usage on stderr. Returns the exit status.
pub(crate) fn print(answer: &clap::Error) -> ExitCode {
    // The error quotes the command line, with colors. If an argument has a control character, everything is printed
    // without colors, and control characters are escaped.
    let has_controls = |word: OsString| {
        let word = word.to_string_lossy();
        terminal::clean(&word) != word
    };
    let printed = if answer.use_stderr() && std::env::args_os().any(has_controls) {
        outlet::stderr().write_all(terminal::clean(&answer.render().to_string()).as_bytes())
    } else {
        answer.print()
    };
    match printed {
        Err(error) if !answer.use_stderr() && error.kind() != ErrorKind::BrokenPipe => {
            diagnostics::fail(&CliError::system("write to stdout", &error));
            ExitCode::FAILURE
        }
        // If stderr is closed, there is nowhere left to report to.
        _ => u8::try_from(answer.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from),
    }
}
