//! QEMU's monitor (QMP), used only to send a hanging guest an NMI. The guest answers with a panic and a trace of its
//! CPU.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// Sends the NMI.
pub(crate) fn inject_nmi(socket: &Path) -> io::Result<()> {
    let stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut answers = BufReader::new(stream.try_clone()?).lines();
    let mut stream = stream;
    // Two responses: the greeting and that of the first command, then that of the second.
    answers.next().transpose()?;
    for command in ["qmp_capabilities", "inject-nmi"] {
        writeln!(stream, "{{\"execute\":\"{command}\"}}")?;
        loop {
            let answer = answers.next().transpose()?.ok_or(io::ErrorKind::UnexpectedEof)?;
            let answer: serde_json::Value = serde_json::from_str(&answer)?;
            if let Some(error) = answer.get("error") {
                return Err(io::Error::other(error.to_string()));
            }
            // Any other line is an event, which is ignored.
            if answer.get("return").is_some() {
                break;
            }
        }
    }
    Ok(())
}
