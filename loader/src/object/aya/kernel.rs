//! Checks a kernel's BTF that the caller gives, before aya-obj reads it. The BTF of the running kernel is not
//! checked: it comes from the kernel itself.
//!
//! aya-obj reads the linkage of a variable straight into an enum. To find a member it follows unnamed structures, and
//! to compare prototypes it follows their parameters, with no limit of depth. A structure that contains itself
//! overflows the stack. One that contains two structures of the next level, on fifty levels, takes years.

use std::collections::HashMap;

use crate::{
    Error,
    btf::{Btf, Ext, Kind},
    object::Object,
};

/// The maximum linkage of a variable in aya-obj's enum.
const MOST_LINKAGE: u32 = 3;
/// The maximum depth of nested unnamed structures, or of pointers and prototypes.
const DEEPEST: u32 = 64;
/// The maximum number of members of one structure. Members of unnamed structures in it count each time that they are
/// reached.
const MOST_MEMBERS: u64 = 1 << 20;
/// The maximum number of members that all CO-RE relocations together compare.
const MOST_STEPS: u64 = 1 << 28;

/// Refuses BTF of a kernel that aya-obj must not read for this object.
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
    if let Some(why) = long_type(&btf) {
        return refused(format!("it {why}"));
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

/// Returns the number of types of the kernel that all relocations together are tried on: types of the same name,
/// without flavors.
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

/// Checks the numbers of entries of types: 24 bits here and since Linux 7.1, 16 bits in aya-obj. It would read the
/// other entries as types, and a linkage among them straight into an enum.
pub(super) fn long_type(btf: &Btf<'_>) -> Option<String> {
    let long = btf.types().find(|ty| ty.len() > u16::MAX.into())?;
    Some(format!("reads 16 bits of the number of entries of the type {}, here {}", long.id(), long.len()))
}

/// Returns a name without its flavor (`___name`).
pub(super) fn essential(name: &[u8]) -> &[u8] {
    let flavor = name.windows(3).position(|part| part == b"___");
    flavor.and_then(|at| name.get(..at)).unwrap_or(name)
}

/// The number of members that are reached from each type.
struct Costs<'b> {
    btf: &'b Btf<'b>,
    /// The number by type id; 0 if it is not known yet.
    known: Vec<u64>,
}

impl Costs<'_> {
    /// Returns the number of members, parameters and enumerators that are reached from a type; `None` if it contains
    /// itself or is deeper than [`DEEPEST`].
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
