//! Refuses files on which aya-obj has undefined behavior, takes an unbounded amount of memory, or silently reads or
//! links something else than the file says. Each fault is in the source of aya-obj 0.3.0.

use super::{effort::effort, kernel::long_type};
use crate::{
    Error,
    elf::{Elf, Section},
    object::Object,
    sorted::Sorted,
};

/// The maximum size in bytes of all `.bss` sections together. The kernel accepts up to 2 GiB; allocating that much
/// would end a process whose address space is limited.
const MOST: u64 = 256 << 20;

/// Refuses an object that aya-obj must not be given. `own` is the object as this crate's reader parses it.
pub(super) fn admit(own: &Object) -> Result<(), Error> {
    match fault_on(own) {
        Some(why) => Err(Error::Object { why: format!("it is not given to aya-obj, which {why}") }),
        None => Ok(()),
    }
}

/// Returns the fault that aya-obj would have on the object, as the predicate of a sentence about aya-obj; `None` if
/// aya-obj can read the object.
pub(crate) fn fault_on(own: &Object) -> Option<String> {
    externs(own)
        .or_else(|| legacy_maps(&own.elf))
        .or_else(|| zeroes(&own.elf))
        .or_else(|| anonymous_maps(&own.elf))
        .or_else(|| same_names(own))
        .or_else(|| own.elf.oddity().map(str::to_owned))
        .or_else(|| layout(&own.elf))
        .or_else(|| long_type(&own.own_btf().ok()??))
        .or_else(|| effort(own))
}

/// Finds an extern. aya-obj leaves the load of an extern at 0, and takes the call of an extern for a call whose target
/// is the call instruction itself.
fn externs(own: &Object) -> Option<String> {
    let first = own.externs.first()?;
    Some(format!("does not resolve externs, such as `{}`", first.name))
}

/// Finds a map in the old form whose pinning is neither 0 nor 1. In each section whose name begins with `maps`, aya-obj
/// reads the bytes 24 to 27 of a map's description as an enum of these two values.
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

/// Checks the size of the `.bss` sections, because aya-obj allocates all of it.
fn zeroes(elf: &Elf) -> Option<String> {
    let sections = elf.sections().filter(|(_, section)| section.name.starts_with(".bss"));
    let bytes = sections.fold(0_u64, |sum, (_, section)| sum.saturating_add(section.size));
    (bytes > MOST).then(|| format!("takes memory for all of .bss, here {bytes} bytes: {MOST} are allowed"))
}

/// Finds a reference to a section of maps that names no map. aya-obj takes it for a reference to the last map that the
/// caller passes to `relocate_maps`.
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

/// Finds two maps, programs or sections of one name. aya-obj keeps maps and programs by name, and for CO-RE relocation
/// sections too: the last one counts.
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

/// Checks the layout of `.BTF` and `.BTF.ext`. aya-obj keeps the header of `.BTF` when it writes the types again,
/// followed by the names, and reads CO-RE relocations by a header that has a part of their position.
fn layout(elf: &Elf) -> Option<String> {
    const HEADER: u32 = 24;
    const WITH_RELOCATIONS: u32 = 32;
    let word = |bytes: &[u8], index: usize| {
        let (words, _) = bytes.as_chunks::<4>();
        words.get(index).map_or(0, |word| u32::from_ne_bytes(*word))
    };
    let (btf, ext) = (elf.contents(".BTF"), elf.contents(".BTF.ext"));
    let [header, types, types_size, names] = [1, 2, 3, 4].map(|index| word(btf, index));
    if !btf.is_empty() && (header, types, names) != (HEADER, 0, types_size) {
        return Some(
            "misreads types that do not begin at byte 24 of the section `.BTF`, or names that do not follow them"
                .to_owned(),
        );
    }
    let header = word(ext, 1);
    let is_usual = ext.is_empty() || header == HEADER || header >= WITH_RELOCATIONS;
    (!is_usual).then(|| format!("reads CO-RE relocations by a header of {header} bytes in `.BTF.ext`"))
}
