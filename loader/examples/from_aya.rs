//! Loads an object that the crate aya-obj has parsed, attaches its programs, and reads the records of its ring: who
//! executes a file. Needs the feature `aya-obj`.
//!
//! The object, for example `example-ring.o` of `cargo xtask objects`, has a ring `events` whose records are a PID of 4
//! bytes, and one program of a section `raw_tp`.

use cutaway::{Object, Wake, aya_obj};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("usage: from_aya OBJECT")?;
    let parsed = aya_obj::Object::parse(&std::fs::read(path)?)?;
    let mut object = Object::from_aya(parsed)?;
    for program in object.programs_mut() {
        program.set_attach_target("sched_process_exec")?; // aya-obj does not keep the section's name
    }
    let loaded = object.load()?;
    let _links = loaded.attach()?;
    let mut ring = loaded.map("events")?.ring()?;
    while ring.wait(None)? == Wake::Ready {
        for record in &mut ring.batch()? {
            println!("PID {}", u32::from_ne_bytes(record.as_ref().try_into()?));
        }
    }
    Ok(())
}
