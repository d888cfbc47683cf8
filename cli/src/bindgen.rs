//! `cutaway bindgen`: writes a Rust module for an object. The library does it; this command reads the object and writes
//! the file.

use std::path::PathBuf;

use clap::Args;
use cutaway::{
    Error,
    bindgen::{Options, generate},
};

use crate::{
    error::CliError,
    object_arg::{ObjectArg, ReadObject},
    object_reader::Reader,
    output_file::{self, OutputFile, Refused},
    terminal,
};

const EXAMPLES: &str = "\
Examples:
  cutaway bindgen probes.o                       print the module
  cutaway bindgen probes.o --output src/probes.rs
  cutaway bindgen probes.o --type 'struct event' with a type that no map has
  cutaway bindgen probes.o --include ../probes.o include the object's file

  A build.rs calls the library instead: cutaway::bindgen::Builder.";

/// The arguments of `cutaway bindgen`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    object: ObjectArg,

    /// Write the module to this file
    ///
    /// Replaces a regular file. Default: stdout.
    #[arg(long, short, value_name = "FILE", verbatim_doc_comment)]
    output: Option<PathBuf>,

    /// Name of the module, and of its types
    ///
    /// `probes` gives the types OpenProbes and LoadedProbes. Default: the
    /// object's file name up to its first dot.
    #[arg(long, value_name = "NAME", verbatim_doc_comment)]
    module: Option<String>,

    /// Add this type of the object (repeatable)
    ///
    /// TYPE is the name in C: `event`, `struct event`, `enum state` or a
    /// typedef. The types of maps, global variables and records need no
    /// option.
    #[arg(long = "type", value_name = "TYPE", verbatim_doc_comment)]
    types: Vec<String>,

    /// Write only the types of the object
    ///
    /// Omits the types that open, load and attach it, and its bytes.
    #[arg(long, verbatim_doc_comment)]
    types_only: bool,

    /// Include the object from this file
    ///
    /// The module then has `include_bytes!("PATH")` instead of the bytes. A
    /// relative path is relative to the module's file.
    #[arg(long, value_name = "PATH", conflicts_with = "types_only", verbatim_doc_comment)]
    include: Option<PathBuf>,
}

/// Reads the object and writes its module.
pub(crate) fn run(arguments: &Arguments) -> Result<(), CliError> {
    let failure = |path: &PathBuf, refused| output_file::failure("write the module to", path, refused);
    let ReadObject { shown, bytes, .. } = arguments.object.read_any_endian(Reader::Cutaway)?;
    let file =
        arguments.object.path().and_then(|path| path.file_name()).map(|name| name.to_string_lossy().into_owned());
    let stem = file.unwrap_or_else(|| shown.replace([' ', '-'], "_"));
    let stem = stem.split('.').find(|part| !part.is_empty()).unwrap_or("object").to_owned();
    let mut options = Options::new(arguments.module.clone().unwrap_or(stem)).types_only(arguments.types_only);
    for name in &arguments.types {
        options = options.type_name(name);
    }
    if let Some(path) = &arguments.include {
        options = options.include(path);
    }
    let module = generate(&bytes, &options).map_err(|error| match error {
        Error::NoSuchName { .. } => CliError::new(format!("cannot generate the module of `{shown}`: {error}"))
            .advise("an object has the types that its maps, variables and functions use; clang needs -g"),
        error => CliError::new(format!("cannot generate the module of `{shown}`: {error}")),
    })?;
    let Some(path) = &arguments.output else { return terminal::print(&module) };
    let inputs: Vec<_> = arguments.object.path().into_iter().collect();
    let mut output = OutputFile::open_apart(path, &inputs).map_err(|refused| failure(path, refused))?;
    output.write(module.as_bytes()).map_err(|error| failure(path, Refused::System(error)))
}
