//! What aya-obj must not be given: files on which it has undefined behavior, takes any amount of memory, or silently
//! reads or links something else than the file says. Each was found in the source of aya-obj 0.3.0.

use super::effort::effort;
use crate::{
    Error,
    elf::{Elf, Section},
    object::Object,
    sorted::Sorted,
};

/// The most bytes of all `.bss` sections together. The kernel takes up to 2 GiB, which would end a process whose address
/// space is limited.
const MOST: u64 = 256 << 20;

/// Refuses an object that aya-obj must not be given. `own` is what this crate's reader has made of the file.
pub(super) fn admit(own: &Object) -> Result<(), Error> {
    match fault_on(own) {
        Some(why) => Err(Error::Object { why: format!("it is not given to aya-obj, which {why}") }),
        None => Ok(()),
    }
}

/// Returns what aya-obj would do wrong with the object, as the predicate of a sentence about aya-obj; `None` if it can
/// be given to it.
pub(crate) fn fault_on(own: &Object) -> Option<String> {
    externs(own)
        .or_else(|| legacy_maps(&own.elf))
        .or_else(|| zeroes(&own.elf))
        .or_else(|| anonymous_maps(&own.elf))
        .or_else(|| same_names(own))
        .or_else(|| layout(&own.elf))
        .or_else(|| effort(own))
}

/// aya-obj leaves a load of an extern at 0, and takes the call of one for a call of itself.
fn externs(own: &Object) -> Option<String> {
    let first = own.externs.first()?;
    Some(format!("does not resolve externs, such as `{}`", first.name))
}

/// aya-obj reads the bytes 24 to 27 of an old description as an enum of two values, 0 and 1, in each section whose name
/// begins with `maps`.
fn legacy_maps(elf: &Elf) -> Option<String> {
    for symbol in elf.all_symbols().filter(|symbol| symbol.size > 24) {
        let section = symbol.section.map(|section| elf.section(section));
        let Some(section) = section.filter(|section| section.name.starts_with("maps")) else { continue };
        let pinning = section.bytes_at(symbol.address + 24, (symbol.size - 24).min(4)).map(|bytes| {
            let mut word = [0; 4];
            word.iter_mut().zip(bytes).for_each(|(byte, known)| *byte = *known);
            u32::from_ne_bytes(word)
        });
        if pinning.is_none_or(|pinning| pinning > 1) {
            return Some(format!(
                "has undefined behavior on the pinning of the map `{}` (section `{}`), neither 0 nor 1",
                symbol.name, section.name
            ));
        }
    }
    None
}

/// aya-obj asks for as much memory as `.bss` claims.
fn zeroes(elf: &Elf) -> Option<String> {
    let sections = elf.sections().filter(|(_, section)| section.name.starts_with(".bss"));
    let bytes = sections.fold(0_u64, |sum, (_, section)| sum.saturating_add(section.size));
    (bytes > MOST).then(|| format!("takes memory for all of .bss, here {bytes} bytes: {MOST} are allowed"))
}

/// aya-obj takes a reference to a section of maps, which names none of them, for one to the last map that it was told
/// of.
fn anonymous_maps(elf: &Elf) -> Option<String> {
    let is_of_maps = |section: &Section| section.name.starts_with(".maps") || section.name.starts_with("maps");
    let code = elf.sections().filter(|(_, section)| section.executable);
    let mut references = code.flat_map(|(index, _)| elf.references(index));
    let (_, symbol) = references.find(|(_, symbol)| {
        symbol.is_section && symbol.section.is_some_and(|section| is_of_maps(elf.section(section)))
    })?;
    let section = &elf.section(symbol.section?).name;
    Some(format!("takes any of the maps in `{section}` for one that is referred to without a name (is it static?)"))
}

/// aya-obj keeps maps and programs by their names, and sections, for CO-RE relocation, by theirs: the last one counts.
fn same_names(own: &Object) -> Option<String> {
    let twice = |mut names: Vec<&str>| {
        names.sort_unstable();
        names
            .windows(2)
            .find_map(|pair| (pair.first() == pair.last()).then(|| pair.first().copied()).flatten())
            .map(str::to_owned)
    };
    let maps = own.maps.iter().map(|map| map.name.as_str());
    if let Some(name) = twice(maps.collect()) {
        return Some(format!("keeps one of several maps named `{name}`"));
    }
    let programs = own.programs.iter().map(|program| program.name.as_str());
    if let Some(name) = twice(programs.collect()) {
        return Some(format!("keeps one of several programs named `{name}`"));
    }
    let with_functions = Sorted::of(own.functions.iter().map(|((section, _), _)| (*section, ())));
    let sections = with_functions.iter().map(|(section, ())| own.elf.section(*section).name.as_str());
    let name = twice(sections.collect()).filter(|_| own.core)?;
    Some(format!("relocates one of several sections named `{name}`"))
}

/// aya-obj keeps the header of `.BTF` when it writes the types and names again, one behind the other.
fn layout(elf: &Elf) -> Option<String> {
    const HEADER: u32 = 24;
    let bytes = elf.contents(".BTF");
    let (words, _) = bytes.as_chunks::<4>();
    let word = |index: usize| words.get(index).map_or(0, |word| u32::from_ne_bytes(*word));
    let (header, types, types_size, names) = (word(1), word(2), word(3), word(4));
    let is_usual = bytes.is_empty() || (header, types, names) == (HEADER, 0, types_size);
    (!is_usual).then(|| {
        "misreads types that do not begin at byte 24 of the section `.BTF`, or names that do not follow them".to_owned()
    })
}
