//! The walk over all types, which checks everything that later reads rely on.
//!
//! Types have no fixed length and no index, so each is found only after the one before. The walk stores their positions
//! and nothing else. The kernel's BTF has some 130,000 types, and loading waits for this loop. So it makes no decision
//! that a table or a running maximum can make.

use super::{
    bytes::{records, three, word},
    error::Broken,
    kind::{Kind, Layout, number},
    positions::Positions,
};

/// The first words of a type, as the walk passes them to visitors.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TypeHeader {
    pub(crate) id: u32,
    pub(crate) kind: Kind,
    /// The offset of its name.
    pub(crate) name: u32,
    pub(super) size: u32,
    /// `kind_flag`
    pub(super) flag: bool,
}

/// Walks over `types` and returns the position of each. Their ids begin at `first`; names must lie below `strings_end`.
/// Each type is passed to `visit` in order.
pub(super) fn walk(
    types: &[u8],
    first: u32,
    strings_end: u32,
    mut visit: impl FnMut(TypeHeader),
) -> Result<Positions, Broken> {
    let mut positions = Positions::for_bytes(types.len());
    let mut highest = Highest { name: 0, id: 0 };
    let mut rest = types;
    while !rest.is_empty() {
        let id = first + positions.count();
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
        positions.push((types.len() - rest.len()) as u32);
        highest.name(name);
        highest.id(if layout.refers { reference } else { 0 });
        if !added.is_empty() {
            highest.added(layout.kind, added);
        }
        visit(TypeHeader { id, kind: layout.kind, name, size: reference, flag: info >> 31 == 1 });
        rest = next;
    }
    let end = first + positions.count();
    if highest.id >= end {
        return Err(Broken(format!("a type refers to type {}, and the last is {}", highest.id, end.saturating_sub(1))));
    }
    if highest.name >= strings_end {
        return Err(Broken(format!("a name is at {}, and the strings end at {strings_end}", highest.name)));
    }
    Ok(positions)
}

/// The highest offset of a name, and the highest type id, in all references.
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

    /// Checks the bytes after a type's first 12.
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
