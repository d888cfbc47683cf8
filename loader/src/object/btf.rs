//! Checks and completes the object's BTF.
//!
//! Compilers leave some fields of `.BTF` to the linker, and the kernel requires them:
//!
//! - A `DATASEC` has 0 as its size and as the offset of each variable. Both are filled in from sections and symbols,
//!   and the variables are sorted by offset.
//! - The section `.kconfig` exists only in BTF. It is laid out as its map will be.
//! - A hidden function becomes static. The verifier then checks each call of it with the caller's actual arguments, as
//!   for any static function, instead of checking it once against its argument types, as for a global one.
//! - The kernel does not know the linkage of externs. They become global definitions. The variables of `.ksyms`, which
//!   no program or verifier uses, become consecutive integers. A `DATASEC` cannot hold functions, so each function
//!   there becomes the same dummy variable.

use super::externs::{self, Extern};
use crate::{
    Error,
    btf::{Btf, Kind, Type},
    elf::Elf,
    gate::READS_EXTERNS,
    sorted::{Sorted, sort},
};

/// Parses `.BTF`.
pub(super) fn read(bytes: &[u8]) -> Result<Btf<'_>, Error> {
    let broken = |why: String| Error::Object { why: format!("its section .BTF is broken: {why}") };
    let btf = Btf::parse(bytes).map_err(|why| broken(why.to_string()))?;
    // The kernel knows no other linkage, and its error would say less.
    if let Some(ty) = btf.types().find(|ty| ty.linkage() > 2) {
        return Err(broken(format!("`{}` has linkage {}, and 2 is the highest", ty.name(), ty.linkage())));
    }
    Ok(btf)
}

/// Returns the completed bytes of `.BTF`; `None` if the object has no types.
pub(super) fn completed(elf: &Elf, externs: &[Extern]) -> Result<Option<Vec<u8>>, Error> {
    let original = elf.contents(".BTF");
    if original.is_empty() {
        return Ok(None);
    }
    let btf = read(original)?;
    if btf.end() <= 1 {
        return Ok(None);
    }
    let mut draft = Draft::of(original, &btf).ok_or_else(|| Error::bug(OUTSIDE))?;
    for section in btf.types().filter(|ty| ty.kind() == Kind::Datasec) {
        draft.replace_question_mark(section);
        match section.name_bytes() {
            name if READS_EXTERNS && name == externs::KSYMS.as_bytes() => draft.complete_ksyms(section),
            name if READS_EXTERNS && name == externs::KCONFIG.as_bytes() => {
                draft.set_size(section, externs::config_size(externs));
                let offsets = externs::config_offsets(externs);
                draft.set_offsets(section, &|name| offsets.get(name).copied());
            }
            _ if section.size() == 0 => draft.complete_data(section, elf),
            _ => {}
        }
    }
    draft.make_hidden_static(elf);
    if READS_EXTERNS {
        draft.define_externs();
    }
    if draft.outside {
        return Err(Error::bug(OUTSIDE));
    }
    Ok(Some(draft.into_bytes()))
}

const OUTSIDE: &str = "what is to be completed lies outside the object's BTF";

/// The BTF while it is being changed. All offsets are in bytes from the start of the first type.
struct Draft<'b> {
    btf: &'b Btf<'b>,
    types: Vec<u8>,
    strings: Vec<u8>,
    /// One above the highest type id, including types added here.
    end: u32,
    /// The string offset of the name for unnamed parameters, once it is added.
    no_name: Option<u32>,
    /// Set if a word was to be written outside the types.
    outside: bool,
}

/// Bytes that all types begin with: name, info, size or type.
const HEAD: usize = 12;
/// Bytes of a variable in a section: type, offset, size.
const ENTRY: usize = 12;
const INT: u32 = 1 << 24;
const VAR: u32 = 14 << 24;
const FUNC: u32 = 12 << 24;
/// `BTF_VAR_GLOBAL_ALLOCATED`, `BTF_FUNC_GLOBAL`
const GLOBAL: u32 = 1;
/// `BTF_VAR_GLOBAL_EXTERN`, `BTF_FUNC_EXTERN`
const EXTERN: u32 = 2;

impl<'b> Draft<'b> {
    fn of(original: &[u8], btf: &'b Btf<'b>) -> Option<Self> {
        let [header, types, types_len, strings, strings_len] = [4, 8, 12, 16, 20].map(|at| word(original, at) as usize);
        let part = |offset: usize, length| original.get(header + offset..header + offset + length).map(<[u8]>::to_vec);
        let (types, strings) = (part(types, types_len)?, part(strings, strings_len)?);
        Some(Self { btf, types, strings, end: btf.end(), no_name: None, outside: false })
    }

    /// Returns the contents of a section `.BTF`.
    fn into_bytes(self) -> Vec<u8> {
        const MAGIC_AND_VERSION: u32 = if cfg!(target_endian = "little") { 0x0001_eb9f } else { 0xeb9f_0100 };
        const LENGTH: u32 = 24;
        let (types, strings) = (self.types.len() as u32, self.strings.len() as u32);
        let header = [MAGIC_AND_VERSION, LENGTH, 0, types, types, strings];
        let mut bytes = Vec::with_capacity(LENGTH as usize + self.types.len() + self.strings.len());
        bytes.extend(header.iter().flat_map(|word| word.to_ne_bytes()));
        bytes.extend_from_slice(&self.types);
        bytes.extend_from_slice(&self.strings);
        bytes
    }

    /// Adds a type of these words; returns its id.
    fn push(&mut self, words: &[u32]) -> u32 {
        self.types.extend(words.iter().flat_map(|word| word.to_ne_bytes()));
        self.end += 1;
        self.end - 1
    }

    fn string(&mut self, text: &str) -> u32 {
        let at = self.strings.len() as u32;
        self.strings.extend_from_slice(text.as_bytes());
        self.strings.push(0);
        at
    }

    /// Replaces the `?` at the start of a section's name, which kernels before 6.9 refuse. By now the `?` (not loaded
    /// by default) has been read.
    fn replace_question_mark(&mut self, section: Type<'_>) {
        if let Some(sign) = self.strings.get_mut(section.name_at() as usize).filter(|sign| **sign == b'?') {
            *sign = b'_';
        }
    }

    /// Sets the word at `offset` bytes in the description of a type.
    fn set(&mut self, ty: Type<'_>, offset: usize, value: u32) {
        let at = self.btf.position(ty.id());
        match at.and_then(|at| self.types.get_mut(at + offset..)?.get_mut(..4)) {
            Some(word) => word.copy_from_slice(&value.to_ne_bytes()),
            None => self.outside = true,
        }
    }

    fn set_size(&mut self, section: Type<'_>, size: u32) {
        self.set(section, 8, size);
    }

    /// Sets the offset of each variable that `offset` returns one for, and sorts all variables by offset. A variable
    /// without a symbol keeps its offset.
    fn set_offsets(&mut self, section: Type<'_>, offset: &dyn Fn(&[u8]) -> Option<u32>) {
        for (index, variable) in section.section_vars().enumerate() {
            if let Some(offset) = offset(self.btf.ty(variable.type_id).name_bytes()) {
                self.set(section, HEAD + index * ENTRY + 4, offset);
            }
        }
        let start = self.btf.position(section.id()).map(|at| at + HEAD);
        match start.and_then(|start| self.types.get_mut(start..start + section.len() as usize * ENTRY)) {
            Some(bytes) => {
                let mut entries = bytes.as_chunks::<ENTRY>().0.to_vec();
                sort(&mut entries, |one, other| word(one, 4).cmp(&word(other, 4)));
                bytes.copy_from_slice(entries.as_flattened());
            }
            None => self.outside = true,
        }
    }

    /// Completes a data section: its size from the ELF section, its variables' offsets from their symbols.
    fn complete_data(&mut self, section: Type<'_>, elf: &Elf) {
        // The section exists only in BTF.
        let Some(index) = elf.position(section.name_bytes()) else { return };
        self.set_size(section, elf.section(index).size as u32);
        let symbols = elf.symbols_in(index).map(|(_, symbol)| (symbol.name.as_bytes(), symbol.address as u32));
        let symbols = Sorted::of(symbols);
        self.set_offsets(section, &|name| symbols.get(name).copied());
    }

    /// Turns the kernel's variables and functions into consecutive integers.
    fn complete_ksyms(&mut self, section: Type<'_>) {
        const SIZE: u32 = 4;
        let known =
            self.btf.types().find(|ty| ty.kind() == Kind::Int && ty.size() == SIZE && ty.name_bytes() == b"int");
        let int = match known {
            Some(int) => int.id(),
            None => {
                let name = self.string("int");
                self.push(&[name, INT, SIZE, (1 << 24) | (SIZE * 8)])
            }
        };
        let name = self.no_name();
        let function = self.push(&[name, VAR, int, GLOBAL]);
        let mut end = 0;
        for (index, entry) in section.section_vars().enumerate() {
            let ty = self.btf.ty(entry.type_id);
            let at = HEAD + index * ENTRY;
            match ty.kind() {
                Kind::Func => self.set(section, at, function),
                Kind::Var => self.set(ty, 8, int),
                // Compilers list nothing else; the kernel refuses it.
                _ => {}
            }
            self.set(section, at + 4, end);
            self.set(section, at + 8, SIZE);
            end += SIZE;
        }
        self.set_size(section, end);
    }

    fn no_name(&mut self) -> u32 {
        match self.no_name {
            Some(name) => name,
            None => {
                let name = self.string("unnamed");
                *self.no_name.insert(name)
            }
        }
    }

    /// Makes hidden functions static.
    fn make_hidden_static(&mut self, elf: &Elf) {
        let hidden = elf.functions().filter(|symbol| symbol.hidden);
        let hidden = Sorted::of(hidden.map(|symbol| (symbol.name.as_bytes(), symbol.address as u32)));
        if hidden.is_empty() {
            return;
        }
        let functions = self.btf.types().filter(|ty| ty.kind() == Kind::Func && ty.linkage() == GLOBAL);
        for ty in functions.filter(|ty| hidden.get(ty.name_bytes()).is_some()) {
            self.set(ty, 4, FUNC);
        }
    }

    /// Turns externs into global definitions, and names the parameters of such functions.
    fn define_externs(&mut self) {
        for ty in self.btf.types().filter(|ty| ty.linkage() == EXTERN) {
            if ty.kind() == Kind::Var {
                self.set(ty, HEAD, GLOBAL);
                continue;
            }
            self.set(ty, 4, FUNC | GLOBAL);
            let prototype = self.btf.ty(ty.referred());
            for (index, param) in prototype.params().enumerate() {
                if param.name.is_empty() && param.type_id != 0 {
                    let name = self.no_name();
                    self.set(prototype, HEAD + index * 8, name);
                }
            }
        }
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).copied().map_or(0, u32::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn corpus(name: &str) -> Vec<u8> {
        let path = format!("{}/../tests/corpus/externs/{name}", env!("CARGO_MANIFEST_DIR"));
        std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// Returns a section's size and its entries after completion: name, kind, offset, size.
    fn section(object: &str, name: &str) -> (u32, Vec<(String, Kind, u32, u32)>) {
        let elf = Elf::read(&corpus(object)).unwrap();
        let btf = read(elf.contents(".BTF")).unwrap();
        let externs = externs::read(&elf, Some(&btf)).unwrap();
        let bytes = completed(&elf, &externs).unwrap().unwrap();
        let btf = read(&bytes).unwrap();
        assert!(btf.types().all(|ty| ty.linkage() != EXTERN), "an extern is left");
        let section = btf.find(Kind::Datasec, name).unwrap();
        let entries = section.section_vars().map(|entry| {
            let ty = btf.ty(entry.type_id);
            assert!(btf.size_of(ty.id()).is_some_and(|size| size <= entry.size), "{ty} is larger than its entry");
            (ty.name().into_owned(), ty.kind(), entry.offset, entry.size)
        });
        (section.size(), entries.collect())
    }

    #[test]
    fn configuration_constants_are_laid_out_by_alignment() {
        let (size, entries) = section("kconfig.o", ".kconfig");
        assert_eq!(entries.len(), 18);
        let mut end = 0;
        for (name, kind, offset, bytes) in &entries {
            assert_eq!(*kind, Kind::Var);
            assert!(*offset >= end, "{name} at {offset} overlaps the constant before it");
            end = offset + bytes;
        }
        assert_eq!(size, end);
        assert_eq!(entries[0], ("CONFIG_HEX".to_owned(), Kind::Var, 0, 8));
    }

    #[test]
    fn kernel_variables_and_functions_become_consecutive_integers() {
        for (object, names) in [
            ("kfuncs.o", &["unnamed"; 4][..]),
            ("ksyms.o", &["runqueues", "cutaway_has_no_such_variable", "bpf_get_current_pid_tgid"]),
        ] {
            let (size, mut entries) = section(object, ".ksyms");
            assert_eq!((size, entries.len()), (16, 4), "{object}");
            for (index, (_, kind, offset, bytes)) in entries.iter().enumerate() {
                assert_eq!((*kind, *offset, *bytes), (Kind::Var, index as u32 * 4, 4));
            }
            entries.retain(|(name, ..)| names.contains(&name.as_str()));
            assert_eq!(entries.len(), names.len(), "{object}");
        }
    }

    #[test]
    fn parameters_of_kernel_functions_have_names() {
        let elf = Elf::read(&corpus("kfuncs.o")).unwrap();
        let bytes = completed(&elf, &[]).unwrap().unwrap();
        let btf = read(&bytes).unwrap();
        let function = btf.find(Kind::Func, "cutaway_has_no_such_function").unwrap();
        let prototype = btf.ty(function.referred());
        assert_eq!(prototype.params().len(), 2);
        assert!(prototype.params().all(|param| param.name == b"unnamed"));
    }
}
