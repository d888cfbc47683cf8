//! Files that tests leave in the results directory. They are sent after each test, so that a later panic does not lose
//! them.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::channel::Channel;
use crate::plan::RESULTS;
use crate::protocol::{Message, PAYLOAD_LIMIT};

/// The files already sent: only new and changed files are sent again.
#[derive(Default)]
pub(super) struct Sent(HashMap<PathBuf, (u64, Option<SystemTime>)>);

impl Sent {
    /// Sends the new and changed files.
    pub(super) fn send_new(&mut self, channel: &Channel) {
        let mut folders = vec![PathBuf::from(RESULTS)];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
                let path = entry.path();
                match entry.metadata() {
                    Ok(about) if about.is_dir() => folders.push(path),
                    Ok(about) if about.is_file() => {
                        let mark = (about.len(), about.modified().ok());
                        if self.0.get(&path) != Some(&mark) {
                            if let Err(error) = send(channel, &path) {
                                channel.note(format!("cannot send {}: {error}", path.display()));
                            }
                            self.0.insert(path, mark);
                        }
                    }
                    // Sockets and pipes are of no use to the host.
                    Ok(_) => {}
                    Err(error) => channel.note(format!("cannot send {}: {error}", path.display())),
                }
            }
        }
    }
}

fn send(channel: &Channel, path: &Path) -> std::io::Result<()> {
    let name = path.strip_prefix(RESULTS).unwrap_or(path).to_string_lossy().into_owned();
    let mut file = File::open(path)?;
    let mut offset = 0;
    loop {
        let mut piece = Vec::new();
        file.by_ref().take(PAYLOAD_LIMIT).read_to_end(&mut piece)?;
        // An empty file is sent too: the first piece is sent in any case.
        if piece.is_empty() && offset > 0 {
            return Ok(());
        }
        channel.send(&Message::File { path: name.clone(), offset }, &piece);
        offset += piece.len() as u64;
        if piece.is_empty() {
            return Ok(());
        }
    }
}
