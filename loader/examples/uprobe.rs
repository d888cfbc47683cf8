//! Attaches a program to a function of a library by hand, for a section that names no function.
//!
//! The object, for example `example-uprobe.o` of `cargo xtask objects`, has a program `count` in the section `uprobe`
//! and a variable `total` of 8 bytes.

use std::net::ToSocketAddrs;

use cutaway::{Object, Uprobe};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("usage: uprobe OBJECT")?;
    let loaded = Object::parse(&std::fs::read(path)?)?.load()?;
    let _link = Uprobe::new("libc.so.6", "getaddrinfo").pid(std::process::id()).attach(loaded.program("count")?)?;
    let _ = ("127.0.0.1", 80).to_socket_addrs()?; // no call: the address is numeric
    let _ = ("localhost", 80).to_socket_addrs()?;
    println!("getaddrinfo was called {} times", loaded.variable("total")?.read::<u64>()?);
    Ok(())
}
