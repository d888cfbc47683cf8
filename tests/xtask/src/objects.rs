//! The built-in programs, for other tools to look at.

use std::{fs, path::PathBuf};

use clap::Args;
use cutaway_programs::getaddrinfo;

use crate::tools::{Outcome, Result};

/// Where to write.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The folder; made if it is not there
    folder: PathBuf,
}

/// Which one.
#[derive(Debug, Args)]
pub(crate) struct Transport {
    /// perf-stack, perf-heap or ring
    transport: getaddrinfo::Transport,
}

/// Writes every built-in program as `NAME.o`.
pub(crate) fn write(arguments: &Arguments) -> Result {
    let folder = &arguments.folder;
    fs::create_dir_all(folder).map_err(|error| format!("cannot make the folder {}: {error}", folder.display()))?;
    for transport in getaddrinfo::Transport::ALL {
        let path = folder.join(format!("getaddrinfo-{transport}.o"));
        let object = transport.object().map_err(|error| format!("cannot assemble {transport}: {error}"))?;
        fs::write(&path, &object).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
        println!("{} ({} bytes)", path.display(), object.len());
    }
    Ok(Outcome::Done)
}

/// Prints one as text.
pub(crate) fn listing(which: &Transport) -> Result {
    let listing = which.transport.listing().map_err(|error| format!("cannot assemble {}: {error}", which.transport))?;
    print!("{listing}");
    Ok(Outcome::Done)
}
