//! The OBJECT argument: a file, or a built-in object.

use std::{
    fs::File,
    io::{self, Read as _},
    os::fd::AsFd as _,
    path::{Path, PathBuf},
};

use clap::{Args, ValueEnum};
use cutaway::{Error, Object};
use cutaway_programs::getaddrinfo::Transport;

use crate::{error::CliError, object_reader::Reader};

/// The OBJECT that is read from stdin.
const STDIN: &str = "-";

/// The arguments that name an object.
#[derive(Debug, Args)]
pub(crate) struct ObjectArg {
    /// Object file from clang, rustc or cutaway-programs; `-` is stdin
    ///
    /// An ELF file, required without --built-in. cutaway-programs is the
    /// crate that writes the built-in objects.
    #[arg(verbatim_doc_comment)]
    #[arg(required_unless_present = "built_in", conflicts_with = "built_in")]
    object: Option<PathBuf>,

    /// Built-in object: ring, perf-heap or perf-stack
    ///
    /// The object that `cutaway trace` loads if its transport is TRANSPORT.
    /// How its events are built and sent:
    ///
    /// ring: built in a ring buffer
    /// perf-heap: built in a per-CPU array, then copied to a perf buffer
    /// perf-stack: built on the BPF stack, then copied to a perf buffer
    #[arg(long, value_enum, value_name = "TRANSPORT", verbatim_doc_comment, hide_possible_values = true)]
    built_in: Option<BuiltIn>,
}

/// An object that was read.
#[derive(Debug)]
pub(crate) struct ReadObject {
    /// The name that messages show: the path, or `built-in ring`.
    pub(crate) shown: String,
    /// The contents of the file.
    pub(crate) bytes: Vec<u8>,
    pub(crate) object: Object,
}

/// The built-in objects, by transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum BuiltIn {
    /// Events are built in a ring buffer
    Ring,
    /// Events are built in a per-CPU array, then copied to a perf buffer
    PerfHeap,
    /// Events are built on the BPF stack, then copied to a perf buffer
    PerfStack,
}

impl ObjectArg {
    /// Returns whether an object is named: a command can make it optional.
    pub(crate) fn is_given(&self) -> bool {
        self.object.is_some() || self.built_in.is_some()
    }

    /// Returns the path of the object, if it is a file with a name.
    pub(crate) fn path(&self) -> Option<&Path> {
        self.object.as_deref().filter(|path| *path != Path::new(STDIN))
    }

    /// Reads and parses the object.
    pub(crate) fn read(&self, reader: Reader) -> Result<ReadObject, CliError> {
        let (shown, bytes) = self.bytes()?;
        let object = parse(&shown, &bytes, reader)?;
        Ok(ReadObject { shown, bytes, object })
    }

    /// Reads and parses the object like [`Self::read`], but accepts either
    /// byte order. aya-obj refuses the other one.
    pub(crate) fn read_any_endian(&self, reader: Reader) -> Result<ReadObject, CliError> {
        let (shown, bytes) = self.bytes()?;
        let own = Object::parse_any_endian(&bytes).map_err(|error| cannot_read(&shown, error))?;
        let object = match reader {
            Reader::Cutaway => own,
            Reader::AyaObj if own.is_foreign_endian() => {
                let why = "its byte order is not this machine's, and aya-obj does not swap it";
                return Err(CliError::new(format!("cannot read `{shown}`: {why}")).advise(USE_OWN_READER));
            }
            Reader::AyaObj => parse(&shown, &bytes, reader)?,
        };
        Ok(ReadObject { shown, bytes, object })
    }

    /// Returns the name that messages show, and the contents of the object
    /// file.
    fn bytes(&self) -> Result<(String, Vec<u8>), CliError> {
        if self.object.as_deref() == Some(Path::new(STDIN)) {
            let stdin = io::stdin().as_fd().try_clone_to_owned().map(File::from);
            let failed = |error: io::Error| CliError::system("read the object from stdin", &error);
            let bytes = read_file(stdin.map_err(failed)?, "read the object from stdin", "object")?;
            return Ok(("stdin".to_owned(), bytes));
        }
        if let Some(path) = &self.object {
            let shown = path.display().to_string();
            return read_whole(path, &format!("read `{shown}`")).map(|bytes| (shown, bytes));
        }
        let built_in = self.built_in.unwrap_or(BuiltIn::Ring);
        let (name, transport) = built_in.transport();
        let bytes = transport.object().map_err(|error| CliError::new(format!("cannot build the object: {error}")))?;
        Ok((format!("built-in {name}"), bytes))
    }
}

impl BuiltIn {
    /// Returns the name on the command line, and the transport.
    fn transport(self) -> (&'static str, Transport) {
        match self {
            Self::Ring => ("ring", Transport::Ring),
            Self::PerfHeap => ("perf-heap", Transport::PerfHeap),
            Self::PerfStack => ("perf-stack", Transport::PerfStack),
        }
    }
}

/// Returns the built-in object of this name.
pub(crate) fn built_in(name: &str) -> Option<Vec<u8>> {
    BuiltIn::from_str(name, false).ok()?.transport().1.object().ok()
}

/// The advice for an object that aya-obj refuses.
pub(crate) const USE_OWN_READER: &str = "read it with --reader cutaway";

/// The loader's advice for an object that aya-obj misreads, in terms of the library.
const ADVICE_OF_LOADER: &str = ": read it with this loader's own reader";

fn parse(shown: &str, bytes: &[u8], reader: Reader) -> Result<Object, CliError> {
    Object::parse_with(reader.into(), bytes).map_err(|error| {
        let failure = cannot_read(shown, error);
        let is_aya_obj_alone = reader == Reader::AyaObj && Object::parse(bytes).is_ok();
        if is_aya_obj_alone { failure.advise(USE_OWN_READER) } else { failure }
    })
}

fn cannot_read(shown: &str, error: Error) -> CliError {
    match error {
        // The display form begins with the same words. The advice is given once, by the caller.
        Error::Object { why } => {
            let why = why.strip_suffix(ADVICE_OF_LOADER).unwrap_or(&why);
            CliError::new(format!("cannot read `{shown}`: {why}"))
        }
        error => CliError::new(format!("cannot read `{shown}`: {error}")),
    }
}

/// Maximum size in bytes of the input from a device or a pipe, which may never end. No object or BTF is nearly as long.
const MAX_INPUT: u64 = 64 << 20;

/// Maximum size in bytes of a regular file. Initialized data can be as large as a map's value, for which the kernel
/// allows up to `INT_MAX` bytes.
const MAX_FILE: u64 = 2 << 30;

/// Reads a file that holds an object or BTF. `attempt` is the purpose, for errors: `read FILE`.
pub(crate) fn read_whole(path: &Path, attempt: &str) -> Result<Vec<u8>, CliError> {
    read_whole_as(path, attempt, "object")
}

/// Reads a file like [`read_whole`]. `what` is what it should be, for errors.
pub(crate) fn read_whole_as(path: &Path, attempt: &str, what: &str) -> Result<Vec<u8>, CliError> {
    let file = File::open(path).map_err(|error| CliError::system(attempt, &error))?;
    read_file(file, attempt, what)
}

/// Reads the rest of an open file like [`read_whole_as`].
fn read_file(file: File, attempt: &str, what: &str) -> Result<Vec<u8>, CliError> {
    let failed = |error: io::Error| CliError::system(attempt, &error);
    let metadata = file.metadata().map_err(failed)?;
    let (most, length) = if metadata.is_file() { (MAX_FILE, metadata.len()) } else { (MAX_INPUT, 0) };
    let too_long =
        || CliError::new(format!("cannot {attempt}: it is larger than {} MiB, and no {what} is", most >> 20));
    if length > most {
        return Err(too_long());
    }
    let mut bytes = Vec::new();
    // A sparse file may be larger than the memory.
    bytes.try_reserve(length as usize).map_err(|error| failed(error.into()))?;
    match file.take(most + 1).read_to_end(&mut bytes).map_err(failed)? as u64 {
        read if read > most => Err(too_long()),
        _ => Ok(bytes),
    }
}
