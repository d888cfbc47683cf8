//! Removes an executable's debug sections: they are nine tenths of a test binary, and the guest holds its files in
//! memory. Symbols stay, because probes and backtraces need them.

use object::build::elf::Builder;

/// Returns the executable without its `.debug_*` sections; the same bytes if that is not possible (a core file, another
/// format).
pub(super) fn without(whole: Vec<u8>) -> Vec<u8> {
    rewritten(&whole).unwrap_or(whole)
}

fn rewritten(whole: &[u8]) -> Option<Vec<u8>> {
    let mut builder = Builder::read(whole).ok()?;
    for section in builder.sections.iter_mut() {
        if !section.is_alloc() && section.name.starts_with(b".debug_") {
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
    use object::{Object, ObjectSection, ObjectSegment, ObjectSymbol};

    #[test]
    fn segments_and_symbols_are_kept() {
        let whole = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let smaller = without(whole.clone());
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
        assert_eq!(without(b"\x7fELF and nothing more".to_vec()), b"\x7fELF and nothing more");
    }
}
