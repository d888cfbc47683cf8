//! Writes the built-in programs for other tools, and the objects of the loader's examples.

use std::{fs, path::PathBuf};

use clap::Args;
use cutaway_programs::getaddrinfo;
use xtask::examples;

use crate::tools::{Outcome, Result};

/// The arguments of `cargo xtask objects`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The directory to write to; created if it does not exist
    directory: PathBuf,
}

/// The arguments of `cargo xtask listing`.
#[derive(Debug, Args)]
pub(crate) struct Transport {
    /// perf-stack, perf-heap or ring
    transport: getaddrinfo::Transport,
}

/// Writes each built-in program as `getaddrinfo-TRANSPORT.o`, and the object of each example as `example-NAME.o`.
pub(crate) fn write(arguments: &Arguments) -> Result {
    let directory = &arguments.directory;
    fs::create_dir_all(directory)
        .map_err(|error| format!("cannot create the directory {}: {error}", directory.display()))?;
    let mut objects = Vec::new();
    for transport in getaddrinfo::Transport::ALL {
        let object = transport.object().map_err(|error| format!("cannot assemble {transport}: {error}"))?;
        objects.push((format!("getaddrinfo-{transport}.o"), object));
    }
    let examples = examples::objects().map_err(|error| format!("cannot assemble an example: {error}"))?;
    objects.extend(examples.into_iter().map(|(name, object)| (format!("example-{name}.o"), object)));
    for (name, object) in objects {
        let path = directory.join(name);
        fs::write(&path, &object).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
        println!("{} ({} bytes)", path.display(), object.len());
    }
    Ok(Outcome::Done)
}

/// Prints a built-in program as text.
pub(crate) fn listing(which: &Transport) -> Result {
    let listing = which.transport.listing().map_err(|error| format!("cannot assemble {}: {error}", which.transport))?;
    print!("{listing}");
    Ok(Outcome::Done)
}
