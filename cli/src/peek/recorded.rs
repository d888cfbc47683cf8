//! Looks that were kept in a file: one JSON object a line, as `--format json` prints them.

use std::{
    fs::File,
    io::{BufRead, BufReader},
    path::Path,
};

use super::Snapshot;
use crate::failure::Failure;

/// The looks of one file, in its order.
#[derive(Debug)]
pub(crate) struct Recording(Vec<Snapshot>);

impl Recording {
    /// Reads a file, and checks that each of its looks can be one.
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        let attempt = format!("read the looks in {}", path.display());
        let file = File::open(path).map_err(|error| Failure::system(&attempt, &error))?;
        let mut looks = Vec::new();
        for (index, line) in BufReader::new(file).lines().enumerate() {
            let line = line.map_err(|error| Failure::system(&attempt, &error))?;
            if line.trim().is_empty() {
                continue;
            }
            let refused = |why: String| {
                Failure::new(format!("cannot {attempt}: line {} is no look at a ring: {why}", index + 1))
                    .advise("`cutaway peek --id N --watch --format json` writes such files")
            };
            let look: Snapshot = serde_json::from_str(&line).map_err(|error| refused(error.to_string()))?;
            if !look.is_sound() {
                return Err(refused("its records and positions contradict each other".to_owned()));
            }
            looks.push(look);
        }
        if looks.is_empty() {
            return Err(Failure::new(format!("cannot {attempt}: there are none")));
        }
        Ok(Self(looks))
    }

    pub(crate) fn looks(&self) -> impl Iterator<Item = &Snapshot> {
        self.0.iter()
    }

    pub(crate) fn look(&self, index: usize) -> Option<&Snapshot> {
        self.0.get(index)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::draw::sample;

    fn read(text: &str) -> Result<Recording, String> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        Recording::read(file.path()).map_err(|failure| failure.to_string())
    }

    #[test]
    fn what_is_written_is_read() {
        let look = sample(4096 * 5 + 3000, &[(40, super::super::State::Committed), (900, super::super::State::Busy)]);
        let line = serde_json::to_string(&look).unwrap();
        let recording = read(&format!("{line}\n\n{line}\n")).unwrap();
        assert_eq!(recording.looks().collect::<Vec<_>>(), [&look, &look]);
    }

    #[test]
    fn what_cannot_be_is_refused_in_one_sentence() {
        let mut look = sample(0, &[(40, super::super::State::Committed)]);
        look.fill_bytes = 8;
        let contradicts = serde_json::to_string(&look).unwrap();
        for (text, part) in
            [("", "there are none"), ("{}", "line 1 is no look"), ("\n[1]", "line 2"), (&contradicts, "contradict")]
        {
            let why = read(text).unwrap_err();
            assert!(why.contains(part) && !why.contains('\n'), "{why}");
        }
    }
}
