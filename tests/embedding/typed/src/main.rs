//! Loads `typed.o` by the types that its build script made from it, and reads a map, a record and a variable.
#![deny(warnings)]

use cutaway::mmap_ring::Wake;

include!(concat!(env!("OUT_DIR"), "/typed.rs"));

unsafe extern "C" {
    fn getpgid(pid: i32) -> i32;
}

fn start() -> Result<(LoadedTyped, TypedLinks), cutaway::Error> {
    let mut open = OpenTyped::open()?;
    open.globals().set_own(std::process::id())?; // const volatile u32 own
    open.maps().counted()?.max_entries = 8;
    let loaded = open.load()?;
    let links = loaded.attach()?;
    Ok((loaded, links))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (loaded, links) = start()?;
    let mut ring = loaded.maps().events()?.ring()?;
    for _ in 0..3 {
        // SAFETY: the call has no pointers.
        unsafe { getpgid(0) };
    }
    drop(links);

    let key = Key { pid: std::process::id(), kind: 7, tag: *b"x\0" };
    let counts: Counts = loaded.maps().counted()?.get(&key)?.ok_or("the map has no such key")?;
    let total: u64 = loaded.globals().total()?.read()?;
    let mut last = None;
    if ring.wait(None)? == Wake::Ready {
        for record in &mut ring.batch()? {
            last = Event::from_record(&record);
        }
    }
    let event = last.ok_or("no event")?;
    println!("{} calls, {total} in all, {:?}, {}", counts.calls, event.verdict, event.change());
    Ok(())
}
