//! CBOR ──▶ entries.

use std::borrow::Cow;

use minicbor::{Decoder, data::Type, decode::Error};

use crate::{
    context::Context,
    entry::{Buffer, Entry, Kind, Record, Start},
    format::{FORMAT, kinds},
    snapshot::{Positions, Snapshot, Unread},
};

/// Returns the length of the entry that the bytes begin with; `None` if it is not whole.
///
/// No writer writes items of indefinite length. Without them a count of the items that are left is enough, however
/// deeply they are nested, so a hostile file takes no memory here.
pub(crate) fn length(bytes: &[u8]) -> Result<Option<usize>, Error> {
    let mut from = Decoder::new(bytes);
    match skip(&mut from) {
        Ok(()) => Ok(Some(from.position())),
        Err(error) if error.is_end_of_input() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Skips an item, with all items in it.
fn skip(from: &mut Decoder<'_>) -> Result<(), Error> {
    let mut left = 1_u64;
    while left > 0 {
        let inner = match from.datatype()? {
            Type::Array => from.array()?,
            Type::Map => from.map()?.and_then(|pairs| pairs.checked_mul(2)),
            Type::Tag => {
                from.tag()?;
                Some(1)
            }
            Type::ArrayIndef | Type::MapIndef | Type::BytesIndef | Type::StringIndef | Type::Break => None,
            _ => {
                from.skip()?;
                Some(0)
            }
        };
        let inner = inner.ok_or_else(|| Error::message("an item has an indefinite or impossible length"))?;
        left = (left - 1).checked_add(inner).ok_or_else(|| Error::message("an entry has too many items"))?;
    }
    Ok(())
}

/// Returns the version of a recording that begins with this entry; `None` if none does.
pub(crate) fn version(entry: &[u8]) -> Option<u64> {
    let mut from = Decoder::new(entry);
    from.array().ok()??;
    (from.u64().ok()? == kinds::START && from.str().ok()? == FORMAT).then(|| from.u64().ok())?
}

/// Returns whether this reader knows the kind of an entry.
pub(crate) fn is_known(entry: &[u8]) -> Result<bool, Error> {
    let mut from = Decoder::new(entry);
    from.array()?;
    Ok(from.u64()? <= kinds::END)
}

/// Decodes an entry.
pub(crate) fn entry<'a>(entry: &'a [u8], context: &mut Context) -> Result<Entry<'a>, Error> {
    let mut from = Decoder::new(entry);
    let fields = from.array()?.ok_or_else(|| Error::message("an entry is an array of definite length"))?;
    let kind = from.u64()?;
    let least = match kind {
        kinds::START | kinds::SNAPSHOT => 10,
        kinds::BUFFER => 6,
        kinds::LINES | kinds::END => 4,
        _ => 3,
    };
    if fields < least {
        return Err(Error::message(format!("an entry of kind {kind} has {fields} fields instead of {least}")));
    }
    Ok(match kind {
        kinds::START => {
            // The format and its version are checked by the reader.
            from.str()?;
            from.u64()?;
            let start = self::start(&mut from)?;
            context.start(&start);
            Entry::Start(start)
        }
        kinds::BLOB => Entry::Blob { name: Cow::Borrowed(from.str()?), bytes: from.bytes()? },
        kinds::BUFFER => Entry::Buffer(buffer(&mut from)?),
        kinds::CLOCK => {
            let (monotonic_ns, wall_ns) = context.advance([from.i64()?, from.i64()?]);
            Entry::Clock { monotonic_ns, wall_ns }
        }
        kinds::RECORD => Entry::Record(record(&mut from, fields, context)?),
        kinds::LABEL => {
            let index = from.u32()?;
            let text = |from: &mut Decoder<'a>| null_or(from, |from| from.str().map(Cow::Borrowed));
            Entry::Label { index, texts: list(&mut from, text)? }
        }
        kinds::LINES => {
            let what = Cow::Borrowed(from.str()?);
            let mut lines = || list(&mut from, |from| from.str().map(Cow::Borrowed));
            Entry::Lines { what, json: lines()?, text: lines()? }
        }
        kinds::SNAPSHOT => {
            let snapshot = self::snapshot(&mut from, context)?;
            context.keep(snapshot.clone());
            Entry::Snapshot(Cow::Owned(snapshot))
        }
        kinds::END => {
            let received = from.u64()?;
            let lost = null_or(&mut from, |from| from.u64())?;
            Entry::End { received, lost, notes: Cow::Borrowed(from.str()?) }
        }
        _ => return Err(Error::message(format!("the kind {kind} is unknown"))),
    })
}

fn buffer<'a>(from: &mut Decoder<'a>) -> Result<Buffer<'a>, Error> {
    let index = from.u32()?;
    let name = Cow::Borrowed(from.str()?);
    let kind = from.str()?;
    let kind = Kind::named(kind).ok_or_else(|| Error::message(format!("the kind of a buffer is `{kind}`")))?;
    Ok(Buffer { index, name, kind, bytes: from.u64()?, notes: Cow::Borrowed(from.str()?) })
}

fn record<'a>(from: &mut Decoder<'a>, fields: u64, context: &Context) -> Result<Record<'a>, Error> {
    let (buffer, bytes) = (from.u32()?, from.bytes()?);
    // Fields at the end that would be null may be missing.
    let cpu = if fields > 3 { null_or(from, |from| from.u32())? } else { None };
    let time = if fields > 4 { null_or(from, |from| from.i64())? } else { None };
    let label = if fields > 5 { null_or(from, |from| from.u32())? } else { None };
    Ok(Record { buffer, cpu, time_ns: time.map(|time| context.at(time)), label, bytes })
}

fn start<'a>(from: &mut Decoder<'a>) -> Result<Start<'a>, Error> {
    let mut text = || from.str().map(Cow::Borrowed);
    let (command, program, kernel, machine) = (text()?, text()?, text()?, text()?);
    let (monotonic_ns, wall_ns) = (from.u64()?, i128::from(from.i64()?));
    let facts = from.map()?.ok_or_else(|| Error::message("facts are a map of definite length"))?;
    let facts = (0..facts).map(|_| Ok((Cow::Borrowed(from.str()?), Cow::Borrowed(from.str()?))));
    let facts = facts.collect::<Result<_, Error>>()?;
    Ok(Start { command, program, kernel, machine, monotonic_ns, wall_ns, facts })
}

fn snapshot(from: &mut Decoder<'_>, context: &Context) -> Result<Snapshot, Error> {
    let buffer = from.u32()?;
    let before = context.before(buffer);
    let mut sum = |before: u64| Ok::<_, Error>(before.wrapping_add(from.i64()?.cast_unsigned()));
    let time_ns = sum(before.time_ns)?;
    let positions = Positions {
        consumer: sum(before.positions.consumer)?,
        producer: sum(before.positions.producer)?,
        pending: sum(before.positions.pending)?,
        overwrite: sum(before.positions.overwrite)?,
    };
    let (fill_bytes, released_meanwhile) = (from.u64()?, from.u64()?);
    let steps = from.array()?.and_then(|length| length.checked_sub(1));
    let steps = steps.ok_or_else(|| Error::message("a snapshot has notes and records"))?;
    let notes = null_or(from, |from| from.str().map(str::to_owned))?.unwrap_or(before.notes);
    let (mut old, mut records) = (before.records.into_iter(), Vec::new());
    for _ in 0..steps {
        if from.datatype()? == Type::Array {
            records.push(unread(from, positions.consumer)?);
            continue;
        }
        let step = from.i64()?;
        let count = usize::try_from(step.unsigned_abs()).unwrap_or(usize::MAX);
        let too_many =
            || Error::message(format!("a snapshot refers to {count} records of the one before, which has fewer"));
        if old.len() < count {
            return Err(too_many());
        }
        let part = old.by_ref().take(count);
        if step < 0 {
            part.for_each(drop);
        } else {
            records.extend(part);
        }
    }
    Ok(Snapshot { buffer, time_ns, positions, fill_bytes, released_meanwhile, notes, records })
}

fn unread(from: &mut Decoder<'_>, origin: u64) -> Result<Unread, Error> {
    if from.array()?.is_none_or(|fields| fields != 5) {
        return Err(Error::message("an unread record has five fields"));
    }
    Ok(Unread {
        position: origin.wrapping_add(from.i64()?.cast_unsigned()),
        length: from.u32()?,
        state: from.u32()?,
        payload: null_or(from, |from| from.bytes().map(<[u8]>::to_vec))?,
        notes: from.str()?.to_owned(),
    })
}

/// Decodes a value; null is `None`.
fn null_or<'a, T>(
    from: &mut Decoder<'a>,
    value: impl FnOnce(&mut Decoder<'a>) -> Result<T, Error>,
) -> Result<Option<T>, Error> {
    if from.datatype()? == Type::Null {
        from.null()?;
        return Ok(None);
    }
    value(from).map(Some)
}

/// Decodes an array. Its memory is taken as its elements are found, so a wrong length takes none.
fn list<'a, T>(
    from: &mut Decoder<'a>,
    mut value: impl FnMut(&mut Decoder<'a>) -> Result<T, Error>,
) -> Result<Vec<T>, Error> {
    let length = from.array()?.ok_or_else(|| Error::message("a list has a definite length"))?;
    (0..length).map(|_| value(from)).collect()
}
