//! Applies all relocations of an object in order.

use cutaway_sys::Instruction;

use super::{
    apply::{Known, One},
    candidates::Candidates,
    record::{Relocation, RelocationKind},
    report::{Applied, Error},
};
use crate::btf::{
    Btf,
    visitor::{Absent, Source, Sources, Types, Visitor},
};

/// Access to instructions by section and offset.
pub trait Code {
    /// Returns the instruction at `offset` bytes in `section`; `None` if it is not loaded.
    fn read(&self, section: &str, offset: u32) -> Option<Instruction>;
    /// Replaces the instruction at `offset` bytes in `section`, one that [`read`](Self::read) has returned.
    fn write(&mut self, section: &str, offset: u32, instruction: Instruction);
}

/// Adapts instructions to the types of the given BTF, the bytes of a section `.BTF`. Returns a report for each
/// relocation of an instruction that `code` has.
///
/// # Errors
///
/// [`Error::Target`] if `target` is broken; [`Error::Relocation`] for the first relocation that fails. Instructions may
/// already have been changed then, and must not be loaded.
#[doc(alias("bpf_core_apply_relo", "bpf_core_apply"))]
pub fn relocate(
    local: &Btf<'_>,
    relocations: &[Relocation<'_>],
    target: &[u8],
    code: &mut impl Code,
) -> Result<Vec<Applied>, Error> {
    let candidates = wanted(local, relocations, code);
    Types::Given(target).search(candidates, |candidates, sources| apply(local, relocations, sources, candidates, code))
}

/// Adapts instructions to the running kernel. Its BTF is read only if a relocation needs it, and the BTF of modules
/// only if vmlinux has no type of a name. Both are dropped afterwards.
///
/// # Errors
///
/// As [`relocate`]; [`Error::Target`] also if the kernel has no BTF: it was built without `CONFIG_DEBUG_INFO_BTF`, or
/// is older than Linux 5.4.
pub fn relocate_for_kernel(
    local: &Btf<'_>,
    relocations: &[Relocation<'_>],
    code: &mut impl Code,
) -> Result<Vec<Applied>, Error> {
    let candidates = wanted(local, relocations, code);
    Types::Running.search(candidates, |candidates, sources| apply(local, relocations, sources, candidates, code))
}

/// Collects the types that relocations of loaded instructions use.
pub(crate) fn wanted<'l>(local: &'l Btf<'_>, relocations: &[Relocation<'_>], code: &impl Code) -> Candidates<'l> {
    let asked = relocations.iter().filter(|relocation| {
        relocation.kind() != Some(RelocationKind::TypeIdLocal)
            && code.read(relocation.section, relocation.offset).is_some()
    });
    Candidates::wanted(local, asked.map(|relocation| relocation.type_id))
}

/// Applies all relocations in the object's order.
pub(crate) fn apply(
    local: &Btf<'_>,
    relocations: &[Relocation<'_>],
    sources: Sources<'_, '_>,
    mut candidates: Candidates<'_>,
    code: &mut impl Code,
) -> Result<Vec<Applied>, Error> {
    let sources = match sources {
        Ok(sources) => sources,
        Err(_) if candidates.is_idle() => &[],
        Err(Absent(why)) => return Err(Error::Target { why }),
    };
    apply_with(local, relocations, sources, &mut candidates, code, &mut Known::of(relocations.len()))
}

pub(super) fn apply_with(
    local: &Btf<'_>,
    relocations: &[Relocation<'_>],
    sources: &[Source<'_>],
    candidates: &mut Candidates<'_>,
    code: &mut impl Code,
    known: &mut Known,
) -> Result<Vec<Applied>, Error> {
    let mut applied = Vec::with_capacity(relocations.len());
    for relocation in relocations {
        let Some(first) = code.read(relocation.section, relocation.offset) else { continue };
        let next = relocation.offset.checked_add(8).and_then(|offset| code.read(relocation.section, offset));
        let mut one = One { local, sources, relocation, what: None };
        let ((first, second), done) =
            one.apply(candidates, known, (first, next), applied.len()).map_err(|why| one.error(why))?;
        code.write(relocation.section, relocation.offset, first);
        if let Some(second) = second {
            code.write(relocation.section, relocation.offset.saturating_add(8), second);
        }
        log::debug!("CO-RE, instruction {} of section `{}`: {done}", relocation.offset / 8, relocation.section);
        applied.push(done);
    }
    Ok(applied)
}
