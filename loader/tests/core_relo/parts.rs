//! The parts of an object file that CO-RE relocation reads.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use cutaway::{
    Instruction,
    btf::{Btf, Ext},
    core_relo::{Applied, Code, Error, Outcome, Relocation},
};
use object::{
    Endianness,
    read::elf::ElfFile64,
    read::{Object as _, ObjectSection as _, ObjectSymbol as _},
};

pub(super) fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/corpus/core")
}

/// The parts of an object file that relocation needs.
pub(super) struct Parts {
    pub(super) btf: Vec<u8>,
    pub(super) ext: Vec<u8>,
    pub(super) code: Sections,
    /// Section, address and size of each function, by name.
    functions: BTreeMap<String, (String, u64, u64)>,
}

/// Sections of instructions, by name.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Sections(pub(super) BTreeMap<String, Vec<u8>>);

impl Code for Sections {
    fn read(&self, section: &str, offset: u32) -> Option<Instruction> {
        let bytes = self.0.get(section)?.get(offset as usize..)?.first_chunk()?;
        Some(Instruction::from_bytes(*bytes))
    }

    fn write(&mut self, section: &str, offset: u32, instruction: Instruction) {
        let bytes = &mut self.0.get_mut(section).unwrap()[offset as usize..];
        *bytes.first_chunk_mut().unwrap() = instruction.to_bytes();
    }
}

impl Parts {
    pub(super) fn of(path: &Path) -> Self {
        let bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let file = ElfFile64::<Endianness>::parse(&*bytes).unwrap();
        let section =
            |name: &str| file.section_by_name(name).map_or_else(Vec::new, |section| section.data().unwrap().to_vec());
        let code = file
            .sections()
            .filter(|section| section.kind() == object::SectionKind::Text)
            .map(|section| (section.name().unwrap().to_owned(), section.data().unwrap().to_vec()))
            .collect();
        let functions = file
            .symbols()
            .filter(|symbol| symbol.kind() == object::SymbolKind::Text)
            .map(|symbol| {
                let section = file.section_by_index(symbol.section_index().unwrap()).unwrap();
                let place = (section.name().unwrap().to_owned(), symbol.address(), symbol.size());
                (symbol.name().unwrap().to_owned(), place)
            })
            .collect();
        Self { btf: section(".BTF"), ext: section(".BTF.ext"), code: Sections(code), functions }
    }

    /// Relocates by `how`, and returns the changes as lines in the form of libbpf's.
    pub(super) fn relocate(
        &self,
        how: impl FnOnce(&Btf<'_>, &[Relocation<'_>], &mut Sections) -> Result<Vec<Applied>, Error>,
    ) -> (String, Result<Vec<Applied>, Error>) {
        let btf = Btf::parse(&self.btf).unwrap();
        let ext = Ext::parse(&self.ext, &btf).unwrap();
        let mut code = self.code.clone();
        let applied = how(&btf, &Relocation::all(&btf, &ext), &mut code);
        let mut lines = String::new();
        for applied in applied.iter().flatten() {
            let (before, after) = (
                self.code.read(&applied.section, applied.offset).unwrap(),
                code.read(&applied.section, applied.offset).unwrap(),
            );
            let (function, (_, start, _)) = self
                .functions
                .iter()
                .find(|(_, (section, start, size))| {
                    **section == *applied.section && (*start..start + size).contains(&u64::from(applied.offset))
                })
                .unwrap();
            let place = (u64::from(applied.offset) - start) / 8;
            match &applied.outcome {
                Outcome::Changed { before: old, after: new, .. } => {
                    let (field, written) = match before.code & 7 {
                        0 => {
                            let high = code.read(&applied.section, applied.offset + 8).unwrap().imm;
                            ("imm64", u64::from(after.imm as u32) | u64::from(high as u32) << 32)
                        }
                        1..=3 => ("off", i64::from(after.offset) as u64),
                        _ => ("imm", i64::from(after.imm) as u64),
                    };
                    assert_eq!(written, *new, "{applied}: the report is not what is in the instruction");
                    lines += &format!("{function} {place} {field} {old} {new}\n");
                    if before.code != after.code {
                        let size = |code: u8| [4, 2, 1, 8][usize::from(code >> 3 & 3)];
                        lines += &format!("{function} {place} size {} {}\n", size(before.code), size(after.code));
                    }
                }
                Outcome::Poisoned { .. } => {
                    assert_eq!(after.code, 0x85, "{applied}: no call");
                    if before.code == 0x18 {
                        lines += &format!("{function} {} poison\n", place + 1);
                    }
                    lines += &format!("{function} {place} poison\n");
                }
                other => panic!("{other:?}"),
            }
        }
        if applied.is_err() {
            lines += "refused\n";
        }
        (lines, applied)
    }
}
