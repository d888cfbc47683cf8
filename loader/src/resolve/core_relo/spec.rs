//! The path of a relocation through the program's types: an access string, read step by step.
//!
//! `0:1:2:3` on `struct sample *s` is `&s[0]`, then member 1, member 2 of that, element 3 of that. The numbers are
//! valid only in the program's own BTF. In the kernel's BTF the *names* on the path are searched for. Unnamed
//! structures have no step, because the kernel may nest members differently.

use std::fmt;

use super::record::{RelocationKind, Subject};
use crate::btf::{Btf, Kind, Type, shown};

/// The highest number of steps.
pub(super) const LONGEST: usize = 64;

/// The path to a field, a type or an enumerator.
#[derive(Debug, Clone)]
pub(super) struct Spec<'b> {
    pub(super) btf: &'b Btf<'b>,
    /// The type that the path starts from.
    pub(super) root: u32,
    pub(super) subject: Subject,
    /// The steps with a meaning: named members and array elements. The first is always an element, since `p->x` is
    /// `p[0].x`. The path to an enumerator has one step, the enumerator.
    pub(super) steps: Vec<Step<'b>>,
    /// Bits from the start of the root type.
    pub(super) bit_offset: u64,
}

/// A step of the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Step<'b> {
    /// The type that contains the member or enumerator; for an array element, the element's type.
    pub(super) type_id: u32,
    /// The index of the member, enumerator or element.
    pub(super) index: u32,
    /// The member's or enumerator's name.
    pub(super) name: Option<&'b [u8]>,
}

impl<'b> Spec<'b> {
    /// Returns a path without steps.
    pub(super) fn start(btf: &'b Btf<'b>, root: u32, subject: Subject) -> Self {
        Self { btf, root, subject, steps: Vec::new(), bit_offset: 0 }
    }

    /// Parses the access string `access` of a relocation on the type `root`.
    pub(super) fn read(btf: &'b Btf<'b>, root: u32, access: &[u8], kind: RelocationKind) -> Result<Self, String> {
        let mut spec = Self::start(btf, root, kind.subject());
        match spec.subject {
            Subject::Type if access == b"0" => return Ok(spec),
            Subject::Type => return Err("its access string must be `0` for a type".to_owned()),
            Subject::Field | Subject::Enumerator => {}
        }
        let mut indices = indices(access)?.into_iter();
        let first = indices.next().ok_or("its access string is empty")?;
        let ty = btf.resolve(root).ok_or("its typedefs form a circle")?;

        if spec.subject == Subject::Enumerator {
            let value = ty.value(first).ok_or_else(|| format!("{ty} has no enumerator {first}"))?;
            if indices.next().is_some() {
                return Err("an enumerator has more than one step".to_owned());
            }
            spec.steps.push(Step { type_id: ty.id(), index: first, name: Some(value.name) });
            return Ok(spec);
        }

        spec.push_element(ty.id(), first)?;
        let mut ty = ty;
        for index in indices {
            let next = match ty.kind() {
                Kind::Struct | Kind::Union => {
                    let member = ty.member(index).ok_or_else(|| format!("{ty} has no member {index}"))?;
                    spec.advance(u64::from(member.bit_offset))?;
                    if !member.name.is_empty() {
                        spec.steps.push(Step { type_id: ty.id(), index, name: Some(member.name) });
                    }
                    member.type_id
                }
                Kind::Array => {
                    let element =
                        spec.element_of(ty, index).ok_or_else(|| format!("an array has no element {index}"))?;
                    spec.push_element(element, index)?;
                    element
                }
                _ => return Err(format!("it accesses a part of {ty}, which has none")),
            };
            ty = btf.resolve(next).ok_or("its typedefs form a circle")?;
        }
        Ok(spec)
    }

    /// Returns the type of the elements of `array`, for the next step; `None` if `index` is out of bounds.
    ///
    /// An array that is the last member of a structure may be declared without elements; then `index` is not limited.
    pub(super) fn element_of(&self, array: Type<'_>, index: u32) -> Option<u32> {
        let array = array.array()?;
        let flexible = array.len == 0
            && self.steps.last().is_some_and(|step| {
                step.name.is_some() && step.index.checked_add(1) == Some(self.btf.ty(step.type_id).len())
            });
        (flexible || index < array.len).then_some(())?;
        Some(self.btf.resolve(array.element)?.id())
    }

    /// Adds a step to element `index` of an array of `element`s.
    pub(super) fn push_element(&mut self, element: u32, index: u32) -> Result<(), String> {
        self.steps.push(Step { type_id: element, index, name: None });
        if index == 0 {
            // Element 0 also needs a type with a size.
            return self.btf.size_of(element).map(|_| ()).ok_or_else(|| self.sizeless(element));
        }
        let size = self.btf.size_of(element).ok_or_else(|| self.sizeless(element))?;
        self.advance(u64::from(index) * u64::from(size) * 8)
    }

    fn sizeless(&self, id: u32) -> String {
        format!("{} has no size", self.btf.ty(id))
    }

    /// Moves the offset `bits` forward.
    pub(super) fn advance(&mut self, bits: u64) -> Result<(), String> {
        let sum = self.bit_offset.checked_add(bits).filter(|&sum| sum <= u64::from(u32::MAX));
        self.bit_offset = sum.ok_or("it is more than 512 MiB from the structure's start")?;
        Ok(())
    }

    /// Returns the last step.
    pub(super) fn last(&self) -> Option<Step<'b>> {
        self.steps.last().copied()
    }
}

/// Parses `1:2:3`.
fn indices(access: &[u8]) -> Result<Vec<u32>, String> {
    let unreadable = || format!("its access string `{}` cannot be read", shown(access));
    let text = std::str::from_utf8(access).map_err(|_| unreadable())?;
    let indices: Result<Vec<_>, _> = text.split(':').take(LONGEST + 1).map(str::parse).collect();
    let indices = indices.map_err(|_| unreadable())?;
    if indices.len() > LONGEST { Err(format!("its access string has more than {LONGEST} steps")) } else { Ok(indices) }
}

impl fmt::Display for Spec<'_> {
    /// Writes it as C does: `struct task_struct.pid`, `struct s[2].a[3].b`, `enum e::VALUE`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.btf.ty(self.root))?;
        for (index, step) in self.steps.iter().enumerate() {
            match step.name {
                Some(name) if self.subject == Subject::Enumerator => write!(f, "::{}", shown(name))?,
                Some(name) => write!(f, ".{}", shown(name))?,
                None if index > 0 || step.index > 0 => write!(f, "[{}]", step.index)?,
                None => {}
            }
        }
        Ok(())
    }
}
