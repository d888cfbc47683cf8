//! Counts this process's calls of getpgid(2): the loader alone, without a reader of buffers.
//!
//! `counts OBJECT`, where OBJECT is `one_ring.o`.

use cutaway::Object;

unsafe extern "C" {
    safe fn getpgid(pid: i32) -> i32;
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("usage: counts OBJECT")?;
    let mut object = Object::parse(&std::fs::read(path)?)?;
    object.set_variable("own", &std::process::id())?;
    let loaded = object.load()?;
    let links = loaded.attach()?;
    for _ in 0..5 {
        getpgid(0);
    }
    drop(links); // detached: the next call is not counted
    getpgid(0);
    let value = loaded.map("calls")?.lookup(&0_u32.to_ne_bytes())?.ok_or("the array has no element")?;
    println!("{} calls", u64::from_ne_bytes(value.try_into().map_err(|_| "a count has eight bytes")?));
    Ok(())
}
