//! The OBJECT argument: a file, or a built-in object.

use std::{
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
};

use clap::{Args, ValueEnum};
use cutaway::{Error, Object};
use cutaway_programs::getaddrinfo::Transport;

use crate::error::CliError;

/// The arguments that name an object.
#[derive(Debug, Args)]
pub(crate) struct ObjectArg {
    /// The object file, as clang, rustc or this project's assembler writes it
    #[arg(required_unless_present = "built_in", conflicts_with = "built_in")]
    object: Option<PathBuf>,

    /// One of the objects that `cutaway trace` loads
    #[arg(long, value_enum, value_name = "TRANSPORT")]
    built_in: Option<BuiltIn>,
}

/// The built-in objects, by transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum BuiltIn {
    /// A BPF ring buffer
    Ring,
    /// A perf buffer, from a per-CPU array
    PerfHeap,
    /// A perf buffer, from the stack
    PerfStack,
}

impl ObjectArg {
    /// Reads and parses the object. Returns it with its name for display.
    pub(crate) fn read(&self) -> Result<(String, Object), CliError> {
        self.read_by(Object::parse)
    }

    /// Like [`Self::read`], but accepts either byte order.
    pub(crate) fn read_foreign(&self) -> Result<(String, Object), CliError> {
        self.read_by(Object::parse_any_endian)
    }

    fn read_by(&self, parse: fn(&[u8]) -> Result<Object, Error>) -> Result<(String, Object), CliError> {
        let (shown, bytes) = self.bytes()?;
        let object = parse(&bytes).map_err(|error| match error {
            // Its text begins with the same words.
            Error::Object { why } => CliError::new(format!("cannot read `{shown}`: {why}")),
            error => CliError::new(format!("cannot read `{shown}`: {error}")),
        })?;
        Ok((shown, object))
    }

    fn bytes(&self) -> Result<(String, Vec<u8>), CliError> {
        if let Some(path) = &self.object {
            let shown = path.display().to_string();
            return read_whole(path, &format!("read `{shown}`")).map(|bytes| (shown, bytes));
        }
        let (name, transport) = match self.built_in {
            None | Some(BuiltIn::Ring) => ("ring", Transport::Ring),
            Some(BuiltIn::PerfHeap) => ("perf-heap", Transport::PerfHeap),
            Some(BuiltIn::PerfStack) => ("perf-stack", Transport::PerfStack),
        };
        let bytes = transport.object().map_err(|error| CliError::new(format!("cannot build the object: {error}")))?;
        Ok((format!("built-in {name}"), bytes))
    }
}

/// Bytes read from a device or a pipe, at most: it may never end, and no object or BTF is nearly as long.
const LONGEST: u64 = 64 << 20;

/// Bytes of a regular file, at most: initialized data can be as large as a map's value, and the kernel allows up to
/// `INT_MAX`.
const LONGEST_FILE: u64 = 2 << 30;

/// Reads a file that holds an object or BTF. `attempt` says in an error what it was read for.
pub(crate) fn read_whole(path: &Path, attempt: &str) -> Result<Vec<u8>, CliError> {
    let failed = |error: std::io::Error| CliError::system(attempt, &error);
    let file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    let (most, length) = if metadata.is_file() { (LONGEST_FILE, metadata.len()) } else { (LONGEST, 0) };
    let too_long =
        || CliError::new(format!("cannot {attempt}: it has more than {} MiB, which no object has", most >> 20));
    if length > most {
        return Err(too_long());
    }
    let mut bytes = Vec::new();
    // A sparse file may claim more than there is memory.
    bytes.try_reserve(length as usize).map_err(|error| failed(error.into()))?;
    match file.take(most + 1).read_to_end(&mut bytes).map_err(failed)? as u64 {
        read if read > most => Err(too_long()),
        _ => Ok(bytes),
    }
}
