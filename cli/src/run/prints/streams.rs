//! The streams of programs: `bpf_stream_printk`.

use std::collections::BTreeMap;

use cutaway::{Loaded, Stream};

use super::print::Print;
use crate::error::CliError;

/// The streams of all programs that are loaded.
pub(super) struct Streams<'a> {
    loaded: &'a Loaded,
    /// Texts without a line feed yet, by program and stream.
    begun: BTreeMap<(String, &'static str), Vec<u8>>,
}

impl<'a> Streams<'a> {
    pub(super) fn of(loaded: &'a Loaded) -> Self {
        Self { loaded, begun: BTreeMap::new() }
    }

    /// Reads the complete lines of all streams.
    pub(super) fn read(&mut self) -> Result<Vec<Print>, CliError> {
        let mut prints = Vec::new();
        for program in self.loaded.programs() {
            for (stream, name) in [(Stream::Stdout, "stdout"), (Stream::Stderr, "stderr")] {
                let text = program.read_stream(stream)?;
                if text.is_empty() {
                    continue;
                }
                let begun = self.begun.entry((program.name().to_owned(), name)).or_default();
                begun.extend(text);
                prints.extend(lines(begun).into_iter().map(|text| Print::Stream {
                    program: program.name().to_owned(),
                    stream: name,
                    text,
                }));
            }
        }
        Ok(prints)
    }
}

/// Removes the complete lines. A text of [`LONGEST`] bytes without a line feed is a line.
fn lines(begun: &mut Vec<u8>) -> Vec<String> {
    /// A stream holds no more (`BPF_STREAM_MAX_CAPACITY`).
    const LONGEST: usize = 100_000;
    let end = match begun.iter().rposition(|&byte| byte == b'\n') {
        Some(end) => end + 1,
        None if begun.len() >= LONGEST => begun.len(),
        None => 0,
    };
    let rest = begun.split_off(end);
    let complete = std::mem::replace(begun, rest);
    String::from_utf8_lossy(&complete).lines().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn incomplete_line_waits_for_its_end() {
        let mut begun = b"one\ntwo\nthr".to_vec();
        assert_eq!(lines(&mut begun), ["one", "two"]);
        assert!(lines(&mut begun).is_empty());
        begun.extend(b"ee\n");
        assert_eq!(lines(&mut begun), ["three"]);
        assert!(begun.is_empty());
        let mut long = vec![b'x'; 100_000];
        assert_eq!(lines(&mut long).len(), 1);
    }
}
