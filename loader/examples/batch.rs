//! Writes, deletes and drains many elements of a map with one system call each.
//!
//! The object, for example `example-batch.o` of `cargo xtask objects`, has a hash map `squares`, 4 bytes to 8.

use cutaway::Object;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("usage: batch OBJECT")?;
    let loaded = Object::parse(&std::fs::read(path)?)?.load()?;
    let squares = loaded.map("squares")?;
    let entries: Vec<_> = (0..1000_u32).map(|n| (n.to_ne_bytes(), u64::from(n * n).to_ne_bytes())).collect();
    squares.update_batch(entries.iter().map(|(key, value)| (&key[..], &value[..])))?;
    squares.delete_batch(entries.iter().take(500).map(|(key, _)| &key[..]))?;
    let mut sum = 0;
    for entries in squares.drain_entries() {
        sum += entries?.iter().map(|(_, value)| value.try_into().map(u64::from_ne_bytes)).sum::<Result<u64, _>>()?;
    }
    println!("the squares of 500 to 999 add up to {sum}");
    Ok(())
}
