//! `first-event (first | load) OBJECT`: loads an object, attaches it and waits for its first event; or only loads it.

use libbpf_rs::{MapCore, ObjectBuilder, RingBufferBuilder};
use std::time::Duration;

unsafe extern "C" {
    safe fn getpgid(pid: i32) -> i32;
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let [what, path] = [1, 2].map(|word| std::env::args().nth(word).expect("first-event (first | load) OBJECT"));
    let object = ObjectBuilder::default().open_file(path)?.load()?;
    if what == "first" {
        let links = object.progs_mut().map(|program| program.attach()).collect::<Result<Vec<_>, _>>()?;
        let map = object.maps().find(|map| map.name() == "events").expect("a map");
        let seen = std::cell::Cell::new(0);
        let mut builder = RingBufferBuilder::new();
        builder.add(&map, |_| {
            seen.set(seen.get() + 1);
            0
        })?;
        let ring = builder.build()?;
        getpgid(0);
        ring.poll(Duration::MAX)?;
        assert!(seen.get() > 0);
        drop(links);
    }
    // The peak memory (`VmHWM`). Only the process itself can tell it from its parent's.
    let status = std::fs::read_to_string("/proc/self/status")?;
    println!("{}", status.lines().find(|line| line.starts_with("VmHWM:")).unwrap_or_default());
    Ok(())
}
