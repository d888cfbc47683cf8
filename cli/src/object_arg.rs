//! The OBJECT argument: a file, or a built-in object.

use std::{
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
};

use clap::{Args, ValueEnum};
use cutaway::{Error, Object};
use cutaway_programs::getaddrinfo::Transport;

use crate::{error::CliError, object_reader::Reader};

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

/// An object that was read.
#[derive(Debug)]
pub(crate) struct ReadObject {
    /// Its name for display.
    pub(crate) shown: String,
    /// The file.
    pub(crate) bytes: Vec<u8>,
    pub(crate) object: Object,
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
    /// Reads and parses the object.
    pub(crate) fn read(&self, reader: Reader) -> Result<ReadObject, CliError> {
        let (shown, bytes) = self.bytes()?;
        let object = parse(&shown, &bytes, reader)?;
        Ok(ReadObject { shown, bytes, object })
    }

    /// Like [`Self::read`], but accepts either byte order. aya-obj does not take the other one.
    pub(crate) fn read_any_endian(&self, reader: Reader) -> Result<ReadObject, CliError> {
        let (shown, bytes) = self.bytes()?;
        let own = Object::parse_any_endian(&bytes).map_err(|error| cannot_read(&shown, error))?;
        let object = match reader {
            Reader::Cutaway => own,
            Reader::AyaObj if own.is_foreign_endian() => {
                let why = "its byte order is not this machine's, and aya-obj does not swap it";
                return Err(CliError::new(format!("cannot read `{shown}`: {why}")).advise(READ_IT_BY_OWN));
            }
            Reader::AyaObj => parse(&shown, &bytes, reader)?,
        };
        Ok(ReadObject { shown, bytes, object })
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

/// What to do about an object that aya-obj does not take.
const READ_IT_BY_OWN: &str = "read it with --reader cutaway";

fn parse(shown: &str, bytes: &[u8], reader: Reader) -> Result<Object, CliError> {
    Object::parse_with(reader.into(), bytes).map_err(|error| {
        let failure = cannot_read(shown, error);
        let is_aya_obj_alone = reader == Reader::AyaObj && Object::parse(bytes).is_ok();
        if is_aya_obj_alone { failure.advise(READ_IT_BY_OWN) } else { failure }
    })
}

fn cannot_read(shown: &str, error: Error) -> CliError {
    match error {
        // Its text begins with the same words.
        Error::Object { why } => CliError::new(format!("cannot read `{shown}`: {why}")),
        error => CliError::new(format!("cannot read `{shown}`: {error}")),
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
