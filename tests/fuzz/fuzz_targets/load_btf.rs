//! Any bytes as BTF: as an object's `.BTF` section, as its `.BTF.ext`, as a kernel's BTF, and as a module's.
//!
//! An input is two lengths of 16 bits, eight instructions, and the sections `.BTF` and `.BTF.ext` with these lengths in
//! bytes. The rest is the kernel's BTF.
#![no_main]

use cutaway::{
    Instruction,
    btf::{Btf, Ext},
    core_relo::{self, Code, Relocation},
};
use libfuzzer_sys::fuzz_target;

/// Eight instructions, for every section name.
struct Eight([u64; 8]);

impl Code for Eight {
    fn read(&self, _: &str, offset: u32) -> Option<Instruction> {
        self.0.get(offset as usize / 8).map(|word| Instruction::from_bytes(word.to_ne_bytes()))
    }

    fn write(&mut self, _: &str, offset: u32, instruction: Instruction) {
        if let Some(word) = self.0.get_mut(offset as usize / 8) {
            *word = u64::from_ne_bytes(instruction.to_bytes());
        }
    }
}

fn ask(btf: &Btf<'_>) {
    for ty in btf.types() {
        let _ = (ty.to_string(), btf.size_of(ty.id()), btf.resolve(ty.id()));
        let _ = ty.members().count() + ty.values().count() + ty.params().count() + ty.section_vars().count();
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Some(([a, b, c, d], rest)) = bytes.split_first_chunk() else { return };
    let (local, ext) = (u16::from_le_bytes([*a, *b]), u16::from_le_bytes([*c, *d]));
    let Some((code, rest)) = rest.split_first_chunk::<64>() else { return };
    let mut code =
        Eight(std::array::from_fn(|index| u64::from_le_bytes(std::array::from_fn(|byte| code[index * 8 + byte]))));
    let (local, rest) = rest.split_at(usize::from(local).min(rest.len()));
    let (ext, kernel) = rest.split_at(usize::from(ext).min(rest.len()));
    let Ok(local) = Btf::parse(local) else { return };
    ask(&local);
    if let Ok(split) = Btf::parse_split(kernel, &local) {
        ask(&split);
    }
    if let Ok(ext) = Ext::parse(ext, &local) {
        let relocations = Relocation::all(&local, &ext);
        if let Ok(applied) = core_relo::relocate(&local, &relocations, kernel, &mut code) {
            applied.iter().for_each(|applied| drop(applied.to_string()));
        }
    }
});
