//! Replays snapshots from a file: one JSON object a line, as `--format json` prints them.

use std::{
    fs::File,
    io::{BufRead, BufReader, Read},
    path::Path,
};

use super::{
    args::Arguments,
    kept::Kept,
    perf, ring,
    types::{Decoded, Types},
};
use crate::{
    args::Format,
    draw::{Canvas, Command, Picture, Steps},
    error::CliError,
    terminal,
};

/// Largest size of a file and of a line in bytes: many hours of snapshots, and a snapshot of more records than a ring
/// of 64 MiB holds. Devices and pipes may never end.
const LONGEST: [u64; 2] = [1 << 30, 256 << 20];

/// The snapshots of a file, in its order.
#[derive(Debug)]
pub(crate) struct Recording(Vec<Kept>);

impl Kept {
    /// Parses a line. The error says why it is not a snapshot.
    fn read(line: &str) -> Result<Self, String> {
        let value: serde_json::Value = serde_json::from_str(line).map_err(|error| error.to_string())?;
        // No ring has such a field, and no perf buffer lacks it.
        let kept = if value.get("data_head").is_some() {
            serde_json::from_value(value).map(Self::Perf)
        } else {
            serde_json::from_value(value).map(Self::Ring)
        };
        let kept = kept.map_err(|error| error.to_string())?;
        kept.check().map(|()| kept)
    }

    pub(crate) fn picture(&self) -> Picture {
        match self {
            Self::Ring(snapshot) => snapshot.picture(),
            Self::Perf(snapshot) => snapshot.picture(),
        }
    }

    /// Formats the snapshot, with an empty line after a table. A table shows the payloads of the first `most` records.
    pub(crate) fn show(&self, format: Format, most: usize) -> Result<String, CliError> {
        Ok(match (self, format) {
            (Self::Ring(snapshot), Format::Table) => ring::table(snapshot, terminal::is_colored()) + "\n",
            (Self::Perf(snapshot), Format::Table) => perf::table(snapshot, most),
            (Self::Ring(snapshot), Format::Json) => ring::json(snapshot)?,
            (Self::Perf(snapshot), Format::Json) => perf::json(snapshot)?,
        })
    }

    /// Drops all payloads but those of the first `most` records.
    pub(crate) fn keep_payloads(&mut self, most: usize) {
        let forget = |payload: &mut Option<Vec<u8>>, decoded: &mut Decoded| {
            (*payload, *decoded) = (None, Decoded::default());
        };
        match self {
            Self::Ring(snapshot) => {
                let records = snapshot.records.iter_mut().skip(most);
                records.for_each(|record| forget(&mut record.payload, &mut record.decoded));
            }
            Self::Perf(snapshot) => {
                let records = snapshot.records.iter_mut().skip(most);
                records.for_each(|record| forget(&mut record.payload, &mut record.decoded));
            }
        }
    }
}

impl Recording {
    /// Reads a file and validates each of its snapshots.
    pub(crate) fn read(path: &Path) -> Result<Self, CliError> {
        let attempt = format!("read the snapshots in {}", path.display());
        let file = File::open(path).map_err(|error| CliError::system(&attempt, &error))?;
        Self::read_from(BufReader::new(file), &attempt, LONGEST)
    }

    fn read_from(mut file: impl BufRead, attempt: &str, [all, longest]: [u64; 2]) -> Result<Self, CliError> {
        let too_long = |index: usize, what: &str, bytes: u64| {
            CliError::new(format!("cannot {attempt}: at line {index}, {what} has more than {bytes} bytes"))
                .advise("check that the file holds snapshots; `head` and `split` shorten a long file")
        };
        let (mut snapshots, mut bytes, mut read) = (Vec::new(), Vec::new(), 0);
        for index in 1.. {
            bytes.clear();
            let length = file.by_ref().take(longest + 1).read_until(b'\n', &mut bytes);
            let length = length.map_err(|error| CliError::system(attempt, &error))? as u64;
            read += length;
            match length {
                0 => break,
                length if length > longest => return Err(too_long(index, "it", longest)),
                _ if read > all => return Err(too_long(index, "the file", all)),
                _ => {}
            }
            // Names may have any bytes.
            let line = String::from_utf8_lossy(&bytes);
            if line.trim().is_empty() {
                continue;
            }
            let refused = |why: String| {
                CliError::new(format!("cannot {attempt}: line {index} is not a snapshot: {why}"))
                    .advise("`cutaway peek --id N --watch --format json` writes such files")
            };
            snapshots.push(Kept::read(&line).map_err(refused)?);
        }
        if snapshots.is_empty() {
            return Err(CliError::new(format!("cannot {attempt}: there are none")));
        }
        Ok(Self(snapshots))
    }

    /// Decodes the payloads as this type, which replaces values decoded before.
    pub(crate) fn decode(&mut self, types: &Types) {
        for snapshot in &mut self.0 {
            match snapshot {
                Kept::Ring(snapshot) => snapshot.decode(types),
                Kept::Perf(snapshot) => snapshot.decode(types),
            }
        }
    }

    /// Drops all payloads but those of the first `most` records of each snapshot.
    pub(crate) fn keep_payloads(&mut self, most: usize) {
        self.0.iter_mut().for_each(|kept| kept.keep_payloads(most));
    }

    pub(crate) fn snapshots(&self) -> impl Iterator<Item = &Kept> {
        self.0.iter()
    }

    pub(crate) fn get(&self, index: usize) -> Option<&Kept> {
        self.0.get(index)
    }
}

/// Shows the snapshots of `file`.
pub(crate) fn run(file: &Path, arguments: &Arguments) -> Result<(), CliError> {
    if arguments.decode_as.is_some() && arguments.btf.is_none() {
        return Err(CliError::usage(
            "--type with --from requires --btf FILE: the programs that wrote the records may no longer be loaded",
        ));
    }
    let mut recording = Recording::read(file)?;
    let Some(picture) = &arguments.draw else {
        // Without --type, the values in the file are shown: the programs that wrote the records may be gone.
        if arguments.decode_as.is_some()
            && let Some(types) = Types::of(arguments, &[], true)?
        {
            recording.decode(&types);
        }
        let most = arguments.records.unwrap_or(usize::MAX);
        recording.keep_payloads(most);
        return recording.snapshots().try_for_each(|snapshot| terminal::print(&snapshot.show(arguments.format, most)?));
    };
    let mut canvas = Canvas::apart(picture, &[file])?;
    let mut steps = arguments.step.then(Steps::new).transpose()?;
    let mut at = 0;
    while let Some(snapshot) = recording.get(at) {
        if !canvas.draw(snapshot.picture())? {
            break;
        }
        // A frame in a file stays there, so stepping back works in a terminal only.
        let back = at > 0 && matches!(canvas, Canvas::Terminal);
        at = match steps.as_mut().map(|steps| steps.next(back, None)) {
            Some(Command::End) => break,
            Some(Command::Back) => at.saturating_sub(1),
            Some(Command::Next) | None => at + 1,
        };
    }
    canvas.finish()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::{
        super::ring::{State, sample},
        *,
    };

    fn read(text: &str) -> Result<Recording, String> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        Recording::read(file.path()).map_err(|failure| failure.to_string())
    }

    #[test]
    fn written_snapshots_are_read() {
        let kept = [
            Kept::Ring(sample(4096 * 5 + 3000, &[(40, State::Committed), (900, State::Busy)])),
            Kept::Perf(perf::sample(4096 * 5 + 3000, &[2048, 32])),
        ];
        let lines: String =
            kept.iter().map(|snapshot| snapshot.show(Format::Json, usize::MAX).unwrap() + "\n").collect();
        let recording = read(&lines).unwrap();
        assert_eq!(recording.snapshots().collect::<Vec<_>>(), [&kept[0], &kept[1]]);
    }

    #[test]
    fn invalid_snapshots_are_refused_in_one_line() {
        let mut snapshot = sample(0, &[(40, State::Committed)]);
        snapshot.fill_bytes = 8;
        let mut perf = perf::sample(0, &[64]);
        perf.fill_bytes = 8;
        let mut counts = sample(0, &[(40, State::Committed)]);
        counts.committed = u64::MAX;
        counts.busy = 2;
        let contradicts = [&snapshot, &counts].map(|snapshot| serde_json::to_string(snapshot).unwrap());
        let contradicts = [contradicts.as_slice(), &[serde_json::to_string(&perf).unwrap()]].concat();
        for (text, part) in [
            ("", "there are none"),
            ("{}", "line 1 is not a snapshot"),
            ("\n[1]", "line 2"),
            ("{\"data_head\":1}", "missing field"),
            (&contradicts[0], "contradict"),
            (&contradicts[1], "contradict"),
            (&contradicts[2], "contradict"),
        ] {
            let why = read(text).unwrap_err();
            assert!(why.contains(part) && !why.contains('\n'), "{why}");
        }
    }
}
