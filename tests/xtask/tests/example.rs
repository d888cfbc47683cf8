//! The README's example, run as it says: `cargo xtask objects`, then `cargo run --example embed`.
#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../../live/support/harness.rs"]
#[expect(dead_code, reason = "others use more of it")]
mod harness;
#[path = "../../live/support/requirements.rs"]
mod requirements;

use std::{
    io::{BufRead, BufReader},
    net::ToSocketAddrs,
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use cutaway_programs::getaddrinfo::Transport;
use harness::{Suite, test};
use requirements::ring;

fn main() {
    Suite::new([vec![test!(embed_prints_who_asked_for_what).needs(ring)]]).run()
}

/// The example while it runs; it ends only by being ended.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn embed_prints_who_asked_for_what() {
    let folder = tempfile::tempdir().unwrap();
    let object = folder.path().join("getaddrinfo-ring.o");
    std::fs::write(&object, Transport::Ring.object().unwrap()).unwrap();
    let build = ["build", "--quiet", "--package", "cutaway", "--example", "embed"];
    assert!(Command::new(env!("CARGO")).args(build).status().unwrap().success());
    // target/debug/deps/THIS beside target/debug/examples/embed
    let own = std::env::current_exe().unwrap();
    let example = own.ancestors().nth(2).expect("a test lies in deps").join("examples/embed");

    let mut child = Running(Command::new(example).arg(&object).stdout(Stdio::piped()).spawn().unwrap());
    let lines = BufReader::new(child.0.stdout.take().unwrap()).lines();
    let (line, lines_seen) = mpsc::channel();
    thread::spawn(move || lines.map_while(Result::ok).try_for_each(|text| line.send(text)));
    let until = Instant::now() + Duration::from_secs(30);
    loop {
        // A name of our own, so that nobody else's call is taken for it.
        let _ = ("this-example.invalid", 80).to_socket_addrs();
        match lines_seen.recv_timeout(Duration::from_millis(200)) {
            Ok(text) if text.ends_with(" asked for this-example.invalid") => return,
            Ok(_) => {}
            Err(_) => assert!(Instant::now() < until, "the example has printed nothing of our calls"),
        }
    }
}
