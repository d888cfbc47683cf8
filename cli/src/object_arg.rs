//! The OBJECT argument: a file or a built-in object.

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
    /// BPF object file of clang, rustc or cutaway's assembler
    #[arg(required_unless_present = "built_in", conflicts_with = "built_in")]
    object: Option<PathBuf>,

    /// Built-in object: ring, perf-heap or perf-stack
    ///
    /// The object that `cutaway trace` loads for this transport.
    ///   ring        a BPF ring buffer
    ///   perf-heap   a perf buffer, events built in a per-CPU array
    ///   perf-stack  a perf buffer, events built on the stack
    #[arg(verbatim_doc_comment, hide_possible_values = true)]
    #[arg(long, value_enum, value_name = "TRANSPORT")]
    built_in: Option<BuiltIn>,
}

/// An object with the file that it was parsed from.
#[derive(Debug)]
pub(crate) struct ReadObject {
    /// The object's name for display.
    pub(crate) shown: String,
    /// The bytes of the file.
    pub(crate) bytes: Vec<u8>,
    pub(crate) object: Object,
}

/// The built-in objects, by transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum BuiltIn {
    /// A BPF ring buffer
    Ring,
    /// A perf buffer, events built in a per-CPU array
    PerfHeap,
    /// A perf buffer, events built on the stack
    PerfStack,
}

impl ObjectArg {
    /// Reads and parses the object.
    pub(crate) fn read(&self, reader: Reader) -> Result<ReadObject, CliError> {
        let (shown, bytes) = self.bytes()?;
        let object = parse(&shown, &bytes, reader)?;
        Ok(ReadObject { shown, bytes, object })
    }

    /// Reads and parses the object in either byte order. aya-obj reads only this machine's.
    pub(crate) fn read_any_endian(&self, reader: Reader) -> Result<ReadObject, CliError> {
        let (shown, bytes) = self.bytes()?;
        let own = Object::parse_any_endian(&bytes).map_err(|error| cannot_read(&shown, error))?;
        let object = match reader {
            Reader::Cutaway => own,
            Reader::AyaObj if own.is_foreign_endian() => {
                let why = "its byte order is not this machine's, and aya-obj does not swap it";
                return Err(CliError::new(format!("cannot read `{shown}`: {why}")).advise(OWN_READER));
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

/// The advice for an object that only aya-obj refuses.
const OWN_READER: &str = "read it with --reader cutaway";

/// The same advice in some errors of the loader, which knows no options.
const OWN_READER_BY_LOADER: &str = ": read it with this loader's own reader";

fn parse(shown: &str, bytes: &[u8], reader: Reader) -> Result<Object, CliError> {
    Object::parse_with(reader.into(), bytes).map_err(|error| {
        if reader == Reader::AyaObj && Object::parse(bytes).is_ok() {
            cannot_read(shown, without_advice(error)).advise(OWN_READER)
        } else {
            cannot_read(shown, error)
        }
    })
}

/// Removes the loader's advice from an error, so that the advice is given once, by the option.
fn without_advice(error: Error) -> Error {
    match error {
        Error::Object { why } => {
            Error::Object { why: why.strip_suffix(OWN_READER_BY_LOADER).unwrap_or(&why).to_owned() }
        }
        error => error,
    }
}

fn cannot_read(shown: &str, error: Error) -> CliError {
    match error {
        // The error's text begins with the same words.
        Error::Object { why } => CliError::new(format!("cannot read `{shown}`: {why}")),
        error => CliError::new(format!("cannot read `{shown}`: {error}")),
    }
}

/// Maximum bytes read from a device or a pipe, which may be endless. Objects and BTF are much smaller.
const LONGEST: u64 = 64 << 20;

/// Maximum bytes of a regular file: initialized data can be as large as a map's value, for which the kernel allows up
/// to `INT_MAX` bytes.
const LONGEST_FILE: u64 = 2 << 30;

/// Reads a file that contains an object or BTF. `attempt` names the purpose in an error.
pub(crate) fn read_whole(path: &Path, attempt: &str) -> Result<Vec<u8>, CliError> {
    let failed = |error: std::io::Error| CliError::system(attempt, &error);
    let file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    let (most, length) = if metadata.is_file() { (LONGEST_FILE, metadata.len()) } else { (LONGEST, 0) };
    let too_long =
        || CliError::new(format!("cannot {attempt}: it is larger than {} MiB, more than any object", most >> 20));
    if length > most {
        return Err(too_long());
    }
    let mut bytes = Vec::new();
    // The size of a sparse file may exceed the memory.
    bytes.try_reserve(length as usize).map_err(|error| failed(error.into()))?;
    match file.take(most + 1).read_to_end(&mut bytes).map_err(failed)? as u64 {
        read if read > most => Err(too_long()),
        _ => Ok(bytes),
    }
}
