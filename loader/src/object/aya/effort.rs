//! Refuses objects on which aya-obj takes an unbounded amount of time. It reads some tables once for each entry of
//! another table, so a file of a megabyte can take hours.

use super::kernel::essential;
use crate::{
    btf::{Btf, Ext, Kind, Records},
    elf::{Elf, SectionIndex, Symbol},
    object::{Object, btf},
    sorted::Sorted,
};

/// The maximum number of steps of one of aya-obj's nested loops, of a few nanoseconds each: more than ten times the
/// steps that the largest objects in use need.
const MOST: u64 = 1 << 28;
/// The maximum number of bytes of names that aya-obj reads, repeated reads included.
const MOST_OF_NAMES: u64 = 1 << 32;
/// The maximum number of bytes of the names of sections in `.BTF` and `.BTF.ext`, of which aya-obj keeps copies.
const MOST_OF_KEPT_NAMES: u64 = 64 << 20;
/// The maximum number of sections `.maps…`: for each, aya-obj reads all types by name. Objects in use have one.
const MOST_OF_MAPS: u64 = 16;
/// The maximum size in bytes of the names of all symbols.
const MOST_OF_SYMBOLS: u64 = 64 << 20;
/// The maximum number of types that CO-RE relocations name. For each, aya-obj reads all types of the kernel, 130,000.
const MOST_ROOTS: usize = 1024;
/// The maximum number of CO-RE relocations: more than ten times those of the largest objects in use.
const MOST_RELOCATIONS: usize = 1 << 16;
/// `BPF_CORE_TYPE_ID_LOCAL`: the kernel's types do not matter.
const TYPE_ID_LOCAL: u32 = 6;
/// The maximum length in bytes of an access string, `0:1:5`. libbpf accepts 64 numbers.
const LONGEST_ACCESS: usize = 1024;

/// Returns the work that would take aya-obj too long, as the predicate of a sentence about aya-obj; `None` if there is
/// no such work.
pub(super) fn effort(own: &Object) -> Option<String> {
    let elf = own.elf();
    let types = elf.contents(".BTF");
    let btf = if types.is_empty() { None } else { btf::read(types).ok() };
    let ext = btf.as_ref().and_then(|btf| Ext::parse(elf.contents(".BTF.ext"), btf).ok());
    let records = btf.as_ref().zip(ext.as_ref()).map(|(btf, ext)| OfSections::new(btf, ext, elf)).unwrap_or_default();
    symbols(elf)
        .or_else(|| code(elf, &records))
        .or_else(|| named_sections(elf, btf.as_ref()))
        .or_else(|| names(btf.as_ref()?, records.count, records.blocks))
        .or_else(|| relocations(btf.as_ref()?, ext.as_ref()?))
}

/// The number of records in `.BTF.ext` for each section.
#[derive(Default)]
struct OfSections {
    infos: Sorted<SectionIndex, u64>,
    relocations: Sorted<SectionIndex, u64>,
    /// The sum of both.
    count: u64,
    /// The number of blocks of records, each of which names a section.
    blocks: u64,
}

impl OfSections {
    fn new(btf: &Btf<'_>, ext: &Ext<'_>, elf: &Elf) -> Self {
        let names = elf.sections().rev().map(|(index, section)| (section.name.as_bytes(), index));
        let sections = Sorted::of(names);
        let count = |records: &mut dyn Iterator<Item = Records<'_>>| {
            let mut counts: Vec<(SectionIndex, u64)> = Vec::new();
            for records in records {
                let Some(&section) = sections.get(btf.string(records.section)) else { continue };
                counts.push((section, records.len() as u64));
            }
            counts.sort_unstable();
            counts.dedup_by(|(section, count), (before, sum)| {
                let is_same = section == before;
                if is_same {
                    *sum += *count;
                }
                is_same
            });
            Sorted::in_order(counts)
        };
        let infos = count(&mut ext.func_info().chain(ext.line_info()));
        let relocations = count(&mut ext.core_relo());
        let all = infos.iter().chain(relocations.iter()).map(|(_, count)| count).sum();
        let blocks = ext.func_info().chain(ext.line_info()).chain(ext.core_relo()).count() as u64;
        Self { infos, relocations, count: all, blocks }
    }
}

/// Checks the names of symbols. They can share bytes of the file, and aya-obj keeps several copies of each.
fn symbols(elf: &Elf) -> Option<String> {
    let names = elf.all_symbols().map(|symbol| symbol.name.len() as u64);
    let bytes = names.fold(0, u64::saturating_add);
    (bytes > MOST_OF_SYMBOLS).then(|| format!("keeps copies of the names of symbols, here {bytes} bytes"))
}

/// Checks the loops over the functions of a section. For each symbol aya-obj copies the instructions and all infos of
/// the section. For each function it reads all references and CO-RE relocations of the section.
fn code(elf: &Elf, records: &OfSections) -> Option<String> {
    let of = |counts: &Sorted<SectionIndex, u64>, section| counts.get(&section).copied().unwrap_or(0);
    // aya-obj takes some symbols for functions that are not functions here, and copies the instructions of each.
    let is_code = |symbol: &&Symbol| symbol.section.is_some_and(|section| elf.section(section).executable);
    let sum = |sizes: &mut dyn Iterator<Item = u64>| sizes.fold(0, u64::saturating_add);
    let code = elf.sections().filter(|(_, section)| section.executable);
    let room = sum(&mut code.map(|(_, section)| section.size));
    let others = elf.all_symbols().filter(|symbol| symbol.is_of_unknown_kind()).filter(is_code);
    let others = sum(&mut others.map(|symbol| symbol.size));
    if others > room {
        return Some(format!("copies {others} bytes for symbols in the code that are no functions"));
    }
    let mut functions: Vec<(SectionIndex, u64)> = Vec::new();
    let mut copied = 0_u64;
    for symbol in elf.functions() {
        let Some(section) = symbol.section else { continue };
        let each = (symbol.size / 8).saturating_add(of(&records.infos, section));
        copied = copied.saturating_add(each);
        functions.push((section, 1));
    }
    if copied > MOST {
        return Some(format!("copies {copied} instructions and lines for its functions: {MOST} are allowed"));
    }
    functions.sort_unstable();
    for of_section in functions.chunk_by(|(one, _), (other, _)| one == other) {
        let Some(&(section, _)) = of_section.first() else { continue };
        let references = (elf.references(section).count() as u64).saturating_add(of(&records.relocations, section));
        let steps = references.saturating_mul(of_section.len() as u64);
        if steps > MOST {
            let name = &elf.section(section).name;
            return Some(format!(
                "looks at each of {references} references for each of {} functions of section `{name}`",
                of_section.len()
            ));
        }
    }
    None
}

/// Checks the loops over all symbols for each section of functions, and over all types for each section of maps.
fn named_sections(elf: &Elf, btf: Option<&Btf<'_>>) -> Option<String> {
    let count = |prefix: &str| elf.sections().filter(|(_, section)| section.name.starts_with(prefix)).count() as u64;
    let (texts, symbols) = (count(".text"), elf.all_symbols().len() as u64);
    if texts.saturating_mul(symbols) > MOST {
        return Some(format!("looks at each of {symbols} symbols for each of {texts} sections `.text…`"));
    }
    let btf = btf?;
    let (sections, types) = (count(".maps"), u64::from(btf.end()));
    if sections > MOST_OF_MAPS {
        return Some(format!("reads all types for each of {sections} sections `.maps…`: {MOST_OF_MAPS} are allowed"));
    }
    if sections.saturating_mul(types) > MOST {
        return Some(format!("looks at each of {types} types for each of {sections} sections `.maps…`"));
    }
    let lists = btf.types().filter(|ty| ty.kind() == Kind::Datasec && ty.name_bytes().starts_with(b".maps"));
    let maps: u64 = lists.map(|list| u64::from(list.len())).sum();
    let members = btf.types().filter(|ty| ty.kind().is_composite()).map(|ty| u64::from(ty.len())).max()?;
    let steps = maps.saturating_mul(sections).saturating_mul(members);
    (steps > MOST).then(|| format!("reads up to {members} members of each of {maps} descriptions of maps"))
}

/// Checks the names in BTF. They can share bytes, and aya-obj reads each to its end, however long it is.
fn names(btf: &Btf<'_>, records: u64, blocks: u64) -> Option<String> {
    let longest = btf.strings().split(|&byte| byte == 0).map(<[u8]>::len).max()? as u64;
    let sections = btf.types().filter(|ty| ty.kind() == Kind::Datasec).count() as u64;
    let kept = longest.saturating_mul(sections.saturating_add(blocks));
    if kept > MOST_OF_KEPT_NAMES {
        return Some(format!(
            "keeps copies of names of sections, up to {kept} bytes: {MOST_OF_KEPT_NAMES} are allowed"
        ));
    }
    let each = |len: u32| 1 + u64::from(len);
    let count = btf.types().map(|ty| each(ty.len())).fold(records, u64::saturating_add);
    let bytes = longest.saturating_mul(count);
    (bytes > MOST_OF_NAMES)
        .then(|| format!("reads {count} names to their end, the longest of which has {longest} bytes"))
}

/// Checks the number of types that CO-RE relocations name, their names, and the length of their accesses. A name that
/// begins with a flavor (`___name`) is empty without it, so every type without a name is a candidate.
fn relocations(btf: &Btf<'_>, ext: &Ext<'_>) -> Option<String> {
    let relocations = || ext.core_relo().flat_map(|records| records.words::<4>());
    if relocations().any(|[_, _, access, _]| btf.string(access).len() > LONGEST_ACCESS) {
        return Some(format!("follows an access of any length: {LONGEST_ACCESS} bytes are allowed"));
    }
    let of_kernel = relocations().filter(|[.., kind]| *kind != TYPE_ID_LOCAL);
    let mut roots = of_kernel.map(|[_, root, ..]| btf.ty(root));
    let unnamed = roots.find(|ty| essential(ty.name_bytes()).is_empty());
    if let Some(unnamed) = unnamed {
        return Some(format!("tries every type without a name for the type {} (`{}`)", unnamed.id(), unnamed.name()));
    }
    let count = relocations().count();
    if count > MOST_RELOCATIONS {
        return Some(format!("applies {count} CO-RE relocations one by one: {MOST_RELOCATIONS} are allowed"));
    }
    let mut roots: Vec<u32> = relocations().map(|[_, root, ..]| root).collect();
    roots.sort_unstable();
    roots.dedup();
    (roots.len() > MOST_ROOTS)
        .then(|| format!("goes through the kernel's types for each of {} types: {MOST_ROOTS} are allowed", roots.len()))
}
