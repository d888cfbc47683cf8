//! Entries ──▶ CBOR.

use std::convert::Infallible;

use minicbor::{Encoder, encode::Error};

use crate::{
    context::Context,
    entry::{Buffer, Entry, Record, Start},
    format::{FORMAT, VERSION, kinds},
    snapshot::{Snapshot, Step, Unread, steps},
};

type Encoded = Result<(), Error<Infallible>>;

/// Appends an entry to `to`.
pub(crate) fn entry(to: &mut Vec<u8>, context: &mut Context, entry: &Entry<'_>) {
    // Writing to memory does not fail.
    let _ = encode(&mut Encoder::new(to), context, entry);
}

fn encode(to: &mut Encoder<&mut Vec<u8>>, context: &mut Context, entry: &Entry<'_>) -> Encoded {
    match entry {
        Entry::Start(start) => {
            // From the year 1677 to 2262.
            let wall_ns = start.wall_ns.clamp(i64::MIN.into(), i64::MAX.into());
            let start = Start { wall_ns, ..start.clone() };
            context.start(&start);
            self::start(to, &start)
        }
        Entry::Blob { name, bytes } => to.array(3)?.u64(kinds::BLOB)?.str(name)?.bytes(bytes)?.ok(),
        Entry::Buffer(Buffer { index, name, kind, bytes, notes }) => {
            to.array(6)?.u64(kinds::BUFFER)?.u32(*index)?.str(name)?.str(kind.name())?.u64(*bytes)?.str(notes)?.ok()
        }
        Entry::Clock { monotonic_ns, wall_ns } => {
            let [monotonic, offset] = context.clock(*monotonic_ns, *wall_ns);
            to.array(3)?.u64(kinds::CLOCK)?.i64(monotonic)?.i64(offset)?.ok()
        }
        Entry::Record(record) => self::record(to, context, record),
        Entry::Label { index, texts } => {
            to.array(3)?.u64(kinds::LABEL)?.u32(*index)?.array(texts.len() as u64)?;
            for text in texts {
                match text {
                    Some(text) => to.str(text)?,
                    None => to.null()?,
                };
            }
            Ok(())
        }
        Entry::Lines { what, json, text } => {
            to.array(4)?.u64(kinds::LINES)?.str(what)?;
            for lines in [json, text] {
                to.array(lines.len() as u64)?;
                for line in lines {
                    to.str(line)?;
                }
            }
            Ok(())
        }
        Entry::Snapshot(snapshot) => self::snapshot(to, context, snapshot),
        Entry::End { received, lost, notes } => {
            to.array(4)?.u64(kinds::END)?.u64(*received)?;
            optional(to, *lost)?;
            to.str(notes)?.ok()
        }
    }
}

fn start(to: &mut Encoder<&mut Vec<u8>>, start: &Start<'_>) -> Encoded {
    let Start { command, program, kernel, machine, monotonic_ns, wall_ns, facts } = start;
    to.array(10)?.u64(kinds::START)?.str(FORMAT)?.u64(VERSION)?;
    to.str(command)?.str(program)?.str(kernel)?.str(machine)?.u64(*monotonic_ns)?;
    to.i64(i64::try_from(*wall_ns).unwrap_or(i64::MAX))?;
    to.map(facts.len() as u64)?;
    for (name, value) in facts {
        to.str(name)?.str(value)?;
    }
    Ok(())
}

fn record(to: &mut Encoder<&mut Vec<u8>>, context: &Context, record: &Record<'_>) -> Encoded {
    let Record { buffer, cpu, time_ns, label, bytes } = record;
    // Fields at the end that are null are omitted.
    let length = match (cpu, time_ns, label) {
        (None, None, None) => 3,
        (_, None, None) => 4,
        (_, _, None) => 5,
        _ => 6,
    };
    to.array(length)?.u64(kinds::RECORD)?.u32(*buffer)?.bytes(bytes)?;
    if length > 3 {
        optional(to, cpu.map(u64::from))?;
    }
    if length > 4 {
        match time_ns {
            Some(time) => to.i64(context.since_clock(*time))?,
            None => to.null()?,
        };
    }
    if length > 5 {
        optional(to, label.map(u64::from))?;
    }
    Ok(())
}

fn snapshot(to: &mut Encoder<&mut Vec<u8>>, context: &mut Context, snapshot: &Snapshot) -> Encoded {
    let before = context.before(snapshot.buffer);
    let difference = |now: u64, then: u64| now.wrapping_sub(then).cast_signed();
    to.array(10)?.u64(kinds::SNAPSHOT)?.u32(snapshot.buffer)?.i64(difference(snapshot.time_ns, before.time_ns))?;
    for (now, then) in [
        (snapshot.positions.consumer, before.positions.consumer),
        (snapshot.positions.producer, before.positions.producer),
        (snapshot.positions.pending, before.positions.pending),
        (snapshot.positions.overwrite, before.positions.overwrite),
    ] {
        to.i64(difference(now, then))?;
    }
    to.u64(snapshot.fill_bytes)?;
    to.u64(snapshot.released_meanwhile)?;
    let steps = steps(&before.records, &snapshot.records);
    let same_notes = snapshot.notes == before.notes;
    // The notes come first: null if they are those of the snapshot before.
    to.array(steps.len() as u64 + 1)?;
    if same_notes {
        to.null()?;
    } else {
        to.str(&snapshot.notes)?;
    }
    for step in &steps {
        match step {
            Step::Skip(count) => to.i64(-i64::try_from(*count).unwrap_or(i64::MAX))?,
            Step::Keep(count) => to.u64(*count)?,
            Step::New(record) => {
                unread(to, snapshot.positions.consumer, record)?;
                continue;
            }
        };
    }
    context.keep(snapshot.clone());
    Ok(())
}

fn unread(to: &mut Encoder<&mut Vec<u8>>, origin: u64, record: &Unread) -> Encoded {
    to.array(5)?.i64(record.position.wrapping_sub(origin).cast_signed())?.u32(record.length)?.u32(record.state)?;
    match &record.payload {
        Some(payload) => to.bytes(payload)?,
        None => to.null()?,
    };
    to.str(&record.notes)?.ok()
}

fn optional(to: &mut Encoder<&mut Vec<u8>>, number: Option<u64>) -> Encoded {
    match number {
        Some(number) => to.u64(number)?.ok(),
        None => to.null()?.ok(),
    }
}
