//! Loads an object, attaches its programs, and reads the records of its ring: which processes execute a file.
//!
//! The object, for example `example-ring.o` of `cargo xtask objects`, has a ring `events` whose records are a PID of 4
//! bytes.

use cutaway::{Object, Wake};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("usage: ring OBJECT")?;
    let loaded = Object::parse(&std::fs::read(path)?)?.load()?;
    let _links = loaded.attach()?; // to the targets that the section names give; detached when dropped
    let mut ring = loaded.map("events")?.ring()?;
    while ring.wait(None)? == Wake::Ready {
        for record in &mut ring.batch()? {
            println!("PID {}", u32::from_ne_bytes(record.as_ref().try_into()?));
        }
    }
    Ok(())
}
