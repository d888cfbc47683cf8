//! A dry run: works out what loading would pass to the kernel, without a system call.
//!
//! Everything between the file and the system calls happens here as it does in [`Object::load`]: the object's BTF is
//! completed, instructions are adapted to a kernel's types, externs are found in them, and each program is linked with
//! what it calls. The kernel's types come as bytes, so that it can be any kernel's, or are those of the running one;
//! fds of maps are made up.

use cutaway_sys::Instruction;

use crate::{
    Error, ExternFound, MapSpec, Object,
    btf::{Btf, sanitize, visitor::Types},
    link::ObjectLinker,
    load::Plan,
    resolve::{core_relo::Applied, externs},
};

/// What loading would hand to the kernel.
#[derive(Debug)]
#[non_exhaustive]
pub struct DryRun {
    /// The object's BTF, completed; `None` if it has none.
    pub btf: Option<Vec<u8>>,
    /// The same for the first kernel that had BTF, which knew few kinds of type.
    pub btf_of_old: Option<Vec<u8>>,
    /// The maps in the order in which they stand for fds: the first is 1.
    pub maps: Vec<MapSpec>,
    /// What CO-RE has made of the instructions.
    pub relocated: Vec<Applied>,
    /// What was found for each of [`Object::externs`], in that order.
    pub externs: Vec<ExternFound>,
    /// The programs that would be loaded.
    pub programs: Vec<LinkedProgram>,
}

/// One program, linked.
#[derive(Debug)]
#[non_exhaustive]
pub struct LinkedProgram {
    /// The function's name in the source.
    pub name: String,
    /// Its instructions, with those of the functions that it calls behind them; or why it cannot be linked.
    pub instructions: Result<Vec<Instruction>, Error>,
    /// Where in the file they come from: the program first, then what it calls, in order. Empty if it cannot be linked.
    pub subprogs: Vec<Subprog>,
}

/// A function within a linked program.
#[doc(alias = "bpf_prog_info")]
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Subprog {
    /// Slots from the program's start to its first instruction.
    pub start: usize,
    /// The index in [`Object::functions`].
    pub function: usize,
}

impl Object {
    /// Works out what [`Object::load`] would hand to a kernel whose BTF is `kernel`, without asking any kernel.
    /// Constants of the kernel's configuration are those of [`Object::set_kconfig`]; modules and addresses are unknown
    /// here.
    ///
    /// # Errors
    ///
    /// As [`Object::load`], as far as no kernel is needed to find out.
    pub fn dry_run(&self, kernel: &[u8]) -> Result<DryRun, Error> {
        self.dry_run_on(Types::Given(kernel))
    }

    /// Works out what [`Object::load`] would hand to the running kernel. It reads what everybody may read, the kernel's
    /// types (Linux 5.4), its configuration and its symbols, and needs no privileges; without them addresses may be
    /// hidden and modules' types out of reach, and the answer says so. Nothing is loaded.
    ///
    /// # Errors
    ///
    /// As [`Object::load`], as far as that is found out without making maps and programs.
    pub fn dry_run_on_host(&self) -> Result<DryRun, Error> {
        self.dry_run_on(Types::Running)
    }

    fn dry_run_on(&self, types: Types<'_>) -> Result<DryRun, Error> {
        let btf = self.completed_btf()?;
        let btf_of_old = match &btf {
            None => None,
            Some(bytes) => {
                let view = Btf::parse(bytes).map_err(|_| Error::bug("completed BTF cannot be parsed"))?;
                let mut older = bytes.clone();
                sanitize::rewrite(&mut older, &view, sanitize::Kinds::OLDEST)?;
                Some(older)
            }
        };
        let plan = Plan::of(self, types)?;
        let maps: Vec<_> = plan.maps(self).map(|(_, spec)| spec.into_owned()).collect();
        let mut linker = ObjectLinker::new(self, &plan.resolved, maps.iter().zip(1..));
        let (mut room, mut is_full) = (MOST, false);
        let programs = plan.programs(self).map(|program| {
            // A module's BTF that cannot be opened. Whether a kernel has the target at all is not asked: modules of a
            // kernel that is given as bytes are unknown.
            let linked = plan.resolved.targets.refusal(program).map_or(Ok(()), Err);
            // Not linked only to be dropped, for each of any number of programs.
            let linked = linked.and_then(|()| if is_full { Err(too_many()) } else { linker.link(program) });
            let linked = linked.and_then(|linked| {
                let left = room.checked_sub(linked.instructions.len());
                is_full = left.is_none();
                room = left.ok_or_else(too_many)?;
                let subprogs = linked.functions.iter().map(|(key, start)| {
                    let function = self.function_table().position(key);
                    let function = function.ok_or_else(|| Error::bug("a linked function is not the object's"))?;
                    Ok(Subprog { start: *start, function })
                });
                Ok((subprogs.collect::<Result<_, Error>>()?, linked.instructions))
            });
            let (subprogs, instructions) = match linked {
                Ok((subprogs, instructions)) => (subprogs, Ok(instructions)),
                Err(why) => (Vec::new(), Err(why)),
            };
            LinkedProgram { name: program.name.clone(), subprogs, instructions }
        });
        let programs = programs.collect();
        let externs = self.externs().iter().map(|known| externs::found(known, &plan.resolved.externs)).collect();
        Ok(DryRun { btf, btf_of_old, maps, relocated: plan.resolved.applied, externs, programs })
    }
}

/// Slots of eight bytes in all programs together. Each has what it calls behind it, so a small file could ask for any
/// amount of memory; loading forgets each before the next.
const MOST: usize = 8 << 20;

fn too_many() -> Error {
    Error::Object {
        why: format!("linked, its programs have more than {MOST} instructions, too many to keep all of them"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core_relo::Outcome;

    /// Resolution and linking change copies: the object is a plain value.
    #[test]
    fn object_is_the_same_after_a_dry_run() {
        let mut changed = 0;
        for name in
            ["kinds/core_reads.o", "externs/kfuncs.o", "kinds/maps.o", "kinds/freplace_by.o", "externs/kconfig.o"]
        {
            let path = format!("{}/../tests/corpus/{name}", env!("CARGO_MANIFEST_DIR"));
            let object = Object::parse(&std::fs::read(path).unwrap()).unwrap();
            let before = format!("{object:?}");
            // Its own types instead of a kernel's: CO-RE finds all that it looks for.
            let Ok(dry_run) = object.dry_run(&object.btf().unwrap()) else { continue };
            let is_change = |applied: &&Applied| matches!(applied.outcome, Outcome::Changed { .. });
            changed += dry_run.relocated.iter().filter(is_change).count();
            assert_eq!(format!("{object:?}"), before, "{name}");
        }
        assert!(changed > 0 || !cfg!(feature = "core-relo"));
    }
}
