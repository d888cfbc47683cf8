//! A process that makes a number of calls of getpgid, which the programs of the corpus wait for, and looks up an
//! address.
//!
//! It is a second process of the test's own binary: it waits for a line on its stdin, makes its calls, and ends.

use std::{
    io::Write,
    net::ToSocketAddrs,
    process::{Child, Command, Stdio},
};

/// The argument that makes this binary a sender.
const SENDER: &str = "as-sender";

pub(crate) struct Sender(Child);

/// Runs as the sender, if this process was started as one.
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
    /// Starts a process that will make this many calls.
    pub(crate) fn start(calls: u32) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.arg(SENDER).arg(calls.to_string()).stdin(Stdio::piped());
        Self(command.spawn().unwrap())
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Makes it start its calls.
    pub(crate) fn go(&mut self) {
        self.0.stdin.take().unwrap().write_all(b"go\n").unwrap();
    }

    /// Waits for its end. Returns its process id.
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
