//! The command, and in a guest process 1.

use std::process::ExitCode;

fn main() -> ExitCode {
    if cutaway_vm::guest::is_init() {
        cutaway_vm::guest::main();
    }
    cutaway_vm::cli::main()
}
