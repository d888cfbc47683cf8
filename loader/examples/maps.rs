//! Creates a map, uses it in place of an object's own, and reads and writes it as Rust types.
//!
//! The object, for example `example-batch.o` of `cargo xtask objects`, has a hash map `squares`, 4 bytes to 8.

use cutaway::{LoadOptions, MapBuilder, MapType, Object, UpdateFlags};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("usage: maps OBJECT")?;
    let larger =
        MapBuilder::new(MapType::HASH).name("squares").key::<u32>().value::<u64>().max_entries(5000).create()?;
    let mut options = LoadOptions::new();
    options.map("squares", &larger);
    let loaded = Object::parse(&std::fs::read(path)?)?.load_with(&options)?;

    let squares = loaded.map("squares")?.typed::<u32, u64>()?;
    squares.set_many((0..2000).map(|n| (n, u64::from(n * n))))?;
    squares.set_with(&1000, &0, UpdateFlags::EXIST)?; // an error if there were no such key
    squares.remove_many(0..1000)?;
    let mut sum = 0;
    for element in squares.iter() {
        sum += element?.1;
    }
    println!("the squares of 1001 to 1999 add up to {sum}");
    Ok(())
}
