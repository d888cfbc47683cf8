//! Pins a map in a bpf file system, or reuses the map that is pinned there: the map's count survives this process.
//!
//! The object, for example `example-pin.o` of `cargo xtask objects`, has an array `calls` of one count of 8 bytes,
//! pinned by name.

use cutaway::{LoadOptions, Object};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let argument = |index| std::env::args().nth(index).ok_or("usage: pin OBJECT DIRECTORY");
    let object = Object::parse(&std::fs::read(argument(1)?)?)?;
    // For maps that the object declares as pinned by name. For other maps set `MapSpec::pinning`.
    let loaded = object.load_with(LoadOptions::new().pin_root(argument(2)?))?;
    let calls = loaded.map("calls")?.lookup(&0_u32.to_ne_bytes())?.ok_or("the array has no element")?;
    println!("{} system calls before", u64::from_ne_bytes(calls.as_slice().try_into()?));
    let _links = loaded.attach()?;
    std::thread::yield_now(); // a system call, which the program counts
    Ok(())
}
