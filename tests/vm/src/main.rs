//! The command; in a guest, process 1.

use std::process::ExitCode;

fn main() -> ExitCode {
    cutaway_vm::guest::run_if_init();
    cutaway_vm::cli::main()
}
