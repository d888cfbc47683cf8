//! The object that a command is given: a file, or one of those that are built in.

use std::{
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
};

use clap::{Args, ValueEnum};
use cutaway::{Error, Object};
use cutaway_programs::getaddrinfo::Transport;

use crate::failure::Failure;

/// The arguments that name an object.
#[derive(Debug, Args)]
pub(crate) struct Given {
    /// The object file, as clang, rustc or this project's assembler writes it
    #[arg(required_unless_present = "built_in", conflicts_with = "built_in")]
    object: Option<PathBuf>,

    /// One of the objects that `cutaway trace` loads
    #[arg(long, value_enum, value_name = "TRANSPORT")]
    built_in: Option<BuiltIn>,
}

/// The objects that are built in, by the way their events take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum BuiltIn {
    /// A BPF ring buffer
    Ring,
    /// A perf buffer, from a per-CPU array
    PerfHeap,
    /// A perf buffer, from the stack
    PerfStack,
}

impl Given {
    /// The object, and what it is called.
    pub(crate) fn read(&self) -> Result<(String, Object), Failure> {
        self.read_by(Object::parse)
    }

    /// The same, were it for machines of the other byte order.
    pub(crate) fn read_foreign(&self) -> Result<(String, Object), Failure> {
        self.read_by(Object::parse_foreign)
    }

    fn read_by(&self, parse: fn(&[u8]) -> Result<Object, Error>) -> Result<(String, Object), Failure> {
        let (shown, bytes) = self.bytes()?;
        let object = parse(&bytes).map_err(|error| match error {
            // Its sentence begins with the same words.
            Error::Object { why } => Failure::new(format!("cannot read `{shown}`: {why}")),
            error => Failure::new(format!("cannot read `{shown}`: {error}")),
        })?;
        Ok((shown, object))
    }

    fn bytes(&self) -> Result<(String, Vec<u8>), Failure> {
        if let Some(path) = &self.object {
            let shown = path.display().to_string();
            return read_whole(path, &format!("read `{shown}`")).map(|bytes| (shown, bytes));
        }
        let (name, transport) = match self.built_in {
            None | Some(BuiltIn::Ring) => ("ring", Transport::Ring),
            Some(BuiltIn::PerfHeap) => ("perf-heap", Transport::PerfHeap),
            Some(BuiltIn::PerfStack) => ("perf-stack", Transport::PerfStack),
        };
        let bytes = transport.object().map_err(|error| Failure::new(format!("cannot build the object: {error}")))?;
        Ok((format!("built-in {name}"), bytes))
    }
}

/// Bytes of a device or a pipe, which may never end: many times the length of an object or BTF.
const LONGEST: u64 = 64 << 20;

/// Bytes of a regular file: initialized data may be as large as a map's value, for which the kernel takes at most
/// `INT_MAX`.
const LONGEST_FILE: u64 = 2 << 30;

/// The contents of a file that holds an object or BTF; `attempt` is what it is for.
pub(crate) fn read_whole(path: &Path, attempt: &str) -> Result<Vec<u8>, Failure> {
    let failed = |error: std::io::Error| Failure::system(attempt, &error);
    let file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    let (most, length) = if metadata.is_file() { (LONGEST_FILE, metadata.len()) } else { (LONGEST, 0) };
    let too_long =
        || Failure::new(format!("cannot {attempt}: it has more than {} MiB, which no object has", most >> 20));
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
