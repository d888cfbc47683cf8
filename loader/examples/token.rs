//! Loads an object with the BPF token of a directory, and prints what the token delegates.
//!
//! ```text
//! cargo run --example token -- /run/delegated probes.o
//! ```

use std::env;

use cutaway::{BpfToken, LoadOptions, Object};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<_> = env::args_os().skip(1).collect();
    let [bpffs, object] = arguments.as_slice() else { return Err("usage: token BPFFS OBJECT".into()) };
    let token = BpfToken::from_bpffs(bpffs)?;
    println!("delegated: {}", token.delegation()?);
    let mut options = LoadOptions::new();
    options.token(&token);
    let loaded = Object::parse(&std::fs::read(object)?)?.load_with(&options)?;
    let links = loaded.attach()?;
    println!("attached {} programs", links.iter().count());
    Ok(())
}
