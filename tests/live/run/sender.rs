//! A process that asks for its process group a number of times, for which programs of the corpus wait, and for an
//! address.
//!
//! It is the test's own binary once more: it waits for a line on its stdin, does what it was told, and ends.

use std::{
    io::Write,
    net::ToSocketAddrs,
    process::{Child, Command, Stdio},
};

/// The argument that makes this binary a sender.
const SENDER: &str = "as-sender";

pub(crate) struct Sender(Child);

/// Is the sender, if this process was started to be one.
pub(crate) fn be_one_if_asked() {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() != Some(SENDER) {
        return;
    }
    let calls: u32 = arguments.next().unwrap().parse().unwrap();
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
    for _ in 0..calls {
        rustix::process::getpgid(None).unwrap();
    }
    assert!(("localhost", 80).to_socket_addrs().unwrap().next().is_some());
    std::process::exit(0);
}

impl Sender {
    /// A process that is going to make so many calls.
    pub(crate) fn start(calls: u32) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.arg(SENDER).arg(calls.to_string()).stdin(Stdio::piped());
        Self(command.spawn().unwrap())
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Now it makes them.
    pub(crate) fn go(&mut self) {
        self.0.stdin.take().unwrap().write_all(b"go\n").unwrap();
    }

    /// Waits for its end; its number.
    pub(crate) fn end(mut self) -> u32 {
        assert!(self.0.wait().unwrap().success());
        self.0.id()
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
