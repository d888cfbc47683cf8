//! CO-RE relocation of an object's instructions, which changes copies of them.

use cutaway_sys::Instruction;

use super::{
    core_relo::{self, Applied, Candidates, Relocation},
    relocated::Relocated,
};
use crate::{
    Error, Object,
    btf::{
        Btf, Ext,
        visitor::{Sources, Types},
    },
    elf::{Elf, SectionIndex},
    object::Functions,
    sorted::Sorted,
};

/// The CO-RE relocations of an object.
pub(super) struct Relocating<'o> {
    local: &'o Btf<'o>,
    /// The relocations that need the types of the kernel that loads the object.
    relocations: Vec<Relocation<'o>>,
    code: Code<'o>,
    applied: Vec<Applied>,
}

impl<'o> Relocating<'o> {
    /// Reads the relocations. Applies them if the caller has given the kernel's types: all else needs the types that
    /// the kernel itself has.
    pub(super) fn of(object: &'o Object, local: &'o Btf<'o>) -> Result<Self, Error> {
        let mut relocations = match object.core_relo_bytes() {
            Some(bytes) => Relocation::all(local, &Ext::parse(bytes, local).map_err(broken)?),
            None => Vec::new(),
        };
        let mut code = Code::of(object.elf(), object.function_table());
        let mut applied = Vec::new();
        if let Some(given) = &object.kernel_btf {
            let candidates = core_relo::wanted(local, &relocations, &code);
            applied = Types::Given(given.bytes())
                .search(candidates, |candidates, sources| {
                    core_relo::apply(local, &relocations, sources, candidates, &mut code)
                })
                .map_err(broken)?;
            relocations.clear();
        }
        Ok(Self { local, relocations, code, applied })
    }

    /// Returns the visitor that searches for the types of the relocations.
    pub(super) fn wanted(&self) -> Candidates<'o> {
        core_relo::wanted(self.local, &self.relocations, &self.code)
    }

    /// Applies the relocations after the search.
    pub(super) fn apply(
        mut self,
        candidates: Candidates<'_>,
        sources: Sources<'_, '_>,
    ) -> Result<(Vec<Applied>, Relocated), Error> {
        let rest = core_relo::apply(self.local, &self.relocations, sources, candidates, &mut self.code);
        self.applied.extend(rest.map_err(broken)?);
        Ok((self.applied, self.code.into_relocated()?))
    }
}

fn broken(why: impl ToString) -> Error {
    Error::Object { why: why.to_string() }
}

/// Access to instructions by section and offset.
pub(super) struct Code<'o> {
    /// The first section of each name.
    sections: Sorted<&'o str, SectionIndex>,
    functions: &'o Functions,
    relocated: Relocated,
    /// Set if an instruction was to be written that `read` does not find.
    unwritten: bool,
}

impl<'o> Code<'o> {
    pub(super) fn of(elf: &'o Elf, functions: &'o Functions) -> Self {
        // If several have the same name, the table finds the last.
        let sections = elf.sections().rev();
        Self {
            sections: Sorted::of(sections.map(|(index, section)| (section.name.as_str(), index))),
            functions,
            relocated: Relocated::default(),
            unwritten: false,
        }
    }

    /// Returns the changed instructions.
    pub(super) fn into_relocated(self) -> Result<Relocated, Error> {
        match self.unwritten {
            false => Ok(self.relocated),
            true => Err(Error::bug("a relocated instruction is in no function")),
        }
    }

    /// Finds the function that contains an instruction: the function's index, and the instruction's index in it.
    fn find(&self, section: &str, offset: u32) -> Option<(usize, usize)> {
        let section = *self.sections.get(section)?;
        let function = self.functions.index_up_to(&(section, u64::from(offset)))?;
        let (start, _) = self.functions.pair(function)?;
        if start.0 != section {
            return None;
        }
        Some((function, usize::try_from(u64::from(offset).checked_sub(start.1)? / 8).ok()?))
    }
}

impl core_relo::Code for Code<'_> {
    fn read(&self, section: &str, offset: u32) -> Option<Instruction> {
        let (function, index) = self.find(section, offset)?;
        let instructions = match self.relocated.instructions(function) {
            Some(changed) => changed,
            None => &self.functions.at(function)?.instructions,
        };
        instructions.get(index).copied()
    }

    fn write(&mut self, section: &str, offset: u32, instruction: Instruction) {
        let found = self.find(section, offset);
        let found = found.and_then(|(index, at)| Some((index, at, self.functions.at(index)?)));
        let Some((index, at, function)) = found else {
            self.unwritten = true;
            return;
        };
        if self.relocated.0.len() <= index {
            self.relocated.0.resize(self.functions.len(), None);
        }
        let changed = self.relocated.0.get_mut(index);
        let changed = changed.map(|changed| changed.get_or_insert_with(|| function.instructions.clone()));
        match changed.and_then(|changed| changed.get_mut(at)) {
            Some(slot) => *slot = instruction,
            None => self.unwritten = true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::core_relo::Code as _, *};
    use crate::Object;
    #[cfg(feature = "instrument")]
    use crate::{btf::visitor::Types, link::ObjectLinker, object::ProgramSpec, resolve::resolve};

    /// Checks that the code of an object is what is linked for a kernel with these types. Returns the number of
    /// instructions that relocation changed.
    #[cfg(feature = "instrument")]
    fn changed_and_linked(object: &Object, kernel: &[u8]) -> Result<usize, Error> {
        let resolved = resolve(object, Types::Given(kernel))?;
        let code = resolved.code(object).unwrap();
        assert_eq!(code.len(), object.function_table().len());
        let mut linker = ObjectLinker::new(object, &resolved, object.maps().iter().zip(1..));
        let programs = object.programs().iter().filter(|program: &&ProgramSpec| program.section.autoload);
        let mut compared = 0;
        for linked in programs.filter_map(|program| linker.link(program).ok()) {
            for (function, start) in &linked.functions {
                let code = &code[object.function_table().position(function).unwrap()];
                for (insn, linked) in code.iter().zip(&linked.instructions[*start..]) {
                    // Linking changes loads of addresses, and calls.
                    if matches!(insn.class(), 1 | 2 | 3 | 4 | 7) {
                        assert_eq!(insn, linked);
                        compared += 1;
                    }
                }
            }
        }
        assert!(compared > 0);
        let functions = object.function_table().iter().zip(&code);
        let changed = functions
            .flat_map(|((_, function), code)| function.instructions.iter().zip(&**code))
            .filter(|(a, b)| a != b)
            .count();
        Ok(changed)
    }

    #[cfg(feature = "instrument")]
    #[test]
    fn code_of_a_function_is_that_which_is_linked() {
        let mut all = 0;
        #[cfg(feature = "aya-obj")]
        let mut read_by_aya = 0;
        let read = |name: &str| {
            std::fs::read(format!("{}/../tests/corpus/core/{name}.o", env!("CARGO_MANIFEST_DIR"))).unwrap()
        };
        let kernel = Object::parse(&read("target")).unwrap().btf().unwrap();
        for name in ["fields", "offsets", "subprograms", "flavours", "narrowed", "enums", "sizes", "writes"] {
            let bytes = read(name);
            let object = Object::parse(&bytes).unwrap();
            let changed = changed_and_linked(&object, &kernel).unwrap();
            all += changed;
            // aya-obj does not take each of them.
            #[cfg(feature = "aya-obj")]
            if let Ok(by_aya) = Object::parse_with(crate::ObjectReader::AyaObj, &bytes)
                .and_then(|object| changed_and_linked(&object, &kernel))
            {
                assert_eq!(by_aya, changed, "{name}");
                read_by_aya += 1;
            }
        }
        assert!(all > 20 || !cfg!(feature = "core-relo"), "{all}");
        #[cfg(feature = "aya-obj")]
        assert!(read_by_aya > 1, "{read_by_aya}");
    }

    #[test]
    fn write_outside_all_functions_is_a_bug() {
        let path = format!("{}/../tests/corpus/kinds/core_reads.o", env!("CARGO_MANIFEST_DIR"));
        let object = Object::parse(&std::fs::read(path).unwrap()).unwrap();
        let (start, function) = object.function_table().iter().next().unwrap();
        let section = object.elf().section(start.0).name.clone();
        let end = start.1 as u32 + function.instructions.len() as u32 * 8;
        let written = |section: &str, offset| {
            let mut code = Code::of(object.elf(), object.function_table());
            code.write(section, offset, Instruction::default());
            code.into_relocated().map(|relocated| relocated.instructions(0).is_some())
        };
        assert!(written(&section, start.1 as u32).unwrap());
        for (section, offset) in [(section.as_str(), 0x7fff_fff8), ("no such section", 0), (section.as_str(), end)] {
            if let Err(error) = written(section, offset) {
                assert!(error.to_string().contains("please report it"), "{error}");
            } else {
                assert_eq!(offset, end, "the next function may start there");
            }
        }
    }
}
