//! A dry run: computes what loading would pass to the kernel, without creating anything.
//!
//! A dry run does the same steps as [`Object::load`], without the system calls that create maps and load programs. It
//! completes the object's BTF, adapts instructions to a kernel's types, resolves externs, and links each program with
//! the functions that it calls. The kernel's types are the running kernel's, or bytes that the caller passes. The fds
//! of maps are placeholders.

use cutaway_sys::Instruction;

#[cfg(feature = "instrument")]
use crate::instrument::{Insertion, Preview};
use crate::{
    Error, ExternFound, MapSpec, Object,
    btf::{Btf, sanitize, visitor::Types},
    link::ObjectLinker,
    load::Plan,
    resolve::{core_relo::Applied, externs},
};

/// The data that loading would pass to the kernel.
#[derive(Debug)]
#[non_exhaustive]
pub struct DryRun {
    /// The object's BTF, completed; `None` if it has none.
    pub btf: Option<Vec<u8>>,
    /// The object's BTF as the first kernel with BTF gets it: that kernel knows few kinds of type.
    pub btf_of_old: Option<Vec<u8>>,
    /// The maps, in the order of their placeholder fds. The first map has the fd 1.
    pub maps: Vec<MapSpec>,
    /// The names of the maps that [`LinkedProgram::insertions`] use. Their placeholder fds follow those of `maps`.
    #[cfg(feature = "instrument")]
    pub counter_maps: Vec<&'static str>,
    /// The results of the CO-RE relocations.
    pub relocated: Vec<Applied>,
    /// The result for each of [`Object::externs`], in that order.
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
    /// Its instructions, followed by those of the functions that it calls; or the reason why it cannot be linked.
    pub instructions: Result<Vec<Instruction>, Error>,
    /// Its functions in the order of its instructions: the program first, then the functions that it calls. Empty if it
    /// cannot be linked.
    pub subprogs: Vec<Subprog>,
    /// The instructions that loading inserts, ascending by slot, or the reason why it inserts none. `instructions` does
    /// not have them.
    #[cfg(feature = "instrument")]
    pub insertions: Result<Vec<Insertion>, Error>,
}

/// A function within a linked program.
#[doc(alias = "bpf_prog_info")]
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Subprog {
    /// The index of its first instruction slot in the program.
    pub start: usize,
    /// Its index in [`Object::functions`].
    pub function: usize,
}

impl Object {
    /// Computes what [`Object::load`] would pass to a kernel whose BTF is `kernel`. Queries no kernel. The constants of
    /// the kernel's configuration are those of [`Object::set_kconfig`]. The kernel's modules and the addresses of its
    /// symbols are unknown.
    ///
    /// # Errors
    ///
    /// As [`Object::load`], except the errors that only a kernel can report.
    pub fn dry_run(&self, kernel: &[u8]) -> Result<DryRun, Error> {
        self.dry_run_on(Types::Given(kernel))
    }

    /// Computes what [`Object::load`] would pass to the running kernel. Nothing is loaded.
    ///
    /// The function needs no privileges. It reads only files that every user may read: the kernel's types (Linux 5.4),
    /// configuration and symbols. Without privileges, the kernel may hide the addresses of its symbols and the types of
    /// its modules; [`DryRun::externs`] then has the reason.
    ///
    /// # Errors
    ///
    /// As [`Object::load`], except the errors of creating maps and loading programs.
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
        #[cfg(feature = "instrument")]
        let preview = Preview::of(self, &plan.resolved, maps.len() as i32 + 1)?;
        let (mut room, mut is_full) = (MOST, false);
        let programs = plan.programs(self).map(|program| {
            // Refuses a target in a module whose BTF cannot be opened. Whether the kernel has the target is not
            // checked: the modules of a kernel that is given as bytes are unknown.
            let linked = plan.resolved.targets.refusal(program).map_or(Ok(()), Err);
            // A full result has no room for more programs, so they are not linked at all.
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
                let subprogs = subprogs.collect::<Result<_, Error>>()?;
                #[cfg(feature = "instrument")]
                let insertions = preview.insertions(&linked);
                Ok(LinkedProgram {
                    name: program.name.clone(),
                    subprogs,
                    instructions: Ok(linked.instructions),
                    #[cfg(feature = "instrument")]
                    insertions,
                })
            });
            linked.unwrap_or_else(|why| LinkedProgram {
                name: program.name.clone(),
                instructions: Err(why),
                subprogs: Vec::new(),
                #[cfg(feature = "instrument")]
                insertions: Ok(Vec::new()),
            })
        });
        let programs = programs.collect();
        let externs = self.externs().iter().map(|known| externs::found(known, &plan.resolved.externs)).collect();
        Ok(DryRun {
            btf,
            btf_of_old,
            maps,
            #[cfg(feature = "instrument")]
            counter_maps: preview.maps,
            relocated: plan.resolved.applied,
            externs,
            programs,
        })
    }
}

/// Limit of instruction slots (8 bytes each) in all programs together. Each program contains copies of the functions
/// that it calls, so a small file could require any amount of memory. Loading frees each program before the next.
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
            // The object's own types instead of a kernel's: CO-RE finds all of them.
            let Ok(dry_run) = object.dry_run(&object.btf().unwrap()) else { continue };
            let is_change = |applied: &&Applied| matches!(applied.outcome, Outcome::Changed { .. });
            changed += dry_run.relocated.iter().filter(is_change).count();
            assert_eq!(format!("{object:?}"), before, "{name}");
        }
        assert!(changed > 0 || !cfg!(feature = "core-relo"));
    }
}
