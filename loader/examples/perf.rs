//! Loads an object, attaches its programs, and reads the records of its perf buffers, one buffer for each CPU: which
//! processes execute a file.
//!
//! The object, for example `example-perf.o` of `cargo xtask objects`, has a perf event array `events` whose records are
//! a PID of 4 bytes.

use cutaway::Object;
use cutaway::perf_reader::{Options, Record};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("usage: perf OBJECT")?;
    let loaded = Object::parse(&std::fs::read(path)?)?.load()?;
    let mut events = loaded.map("events")?.perf_buffers(64 * 1024, &Options::new())?; // bytes for each CPU
    let _links = loaded.attach()?; // after the buffers exist: before, bpf_perf_event_output fails with ENOENT
    events.run(|cpu, record| match record {
        Ok(Record::Sample(sample)) if let Ok(pid) = sample.array() => println!("PID {}", u32::from_ne_bytes(pid)),
        Ok(Record::Lost(count)) => eprintln!("CPU {cpu}: {count} records lost"),
        other => eprintln!("CPU {cpu}: {other:?}"), // a record of another length, or a corrupt buffer
    })?;
    Ok(())
}
