//! Entries are read as they were written, whatever happens to the end of the file.

use std::borrow::Cow;

use proptest::{collection::vec, option, prelude::*};

use crate::{Buffer, Entry, Error, Kind, Positions, Reader, Record, Snapshot, Start, Unread, Writer};

/// An entry that owns what it refers to.
#[derive(Debug, Clone)]
enum Owned {
    Blob(String, Vec<u8>),
    Buffer(u32, String, u64),
    Clock(u64, i64),
    Record(u32, Option<u32>, Option<u64>, Option<u32>, Vec<u8>),
    Label(u32, Vec<Option<String>>),
    Lines(Vec<String>, Vec<String>),
    Snapshot(Snapshot),
    End(u64, Option<u64>),
}

impl Owned {
    fn entry(&self) -> Entry<'_> {
        match self {
            Self::Blob(name, bytes) => Entry::Blob { name: name.into(), bytes },
            Self::Buffer(index, name, bytes) => Entry::Buffer(Buffer {
                index: *index,
                name: name.into(),
                kind: Kind::Perf,
                bytes: *bytes,
                notes: "{}".into(),
            }),
            Self::Clock(monotonic, wall) => Entry::Clock { monotonic_ns: *monotonic, wall_ns: (*wall).into() },
            Self::Record(buffer, cpu, time_ns, label, bytes) => {
                Entry::Record(Record { buffer: *buffer, cpu: *cpu, time_ns: *time_ns, label: *label, bytes })
            }
            Self::Label(index, texts) => Entry::Label {
                index: *index,
                texts: texts.iter().map(|text| text.as_deref().map(Cow::Borrowed)).collect(),
            },
            Self::Lines(json, text) => {
                let lines = |lines: &'_ Vec<String>| lines.iter().map(|line| Cow::Owned(line.clone())).collect();
                Entry::Lines { what: "prints".into(), json: lines(json), text: lines(text) }
            }
            Self::Snapshot(snapshot) => Entry::Snapshot(Cow::Borrowed(snapshot)),
            Self::End(received, lost) => Entry::End { received: *received, lost: *lost, notes: "".into() },
        }
    }
}

fn snapshot() -> impl Strategy<Value = Snapshot> {
    let record = (0_u64..8, any::<u32>(), 0_u32..3, option::of(vec(any::<u8>(), 0..9)), "[a-c]{0,2}");
    let record = record.prop_map(|(position, length, state, payload, notes)| Unread {
        position: position * 8,
        length,
        state,
        payload,
        notes,
    });
    (0_u32..2, any::<u64>(), any::<[u64; 4]>(), any::<[u64; 2]>(), "[a-b]?", vec(record, 0..9)).prop_map(
        |(
            buffer,
            time_ns,
            [consumer, producer, pending, overwrite],
            [fill_bytes, released_meanwhile],
            notes,
            records,
        )| {
            let positions = Positions { consumer, producer, pending, overwrite };
            Snapshot { buffer, time_ns, positions, fill_bytes, released_meanwhile, notes, records }
        },
    )
}

fn owned() -> impl Strategy<Value = Owned> {
    let text = || ".{0,9}";
    prop_oneof![
        (text(), vec(any::<u8>(), 0..300)).prop_map(|(name, bytes)| Owned::Blob(name, bytes)),
        (any::<u32>(), text(), any::<u64>()).prop_map(|(index, name, bytes)| Owned::Buffer(index, name, bytes)),
        (0..u64::MAX / 4, any::<i32>()).prop_map(|(monotonic, wall)| Owned::Clock(monotonic, wall.into())),
        (
            any::<u32>(),
            option::of(any::<u32>()),
            option::of(any::<u64>()),
            option::of(any::<u32>()),
            vec(any::<u8>(), 0..99)
        )
            .prop_map(|(buffer, cpu, time, label, bytes)| Owned::Record(buffer, cpu, time, label, bytes)),
        (any::<u32>(), vec(option::of(text()), 0..4)).prop_map(|(index, texts)| Owned::Label(index, texts)),
        (vec(text(), 0..4), vec(text(), 0..4)).prop_map(|(json, text)| Owned::Lines(json, text)),
        snapshot().prop_map(Owned::Snapshot),
        (any::<u64>(), option::of(any::<u64>())).prop_map(|(received, lost)| Owned::End(received, lost)),
    ]
}

/// Writes the entries; each `true` ends a frame. Returns the file, and its length after each frame with the entries
/// before.
fn written(entries: &[(Owned, bool)]) -> (Vec<u8>, Vec<(usize, usize)>) {
    let start = Start { command: "test".into(), monotonic_ns: 5, wall_ns: 7, ..Start::default() };
    let mut writer = Writer::new(Vec::new(), &start);
    let mut frames = Vec::new();
    for (index, (entry, flush)) in entries.iter().enumerate() {
        writer.add(&entry.entry()).unwrap();
        if *flush {
            writer.flush().unwrap();
            frames.push((writer.length(), index + 1));
        }
    }
    let file = writer.finish().unwrap();
    frames.push((file.len(), entries.len()));
    (file, frames)
}

/// Reads a file and compares its entries with the first ones of `expected`. Returns their number, and whether the file
/// was cut.
fn compare(file: &[u8], expected: &[(Owned, bool)]) -> (usize, bool) {
    let (mut reader, start) = Reader::new(file).unwrap();
    assert_eq!(start.command, "test");
    let mut count = 0;
    while let Some(entry) = reader.next_entry().unwrap() {
        assert_eq!(entry, expected[count].0.entry());
        count += 1;
    }
    assert!(reader.next_entry().unwrap().is_none());
    (count, reader.is_cut())
}

proptest! {
    #[test]
    fn entries_are_read_as_written(entries in vec((owned(), any::<bool>()), 0..40)) {
        let (file, _) = written(&entries);
        prop_assert_eq!(compare(&file, &entries), (entries.len(), false));
    }

    #[test]
    fn cut_file_has_all_whole_frames(entries in vec((owned(), any::<bool>()), 1..20), at in any::<prop::sample::Index>()) {
        let (file, frames) = written(&entries);
        let cut = at.index(file.len());
        let whole = frames.iter().rev().find(|(length, _)| *length <= cut);
        match whole {
            Some(&(length, least)) => {
                let (count, is_cut) = compare(&file[..cut], &entries);
                prop_assert!(count >= least);
                prop_assert_eq!(is_cut, length != cut);
            }
            // Even the first frame is cut. Its first block may be whole.
            None => if let Ok((mut reader, _)) = Reader::new(&file[..cut]) {
                while reader.next_entry().unwrap().is_some() {}
                prop_assert!(reader.is_cut());
            },
        }
    }

    #[test]
    fn changed_file_is_an_error_or_ends(entries in vec((owned(), any::<bool>()), 1..20), at in any::<prop::sample::Index>(), bit in 0_u32..8) {
        let (mut file, _) = written(&entries);
        let at = at.index(file.len());
        file[at] ^= 1_u8 << bit;
        let Ok((mut reader, _)) = Reader::new(file.as_slice()) else { return Ok(()) };
        while let Ok(Some(_)) = reader.next_entry() {}
        prop_assert!(matches!(reader.next_entry(), Ok(None)));
    }

    #[test]
    fn any_entries_are_survived(bytes in vec(any::<u8>(), 0..200)) {
        let mut writer = Writer::new(Vec::new(), &Start::default());
        writer.add_encoded(&bytes);
        let file = writer.finish().unwrap();
        let (mut reader, _) = Reader::new(file.as_slice()).unwrap();
        while let Ok(Some(_)) = reader.next_entry() {}
    }
}

#[test]
fn other_files_are_no_recordings() {
    for file in [b"{\"id\": 1}\n".as_slice(), &[0; 4096]] {
        assert!(matches!(Reader::new(file), Err(Error::NotARecording)), "{file:?}");
    }
    for file in [b"".as_slice(), b"\x04", &[0x04, 0x22, 0x4d, 0x18]] {
        assert!(matches!(Reader::new(file), Err(Error::NoStart)), "{file:?}");
    }
}

#[test]
fn joined_files_are_refused_where_the_second_begins() {
    let file = Writer::new(Vec::new(), &Start::default()).finish().unwrap();
    let joined = [file.as_slice(), &file].concat();
    let (mut reader, _) = Reader::new(joined.as_slice()).unwrap();
    let why = reader.next_entry().unwrap_err();
    assert!(matches!(why, Error::Damaged { after: 1, .. }), "{why}");
    assert!(reader.next_entry().unwrap().is_none());
}

#[test]
fn unknown_entries_are_skipped_and_later_versions_refused() {
    let mut writer = Writer::new(Vec::new(), &Start::default());
    // [99, "new"], then [8, 3, null, "", "a further field"].
    writer.add_encoded(b"\x82\x18\x63\x63new\x85\x08\x03\xf6\x60\x6fa further field");
    let file = writer.finish().unwrap();
    let (mut reader, _) = Reader::new(file.as_slice()).unwrap();
    assert_eq!(reader.next_entry().unwrap(), Some(Entry::End { received: 3, lost: None, notes: "".into() }));
    assert!(reader.next_entry().unwrap().is_none());

    let mut frames = crate::FrameWriter::new(Vec::new());
    frames.write(b"\x83\x00\x71cutaway recording\x02").unwrap();
    let why = Reader::new(frames.into_inner().as_slice()).unwrap_err();
    assert!(matches!(why, Error::Version(2)), "{why}");
}

#[test]
fn nested_items_take_no_memory() {
    // Twenty million arrays in each other, of definite and of indefinite length: a small file.
    for byte in [0x81, 0x9f] {
        let mut writer = Writer::new(Vec::new(), &Start::default());
        writer.add_encoded(&vec![byte; 20 << 20]);
        let file = writer.finish().unwrap();
        assert!(file.len() < 1 << 20);
        let (mut reader, _) = Reader::new(file.as_slice()).unwrap();
        while let Ok(Some(_)) = reader.next_entry() {}
        assert!(reader.next_entry().unwrap().is_none());
    }
}

#[test]
fn unchanged_snapshot_takes_few_bytes() {
    let records: Vec<_> = (0..1000).map(|at| Unread { position: at * 64, length: 56, ..Unread::default() }).collect();
    let mut snapshot = Snapshot { fill_bytes: 64_000, records, ..Snapshot::default() };
    let mut encoder = crate::Encoder::new(&Start::default());
    encoder.add(&Entry::Snapshot(Cow::Borrowed(&snapshot)));
    encoder.take();
    for _ in 0..100 {
        snapshot.time_ns += 1000;
        encoder.add(&Entry::Snapshot(Cow::Borrowed(&snapshot)));
    }
    let bytes = encoder.take().len();
    assert!(bytes < 100 * 32, "{bytes} bytes for 100 snapshots");
}
