//! Sets a global variable before loading, and reads another one while the program runs.
//!
//! The object, for example `example-global.o` of `cargo xtask objects`, has the variables `step` in `.rodata` and
//! `total` in `.bss`, 8 bytes each.

use cutaway::Object;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("usage: global OBJECT")?;
    let mut object = Object::parse(&std::fs::read(path)?)?;
    object.set_variable("step", &7_u64)?; // a constant in .rodata: only until the object is loaded
    let loaded = object.load()?;
    let _links = loaded.attach()?;
    std::thread::yield_now(); // a system call, which the program counts
    println!("total = {}", loaded.variable("total")?.read::<u64>()?);
    Ok(())
}
