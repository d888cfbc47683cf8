//! The one walk over all types, in which everything is checked that reading them relies on.
//!
//! Types have no fixed length and no index: the third can be found only behind the second. So the walk notes where each
//! begins, four bytes a type, and nothing else. The kernel's BTF has some 130,000 types, and a start-up waits for this
//! loop: it makes no decision that a table or a running maximum can make.

use super::{
    bytes::{records, three, word},
    error::Broken,
    kind::{Kind, Layout, number},
};

/// A type as the walk shows it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TypeHeader {
    pub(crate) id: u32,
    pub(crate) kind: Kind,
    /// Offset of its name.
    pub(crate) name: u32,
    pub(super) size: u32,
    /// `kind_flag`
    pub(super) flag: bool,
}

/// What the walk has found.
pub(super) struct Walked {
    /// Where each type begins.
    pub(super) offsets: Vec<u32>,
}

/// Walks over `types`. Their numbers begin at `first`; a name may be anywhere below `strings_end`. Each type is shown
/// to `visit` as it comes by.
pub(super) fn walk(
    types: &[u8],
    first: u32,
    strings_end: u32,
    mut visit: impl FnMut(TypeHeader),
) -> Result<Walked, Broken> {
    // A type takes 12 bytes or more, in the kernel's BTF 28 on average; what is too much is given back below.
    let mut offsets = Vec::with_capacity(types.len() / 24 + 1);
    let mut highest = Highest { name: 0, id: 0 };
    let mut rest = types;
    while !rest.is_empty() {
        let id = first + offsets.len() as u32;
        let Some((head, behind)) = rest.split_first_chunk() else {
            return Err(Broken(format!("type {id} is cut off")));
        };
        let [name, info, reference] = three(head);
        let Some(layout) = Layout::of(info) else {
            return Err(Broken(format!("type {id} is of kind {}, which is unknown", number(info))));
        };
        let Some((added, next)) = behind.split_at_checked(layout.rest(info)) else {
            return Err(Broken(format!("type {id} reaches beyond the section")));
        };
        offsets.push((types.len() - rest.len()) as u32);
        highest.name(name);
        highest.id(if layout.refers { reference } else { 0 });
        if !added.is_empty() {
            highest.added(layout.kind, added);
        }
        visit(TypeHeader { id, kind: layout.kind, name, size: reference, flag: info >> 31 == 1 });
        rest = next;
    }
    let end = first + offsets.len() as u32;
    if highest.id >= end {
        return Err(Broken(format!("a type refers to type {}, and the last is {}", highest.id, end.saturating_sub(1))));
    }
    if highest.name >= strings_end {
        return Err(Broken(format!("a name is at {}, and the strings end at {strings_end}", highest.name)));
    }
    Ok(Walked { offsets })
}

/// The highest offset of a name, and the highest type id, that anything refers to.
struct Highest {
    name: u32,
    id: u32,
}

impl Highest {
    fn name(&mut self, name: u32) {
        self.name = self.name.max(name);
    }

    fn id(&mut self, id: u32) {
        self.id = self.id.max(id);
    }

    /// Looks at what follows a type's first 12 bytes.
    fn added(&mut self, kind: Kind, added: &[u8]) {
        match kind {
            Kind::Struct | Kind::Union => {
                for [name, id, _] in records(added) {
                    self.name(name);
                    self.id(id);
                }
            }
            Kind::FuncProto => {
                for [name, id] in records(added) {
                    self.name(name);
                    self.id(id);
                }
            }
            Kind::Enum => records(added).for_each(|[name, _]| self.name(name)),
            Kind::Enum64 => records(added).for_each(|[name, _, _]| self.name(name)),
            Kind::Datasec => records(added).for_each(|[id, _, _]| self.id(id)),
            Kind::Array => {
                self.id(word(added, 0));
                self.id(word(added, 4));
            }
            _ => {}
        }
    }
}
