//! Replaces its object by the next version without losing an event or a count. The maps are pinned, so both versions
//! use the same maps.
//!
//! `stays OBJECT DIRECTORY`, where OBJECT is `pinned.o`, and DIRECTORY is in a BPF file system.

use std::path::Path;

use cutaway::{Links, Loaded, Object};

const CALLS: u64 = 10;

unsafe extern "C" {
    safe fn getpgid(pid: i32) -> i32;
}

/// A version of the object, attached. The links are dropped first, so the programs are detached before they are closed.
struct Version {
    _links: Links,
    loaded: Loaded,
}

fn start(bytes: &[u8], pins: &Path, step: u64) -> Result<Version, cutaway::Error> {
    let mut object = Object::parse(bytes)?;
    object.set_pin_root(pins);
    object.set_variable("own", &std::process::id())?;
    object.set_variable("step", &step)?;
    let loaded = object.load()?;
    Ok(Version { _links: loaded.attach()?, loaded })
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut words = std::env::args().skip(1);
    let (Some(path), Some(directory)) = (words.next(), words.next()) else {
        return Err("usage: stays OBJECT DIRECTORY".into());
    };
    let (bytes, pins) = (std::fs::read(path)?, Path::new(&directory));
    let mut running = start(&bytes, pins, 1)?;
    // The reader stays for all versions.
    let mut ring = running.loaded.map("events")?.ring()?;
    let mut sums = Vec::new();
    for version in 1..=3 {
        for _ in 0..CALLS {
            getpgid(0);
        }
        sums.extend(ring.batch()?.records().map(|record| record.as_ref().try_into().map(u64::from_ne_bytes)));
        if version < 3 {
            // The next version is attached before the previous one is dropped.
            running = start(&bytes, pins, 10_u64.pow(2 * version))?;
        }
    }
    let value = running.loaded.map("total")?.lookup(&0_u32.to_ne_bytes())?.ok_or("the array has no element")?;
    let total = u64::from_ne_bytes(value.as_slice().try_into()?);
    let sums: Vec<_> = sums.into_iter().collect::<Result<_, _>>()?;
    assert_eq!(sums.len() as u64, 3 * CALLS);
    assert!(sums.is_sorted(), "{sums:?}");
    assert_eq!(sums.last(), Some(&total));
    drop(running);
    for name in ["events", "total"] {
        std::fs::remove_file(pins.join(name))?;
    }
    println!("{} events, {total} in all", sums.len());
    Ok(())
}
