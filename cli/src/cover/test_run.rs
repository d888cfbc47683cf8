//! `--test-run NAME=DATA`: runs a program once, without an event.

use std::path::Path;

use cutaway::{Loaded, ProgramType as T, TestRun};

use crate::{
    decode, diagnostics,
    error::{CliError, listed},
    object_arg::read_whole_as,
};

/// The default packet. The kernel requires an Ethernet header of 14 bytes.
const PACKET: usize = 64;

/// One run of a program.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) program: String,
    input: Option<Vec<u8>>,
}

/// Checks the form `NAME` or `NAME=DATA`.
pub(super) fn form(text: &str) -> Result<String, String> {
    match text.split_once('=') {
        Some((program, input)) if program.is_empty() || input.is_empty() => {
            Err("expected NAME, NAME=FILE or NAME=hex:0a0b".to_owned())
        }
        None if text.is_empty() => Err("expected the name of a program".to_owned()),
        _ => Ok(text.to_owned()),
    }
}

impl Request {
    /// Reads the input of a run.
    pub(super) fn read(text: &str) -> Result<Self, CliError> {
        let (program, input) = match text.split_once('=') {
            Some((program, input)) => (program, Some(bytes(program, input)?)),
            None => (text, None),
        };
        Ok(Self { program: program.to_owned(), input })
    }

    /// Runs the program, and prints its return value on stderr.
    pub(super) fn run(&self, loaded: &Loaded) -> Result<(), CliError> {
        let name = &self.program;
        let Some(program) = loaded.programs().find(|program| program.name() == name) else {
            let names: Vec<_> = loaded.programs().map(|program| format!("`{}`", program.name())).collect();
            return Err(CliError::new(format!("cannot run `{name}`: the loaded programs are {}", listed(&names))));
        };
        let outcome = program.test_run(&input(program.spec().section.program_type, self.input.clone()))?;
        diagnostics::say(&format!("`{name}` returned {}", outcome.value));
        Ok(())
    }
}

fn bytes(program: &str, input: &str) -> Result<Vec<u8>, CliError> {
    match input.strip_prefix("hex:") {
        Some(digits) => decode::from_hex(digits).ok_or_else(|| {
            CliError::usage(format!("--test-run {program}={input}: hex: requires two hexadecimal digits for each byte"))
        }),
        None => {
            let attempt = format!("read the input of `{program}` from `{input}`");
            read_whole_as(Path::new(input), &attempt, "input of a program")
        }
    }
}

/// Returns the input in the form that programs of this type take.
fn input(kind: T, given: Option<Vec<u8>>) -> TestRun {
    match kind {
        T::SYSCALL | T::RAW_TRACEPOINT | T::RAW_TRACEPOINT_WRITABLE | T::STRUCT_OPS | T::SK_LOOKUP | T::TRACING => {
            TestRun { context: given.unwrap_or_default(), ..TestRun::default() }
        }
        _ => TestRun { data: given.unwrap_or_else(|| vec![0; PACKET]), ..TestRun::default() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn input_is_a_file_or_hexadecimal() {
        let request =
            |text| Request::read(text).map(|request| (request.program, request.input)).map_err(|e| e.to_string());
        assert_eq!(request("f"), Ok(("f".to_owned(), None)));
        assert_eq!(request("f=hex:0a0b"), Ok(("f".to_owned(), Some(vec![10, 11]))));
        assert!(request("f=hex:0").unwrap_err().contains("two hexadecimal digits"));
        assert!(request("f=/nonexistent").unwrap_err().contains("ENOENT"));
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), [1, 2]).unwrap();
        let text = format!("f={}", file.path().display());
        assert_eq!(request(&text), Ok(("f".to_owned(), Some(vec![1, 2]))));
        for wrong in ["", "=f", "f="] {
            assert!(form(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn input_is_a_packet_or_a_context() {
        let (packet, context) = (input(T::XDP, None), input(T::SYSCALL, Some(vec![1])));
        assert_eq!((packet.data.len(), packet.context.len()), (PACKET, 0));
        assert_eq!((context.data.len(), context.context), (0, vec![1]));
    }
}
