//! Checks a kernel's BTF that the caller gives, before aya-obj reads it. That of the running kernel comes from the
//! kernel itself.
//!
//! aya-obj reads the linkage of a variable straight into an enum. When it looks for a member it follows unnamed
//! structures, and when it compares prototypes it follows their parameters, however deep: a structure that contains
//! itself overflows the stack, and one with two of a kind on fifty levels is followed for years.

use std::collections::HashMap;

use crate::{
    Error,
    btf::{Btf, Ext, Kind},
    object::Object,
};

/// The highest linkage of a variable that aya-obj's enum has.
const MOST_LINKAGE: u32 = 3;
/// Unnamed structures in each other, or pointers and prototypes.
const DEEPEST: u32 = 64;
/// The most members of one structure, those of unnamed ones in it included, each time that they are reached.
const MOST_MEMBERS: u64 = 1 << 20;
/// The most members that all CO-RE relocations together compare.
const MOST_STEPS: u64 = 1 << 28;

/// Refuses BTF of a kernel that aya-obj must not be given for this object.
pub(crate) fn admit_kernel(bytes: &[u8], object: &Object) -> Result<(), Error> {
    let refused = |why: String| Err(Error::Object { why: format!("the kernel's BTF is not given to aya-obj: {why}") });
    let btf = match Btf::parse(bytes) {
        Ok(btf) => btf,
        Err(why) => return refused(format!("it is broken: {why}")),
    };
    let variable = btf.types().find(|ty| ty.kind() == Kind::Var && ty.linkage() > MOST_LINKAGE);
    if let Some(variable) = variable {
        return refused(format!("the variable `{}` has linkage {}", variable.name(), variable.linkage()));
    }
    let mut costs = Costs { btf: &btf, known: vec![0; btf.end() as usize] };
    let mut most = 1;
    for id in 1..btf.end() {
        match costs.of(id, 0) {
            Some(cost) if cost <= MOST_MEMBERS => most = most.max(cost),
            _ => return refused(format!("type {id} (`{}`) contains itself, or too much", btf.ty(id).name())),
        }
    }
    let steps = candidates(&btf, object).saturating_mul(most);
    if steps > MOST_STEPS {
        return refused(format!("the object's CO-RE relocations could compare {steps} members with it"));
    }
    Ok(())
}

/// How many types of the kernel all relocations together are tried on: those of the same name, flavors aside.
fn candidates(kernel: &Btf<'_>, object: &Object) -> u64 {
    let (types, ext) = (object.elf().contents(".BTF"), object.elf().contents(".BTF.ext"));
    let Ok(local) = Btf::parse(types) else { return 0 };
    let Ok(ext) = Ext::parse(ext, &local) else { return 0 };
    let mut roots: HashMap<&[u8], u64> = HashMap::new();
    for [_, root, ..] in ext.core_relo().flat_map(|records| records.words::<4>()) {
        let count = roots.entry(essential(local.ty(root).name_bytes())).or_default();
        *count = count.saturating_add(1);
    }
    let tried = kernel.types().filter_map(|ty| roots.get(essential(ty.name_bytes())));
    tried.fold(0, |sum, count| sum.saturating_add(*count))
}

/// A name without its flavor (`___name`).
fn essential(name: &[u8]) -> &[u8] {
    let flavor = name.windows(3).position(|part| part == b"___");
    flavor.and_then(|at| name.get(..at)).unwrap_or(name)
}

/// How many members are reached from each type.
struct Costs<'b> {
    btf: &'b Btf<'b>,
    /// By type id; 0 if it is not known yet.
    known: Vec<u64>,
}

impl Costs<'_> {
    /// Returns how many members, parameters and enumerators are reached from a type; `None` if it contains itself.
    fn of(&mut self, id: u32, depth: u32) -> Option<u64> {
        if depth > DEEPEST {
            return None;
        }
        let ty = self.btf.resolve(id)?;
        let at = ty.id() as usize;
        if let Some(known) = self.known.get(at).copied().filter(|known| *known != 0) {
            return Some(known);
        }
        let mut cost = 1 + u64::from(ty.len());
        match ty.kind() {
            Kind::Struct | Kind::Union => {
                for member in ty.members().filter(|member| member.name.is_empty()) {
                    let inner = self.btf.resolve(member.type_id)?;
                    if inner.kind().is_composite() {
                        cost = cost.saturating_add(self.of(inner.id(), depth + 1)?);
                    }
                }
            }
            Kind::FuncProto => {
                for param in ty.params() {
                    cost = cost.saturating_add(self.of(param.type_id, depth + 1)?);
                }
                cost = cost.saturating_add(self.of(ty.referred(), depth + 1)?);
            }
            Kind::Ptr => cost = cost.saturating_add(self.of(ty.referred(), depth + 1)?),
            Kind::Array => cost = cost.saturating_add(self.of(ty.array()?.element, depth + 1)?),
            _ => {}
        }
        if let Some(known) = self.known.get_mut(at) {
            *known = cost;
        }
        Some(cost)
    }
}
