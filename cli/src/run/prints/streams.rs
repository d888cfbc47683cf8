//! The streams of programs: `bpf_stream_printk`.

use std::collections::BTreeMap;

use cutaway::{Loaded, Stream};

use super::print::Print;
use crate::error::CliError;

/// The streams of all programs that are loaded.
pub(super) struct Streams<'a> {
    loaded: &'a Loaded,
    begun: Begun,
}

/// Texts without a line feed yet, by program and stream.
#[derive(Debug, Default)]
struct Begun(BTreeMap<(String, &'static str), Vec<u8>>);

impl<'a> Streams<'a> {
    pub(super) fn of(loaded: &'a Loaded) -> Self {
        Self { loaded, begun: Begun::default() }
    }

    /// Reads the complete lines of all streams.
    pub(super) fn read(&mut self) -> Result<Vec<Print>, CliError> {
        let mut prints = Vec::new();
        for program in self.loaded.programs() {
            for (stream, name) in [(Stream::Stdout, "stdout"), (Stream::Stderr, "stderr")] {
                let text = program.read_stream(stream)?;
                if !text.is_empty() {
                    prints.extend(self.begun.add(program.name(), name, &text));
                }
            }
        }
        Ok(prints)
    }

    /// Returns the texts whose line feed has not been read. No more is read.
    pub(super) fn finish(&mut self) -> Vec<Print> {
        self.begun.finish()
    }
}

impl Begun {
    /// Adds a text. Returns the lines that it completes.
    fn add(&mut self, program: &str, stream: &'static str, text: &[u8]) -> Vec<Print> {
        let begun = self.0.entry((program.to_owned(), stream)).or_default();
        begun.extend_from_slice(text);
        let print = |text| Print::Stream { program: program.to_owned(), stream, text };
        lines(begun).into_iter().map(print).collect()
    }

    /// Returns the texts without a line feed.
    fn finish(&mut self) -> Vec<Print> {
        let begun = std::mem::take(&mut self.0).into_iter().filter(|(_, text)| !text.is_empty());
        let print = |((program, stream), text): (_, Vec<u8>)| {
            let text = String::from_utf8_lossy(&text).into_owned();
            Print::Stream { program, stream, text }
        };
        begun.map(print).collect()
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
    fn text_without_a_line_feed_is_printed_at_the_end() {
        let mut begun = Begun::default();
        let print = |text: &str| {
            let (program, text) = ("sends".to_owned(), text.to_owned());
            Print::Stream { program, stream: "stdout", text }
        };
        assert_eq!(begun.add("sends", "stdout", b"one\ntwo"), [print("one")]);
        assert_eq!(begun.add("sends", "stderr", b"three\n").len(), 1);
        assert_eq!(begun.finish(), [print("two")]);
        assert!(begun.finish().is_empty());
    }

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
