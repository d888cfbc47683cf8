//! What a relocation is about, found in the program's own types: an access string read step by step.
//!
//! `0:1:2:3` on `struct sample *s` is `&s[0]`, then member 1, of that member 2, of that element 3. Numbers mean
//! something only in the program's own BTF; what is looked for in the kernel's are the *names* passed on the way. Steps
//! through unnamed structures have none, and are left out: the kernel may nest otherwise.

use std::fmt;

use super::record::{RelocationKind, Subject};
use crate::btf::{Btf, Kind, Type, shown};

/// The longest way, in steps.
pub(super) const LONGEST: usize = 64;

/// Where a field, a type or an enumerator is.
#[derive(Debug, Clone)]
pub(super) struct Spec<'b> {
    pub(super) btf: &'b Btf<'b>,
    /// The type that the way starts from.
    pub(super) root: u32,
    pub(super) subject: Subject,
    /// The steps that mean something: named members, and array elements. The first is always an element: `p->x` is
    /// `p[0].x`. An enumerator is the first and only one.
    pub(super) steps: Vec<Step<'b>>,
    /// Bits from the root's start.
    pub(super) bit_offset: u64,
}

/// A step of the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Step<'b> {
    /// For a member or an enumerator, the type that has it; for an array's element, the element's type.
    pub(super) type_id: u32,
    /// Which member, enumerator or element.
    pub(super) index: u32,
    /// The member's or enumerator's name.
    pub(super) name: Option<&'b [u8]>,
}

impl<'b> Spec<'b> {
    /// A way of no steps yet.
    pub(super) fn start(btf: &'b Btf<'b>, root: u32, subject: Subject) -> Self {
        Self { btf, root, subject, steps: Vec::new(), bit_offset: 0 }
    }

    /// Reads the access string `access` of a relocation on the type `root`.
    pub(super) fn read(btf: &'b Btf<'b>, root: u32, access: &[u8], kind: RelocationKind) -> Result<Self, String> {
        let mut spec = Self::start(btf, root, kind.subject());
        match spec.subject {
            Subject::Type if access == b"0" => return Ok(spec),
            Subject::Type => return Err("its access string is not `0`, as for a type it must be".to_owned()),
            Subject::Field | Subject::Enumerator => {}
        }
        let mut indices = indices(access)?.into_iter();
        let first = indices.next().ok_or("its access string is empty")?;
        let ty = btf.resolve(root).ok_or("its typedefs go in a circle")?;

        if spec.subject == Subject::Enumerator {
            let value = ty.value(first).ok_or_else(|| format!("{ty} has no enumerator of number {first}"))?;
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
                    let member = ty.member(index).ok_or_else(|| format!("{ty} has no member of number {index}"))?;
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
                _ => return Err(format!("it looks for a part of {ty}, which has none")),
            };
            ty = btf.resolve(next).ok_or("its typedefs go in a circle")?;
        }
        Ok(spec)
    }

    /// The type of the elements of `array`, to be reached by the next step; `None` if `index` is out of bounds.
    ///
    /// An array at the end of a structure may be declared with no elements, and then has any number.
    pub(super) fn element_of(&self, array: Type<'_>, index: u32) -> Option<u32> {
        let array = array.array()?;
        let flexible = array.len == 0
            && self.steps.last().is_some_and(|step| {
                step.name.is_some() && step.index.checked_add(1) == Some(self.btf.ty(step.type_id).len())
            });
        (flexible || index < array.len).then_some(())?;
        Some(self.btf.resolve(array.element)?.id())
    }

    /// Steps to element `index` of an array of `element`s.
    pub(super) fn push_element(&mut self, element: u32, index: u32) -> Result<(), String> {
        self.steps.push(Step { type_id: element, index, name: None });
        if index == 0 {
            // What has no size can still be the first of its kind.
            return self.btf.size_of(element).map(|_| ()).ok_or_else(|| self.sizeless(element));
        }
        let size = self.btf.size_of(element).ok_or_else(|| self.sizeless(element))?;
        self.advance(u64::from(index) * u64::from(size) * 8)
    }

    fn sizeless(&self, id: u32) -> String {
        format!("{} has no size", self.btf.ty(id))
    }

    /// Goes `bits` forward.
    pub(super) fn advance(&mut self, bits: u64) -> Result<(), String> {
        let sum = self.bit_offset.checked_add(bits).filter(|&sum| sum <= u64::from(u32::MAX));
        self.bit_offset = sum.ok_or("it is more than 512 MiB from the structure's start")?;
        Ok(())
    }

    /// The last step.
    pub(super) fn last(&self) -> Option<Step<'b>> {
        self.steps.last().copied()
    }
}

/// Reads `1:2:3`.
fn indices(access: &[u8]) -> Result<Vec<u32>, String> {
    let unreadable = || format!("its access string `{}` cannot be read", shown(access));
    let text = std::str::from_utf8(access).map_err(|_| unreadable())?;
    let indices: Result<Vec<_>, _> = text.split(':').take(LONGEST + 1).map(str::parse).collect();
    let indices = indices.map_err(|_| unreadable())?;
    if indices.len() > LONGEST { Err(format!("its access string has more than {LONGEST} steps")) } else { Ok(indices) }
}

impl fmt::Display for Spec<'_> {
    /// As C would write it: `struct task_struct.pid`, `struct s[2].a[3].b`, `enum e::VALUE`.
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
