//! QEMU's monitor (QMP): sends a hanging guest an NMI or a break, saves guests and restores them.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// The time that QEMU has to create its sockets.
const START: Duration = Duration::from_secs(10);

/// A connection to the monitor. Responses and events arrive in one stream, so there is one buffered reader.
pub(crate) struct Monitor {
    answers: BufReader<UnixStream>,
    commands: UnixStream,
}

impl Monitor {
    /// Connects to QEMU, which may not have created the socket yet. `alive` is false when QEMU has ended.
    pub(crate) fn connect(socket: &Path, alive: &mut dyn FnMut() -> bool) -> io::Result<Self> {
        let stream = connected(socket, alive)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        let mut monitor = Self { answers: BufReader::new(stream.try_clone()?), commands: stream };
        // The greeting is neither a response nor an error.
        monitor.execute("qmp_capabilities", &json!({}))?;
        Ok(monitor)
    }

    /// Executes a command and returns its result.
    pub(crate) fn execute(&mut self, command: &str, arguments: &Value) -> io::Result<Value> {
        let mut line = json!({ "execute": command, "arguments": arguments }).to_string();
        line.push('\n');
        self.commands.write_all(line.as_bytes())?;
        loop {
            let mut answer = String::new();
            if self.answers.read_line(&mut answer)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let mut answer: Value = serde_json::from_str(&answer)?;
            if let Some(error) = answer.get("error") {
                return Err(io::Error::other(error.to_string()));
            }
            // Any other line is an event, which is ignored.
            if let Some(result) = answer.get_mut("return") {
                return Ok(result.take());
            }
        }
    }

    /// Executes a command that has no arguments, and returns the field `status` of its result.
    pub(crate) fn status(&mut self, command: &str) -> io::Result<String> {
        let result = self.execute(command, &json!({}))?;
        Ok(result.get("status").and_then(Value::as_str).unwrap_or_default().to_owned())
    }
}

/// Connects to a socket of a QEMU that may just be starting.
pub(crate) fn connected(socket: &Path, alive: &mut dyn FnMut() -> bool) -> io::Result<UnixStream> {
    let limit = Instant::now() + START;
    loop {
        match UnixStream::connect(socket) {
            Ok(stream) => return Ok(stream),
            Err(error) if Instant::now() > limit => return Err(error),
            Err(error) if !alive() => return Err(error),
            Err(_) => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}

/// Sends the NMI. The guest answers with a panic and a trace of its CPU.
pub(super) fn inject_nmi(socket: &Path) -> io::Result<()> {
    Monitor::connect(socket, &mut || false)?.execute("inject-nmi", &json!({})).map(drop)
}
