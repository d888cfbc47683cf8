//! Loads an object, attaches its programs, and reads one ring: all that an embedder needs.

use cutaway::{Object, Wake};
use cutaway_programs::getaddrinfo::Transport;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("usage: embed OBJECT")?;
    let object = Object::parse(&std::fs::read(path)?)?; // a plain value: no system call yet
    let loaded = object.load()?; // creates the maps; the kernel verifies the programs
    let _links = loaded.attach()?; // to the targets in the sections' names; dropping `_links` detaches the programs
    let mut ring = loaded.map("events")?.ring()?;
    while ring.wait(None)? == Wake::Ready {
        for record in &mut ring.batch()? {
            // `record` borrows bytes of the mapped ring. Dropping the batch releases the space of its records.
            let call = Transport::Ring.read(record)?;
            let (who, host) = (call.comm, call.node.bytes().unwrap_or(b"-"));
            println!("{} asked for {}", String::from_utf8_lossy(who), String::from_utf8_lossy(host));
        }
    }
    Ok(())
}
