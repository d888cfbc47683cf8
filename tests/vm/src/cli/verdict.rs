//! The result of a run, as printed, as a JUnit report, and as an exit status.

use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;

use crate::error::{Error, Result};
use crate::interrupt;
use crate::kernel::NO_KERNEL;
use crate::report::{Matrix, junit, lines, table};

pub(super) fn write_junit(matrix: &Matrix, path: &Path) -> Result<()> {
    std::fs::write(path, junit::xml(matrix)?).map_err(Error::file("write", path))
}

/// Prints the failures, the table if it is wanted, and the result.
pub(super) fn print(matrix: &Matrix, with_table: bool) {
    let mut failures = matrix.guests.iter().flat_map(lines::failures).peekable();
    if failures.peek().is_some() {
        println!();
        failures.for_each(|text| print!("{text}"));
        println!();
    }
    if with_table {
        println!("{}", table::draw(matrix, std::io::stdout().is_terminal()));
    }
    print!("{}", lines::verdict(matrix));
}

pub(super) fn exit_code(matrix: &Matrix, transparent: bool) -> ExitCode {
    if interrupt::seen() {
        return ExitCode::from(130);
    }
    if transparent
        && let [guest] = matrix.guests.as_slice()
        && let Some(code) = guest.exit_code
        && guest.end == crate::report::End::Clean
    {
        return ExitCode::from(u8::try_from(code & 0xff).unwrap_or(1));
    }
    if matrix.guests.is_empty() && matrix.problems.is_empty() && matrix.absent.iter().all(|(_, _, named)| !named) {
        return ExitCode::from(NO_KERNEL);
    }
    if matrix.succeeded() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
