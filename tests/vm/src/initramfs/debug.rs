//! Removes an executable's debug sections: they are nine tenths of a test binary, and the guest holds its files in
//! memory. Symbols stay, because probes and backtraces need them.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use object::build::elf::Builder;
use object::{Object, ObjectSection, ReadCache, SectionFlags, elf};

/// Returns an executable without its `.debug_*` sections; the whole file if that is not possible (a core file, another
/// format).
pub(super) fn without(path: &Path) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    // Zeros that are never touched use no memory.
    let mut whole = vec![0; usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?];
    if let Some(unwanted) = unwanted(&file) {
        read_around(&file, &unwanted, &mut whole)?;
        if let Some(smaller) = rewritten(&whole) {
            return Ok(smaller);
        }
    }
    file.read_exact_at(&mut whole, 0)?;
    Ok(whole)
}

/// Returns the offsets and sizes of the unwanted sections in the file, in order.
fn unwanted(file: &File) -> Option<Vec<(u64, u64)>> {
    let cache = ReadCache::new(file);
    let parsed = object::File::parse(&cache).ok()?;
    let sections = parsed.sections().filter(|section| {
        let alloc =
            matches!(section.flags(), SectionFlags::Elf { sh_flags } if sh_flags & u64::from(elf::SHF_ALLOC) != 0);
        !alloc && section.name_bytes().is_ok_and(is_unwanted)
    });
    let mut ranges: Vec<_> = sections.filter_map(|section| section.file_range()).collect();
    ranges.sort_unstable();
    Some(ranges)
}

fn is_unwanted(section: &[u8]) -> bool {
    section.starts_with(b".debug_")
}

/// Reads a file without these ranges: their bytes stay zero.
fn read_around(file: &File, ranges: &[(u64, u64)], whole: &mut [u8]) -> io::Result<()> {
    let end = whole.len() as u64;
    let mut at = 0;
    for (offset, size) in ranges.iter().copied().chain([(end, 0)]) {
        if let (Ok(from), Ok(to)) = (usize::try_from(at), usize::try_from(offset.min(end)))
            && let Some(gap) = whole.get_mut(from..to)
        {
            file.read_exact_at(gap, at)?;
        }
        at = at.max(offset.saturating_add(size));
    }
    Ok(())
}

fn rewritten(whole: &[u8]) -> Option<Vec<u8>> {
    let mut builder = Builder::read(whole).ok()?;
    for section in builder.sections.iter_mut() {
        if !section.is_alloc() && is_unwanted(&section.name) {
            section.delete = true;
        }
    }
    let mut smaller = Vec::new();
    builder.write(&mut smaller).ok()?;
    Some(smaller)
}

#[cfg(test)]
mod tests {
    use super::*;
    use object::{ObjectSegment, ObjectSymbol};

    #[test]
    fn segments_and_symbols_are_kept() {
        let me = std::env::current_exe().unwrap();
        let whole = std::fs::read(&me).unwrap();
        let smaller = without(&me).unwrap();
        assert!(smaller.len() < whole.len());
        let before = object::File::parse(&*whole).unwrap();
        let after = object::File::parse(&*smaller).unwrap();
        assert!(before.section_by_name(".debug_info").is_some());
        assert!(after.section_by_name(".debug_info").is_none());
        let segments = |file: &object::File<'_>| {
            file.segments().map(|one| (one.address(), one.file_range(), one.size())).collect::<Vec<_>>()
        };
        assert_eq!(segments(&before), segments(&after));
        let text = |file: &object::File<'_>| file.section_by_name(".text").unwrap().data().unwrap().to_vec();
        assert_eq!(text(&before), text(&after));
        let symbols = |file: &object::File<'_>| {
            file.symbols().map(|one| (one.name_bytes().unwrap().to_vec(), one.address())).collect::<Vec<_>>()
        };
        assert_eq!(symbols(&before), symbols(&after));
    }

    #[test]
    fn other_files_are_unchanged() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("odd");
        for text in [&b"\x7fELF and nothing more"[..], b""] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(without(&path).unwrap(), text);
        }
    }
}
