//! The types that records can have, and the choice of one for a record of a certain size. The first rule that finds a
//! type decides:
//!
//! ```text
//!     named     sizeof(struct event) on the line of source of the submitting call
//!     declared  const struct event *unused;            a global pointer: the author's declaration
//!     named     the name of the type as a word of that line
//!     sent      the value of a map, found by a lookup  (submit_sites.rs)
//!     guess     the only candidate with the size of the record; also a declared one, if that line names
//!               another structure
//! ```
//!
//! A structure with a flexible array at its end is a candidate for every record that is not shorter. It is the declared
//! type if it is declared and no declared type has exactly the record's size.
//!
//! These types are not candidates for a guess: those that describe maps, keys and values of maps, contexts of programs,
//! types of the kernel (`vmlinux.h` contains thousands), and types that are only the first member of another candidate.
//! The value of a per-CPU array of one element is a candidate: events too large for the stack are built there.

use std::{
    cell::OnceCell,
    collections::{BTreeMap, HashMap, HashSet},
};

use cutaway::{
    MapSpec, MapType, Object,
    btf::{Btf, Kind, Type, kernel},
};

use super::{
    submit_sites::SubmitSite,
    type_choice::{Basis, Choice, Shape},
};

/// The types that records can have.
#[derive(Debug, Default)]
pub(crate) struct Candidates<'b> {
    /// All types that a line of source may name.
    all: Vec<Shape<'b>>,
    /// The ids of the types that a global pointer points to.
    declared: HashSet<u32>,
    /// The ids of the types that are not guessed: keys and values of maps, except the value of a per-CPU array of one
    /// element.
    not_guessed: HashSet<u32>,
    /// The ids of the types that the running kernel has, which are not guessed either. Found at the first guess; empty
    /// if the kernel's BTF cannot be read.
    in_kernel: OnceCell<HashSet<u32>>,
    /// The type id of each map's values, by the name of the map.
    values: BTreeMap<String, u32>,
}

/// A map, as far as it matters for the types of records.
#[derive(Debug)]
pub(crate) struct MapTypes {
    pub(crate) name: String,
    pub(crate) map_type: MapType,
    pub(crate) max_entries: u32,
    /// The ids of the types of its keys and values; `None` without a type.
    pub(crate) key: Option<u32>,
    pub(crate) value: Option<u32>,
}

impl<'b> Candidates<'b> {
    /// Finds the candidates of an object.
    pub(super) fn of(object: &Object, btf: &'b Btf<'b>) -> Self {
        let map = |map: &MapSpec| MapTypes {
            name: map.name.clone(),
            map_type: map.map_type,
            max_entries: map.max_entries,
            key: map.key_type(),
            value: map.value_type(),
        };
        let maps: Vec<MapTypes> = object.maps().iter().map(map).collect();
        let programs: Vec<&str> = object.programs().iter().map(|program| program.name.as_str()).collect();
        Self::new(&maps, &programs, btf)
    }

    /// Finds the candidates in the BTF of programs with these names, which use these maps.
    pub(crate) fn new(maps: &[MapTypes], programs: &[&str], btf: &'b Btf<'b>) -> Self {
        let not = excluded(programs, btf);
        let mut all = Vec::new();
        for ty in btf.types().filter(|ty| !ty.name_bytes().is_empty()) {
            let composite = match ty.kind() {
                Kind::Struct | Kind::Union => Some(ty),
                // `typedef struct { … } event;`
                Kind::Typedef => {
                    btf.resolve(ty.id()).filter(|of| of.kind().is_composite() && of.name_bytes().is_empty())
                }
                _ => None,
            };
            let Some(composite) = composite.filter(|ty| !not.contains(&ty.id())) else { continue };
            let Some(shape) = Shape::new(btf, ty).filter(|shape| shape.size > 0) else { continue };
            if !composite.is_empty() {
                all.push(shape);
            }
        }
        let mut not_guessed = HashSet::new();
        let mut values = BTreeMap::new();
        for map in maps {
            let value = map.value.and_then(|id| btf.resolve(id)).map(Type::id);
            values.extend(value.map(|id| (map.name.clone(), id)));
            let is_heap = map.map_type == MapType::PERCPU_ARRAY && map.max_entries == 1;
            let key = map.key.and_then(|id| btf.resolve(id)).map(Type::id);
            // For the map of a data section, the type of the value is the section.
            not_guessed.extend(key.into_iter().chain(value.filter(|_| !is_heap)));
        }
        let pointers = btf.types().filter(|ty| ty.kind() == Kind::Var).filter_map(|ty| btf.resolve(ty.referred()));
        let pointers = pointers.filter(|ty| ty.kind() == Kind::Ptr).filter_map(|ty| btf.resolve(ty.referred()));
        let declared = pointers.map(Type::id).collect();
        Self { declared, all, not_guessed, in_kernel: OnceCell::new(), values }
    }

    /// Returns those types of `fits` that may be guessed.
    fn guesses(&self, fits: impl Iterator<Item = Shape<'b>>) -> Vec<Shape<'b>> {
        let fits: Vec<_> = fits.filter(|shape| !self.not_guessed.contains(&resolved(shape))).collect();
        if fits.is_empty() {
            return fits;
        }
        let in_kernel = self.in_kernel.get_or_init(|| {
            let kernel = kernel::Bytes::vmlinux().ok();
            let kernel = kernel.as_deref().and_then(|bytes| Btf::parse(bytes).ok());
            kernel.map(|kernel| in_kernel(&self.all, &kernel)).unwrap_or_default()
        });
        fits.into_iter().filter(|shape| !in_kernel.contains(&resolved(shape))).collect()
    }

    /// Chooses the type of records of this size that are submitted at `sites`.
    pub(super) fn choose(&self, size: usize, sites: &[&SubmitSite]) -> Choice<'b> {
        let fits: Vec<_> = self.all.iter().filter(|shape| shape.size == size).copied().collect();
        let on_a_line = |rule: fn(&str, &Shape<'_>) -> bool, among: &[Shape<'b>]| {
            let named = among.iter().filter(|shape| sites.iter().any(|site| rule(&site.line, shape)));
            unique(named)
        };
        let declared = self.declared(&fits);
        let value = || {
            let maps = sites.iter().filter_map(|site| site.value_of.as_ref());
            let types: HashSet<u32> = maps.filter_map(|map| self.values.get(map).copied()).collect();
            unique(fits.iter().filter(|shape| types.contains(&resolved(shape))))
        };
        let flexible = self.flexible(size);
        let found = on_a_line(names_explicitly, &fits)
            // `sizeof(struct event) + 8`, for a structure with a flexible array.
            .or_else(|| on_a_line(names_explicitly, &flexible))
            .map(|shape| (shape, Basis::Named))
            .or_else(|| {
                let shape = unique(declared.iter())?;
                // `struct other *record = bpf_ringbuf_reserve(…)`: the line names a type that is not in the object's
                // BTF.
                let name = shape.btf.ty(shape.id).name();
                let contradicted = sites.iter().any(|site| names_another(&site.line, &name));
                Some((shape, if contradicted { Basis::Guess } else { Basis::Declared }))
            })
            .or_else(|| {
                on_a_line(names, if declared.is_empty() { &fits } else { &declared }).map(|shape| (shape, Basis::Named))
            })
            .or_else(|| value().map(|shape| (shape, Basis::Sent)));
        found.map_or_else(|| self.fitting(&[size], size), |(shape, basis)| Choice::Known(shape, basis))
    }

    /// Chooses the type of a record by its possible sizes, and by its length with padding. Declared types take
    /// precedence over guesses, and types of exactly one of the sizes over those with a flexible array.
    pub(super) fn fitting(&self, sizes: &[usize], length: usize) -> Choice<'b> {
        let exact: Vec<_> = self.all.iter().filter(|shape| sizes.contains(&shape.size)).copied().collect();
        let flexible = self.flexible(length);
        let fits = Some(self.declared(&exact))
            .filter(|fits| !fits.is_empty())
            .or_else(|| Some(self.declared(&flexible)).filter(|fits| !fits.is_empty()))
            .or_else(|| Some(self.outermost(exact)).filter(|fits| !fits.is_empty()))
            .unwrap_or_else(|| self.guesses(flexible.into_iter()));
        self.only(&fits)
    }

    /// Returns the types with a flexible array that fit a record of this length.
    fn flexible(&self, length: usize) -> Vec<Shape<'b>> {
        self.all.iter().filter(|shape| shape.flexible && shape.size <= length).copied().collect()
    }

    /// Returns those types of `among` that a global pointer points to.
    fn declared(&self, among: &[Shape<'b>]) -> Vec<Shape<'b>> {
        among.iter().filter(|shape| self.declared.contains(&resolved(shape))).copied().collect()
    }

    /// Returns those types of `fits` that may be guessed, without those that are the first member of another one.
    fn outermost(&self, fits: Vec<Shape<'b>>) -> Vec<Shape<'b>> {
        let fits = self.guesses(fits.into_iter());
        let members = fits.iter().filter_map(|shape| shape.btf.resolve(shape.id)).flat_map(Type::members);
        let first = members.filter(|member| member.bit_offset == 0).map(|member| member.type_id);
        let btf = fits.first().map(|shape| shape.btf);
        let inner: HashSet<u32> = first.filter_map(|id| btf?.resolve(id)).map(Type::id).collect();
        fits.into_iter().filter(|shape| !inner.contains(&resolved(shape))).collect()
    }

    /// Makes the choice among types that fit by their size.
    fn only(&self, fits: &[Shape<'b>]) -> Choice<'b> {
        match fits {
            [] => Choice::Unknown,
            [shape] if self.declared.contains(&resolved(shape)) => Choice::Known(*shape, Basis::Declared),
            [shape] => Choice::Known(*shape, Basis::Guess),
            several => Choice::Several(several.iter().map(Shape::name).collect()),
        }
    }
}

/// Returns the id of the type that a typedef resolves to.
fn resolved(shape: &Shape<'_>) -> u32 {
    shape.btf.resolve(shape.id).map_or(shape.id, Type::id)
}

/// Returns the only type; `None` if there are several or none. A structure and its typedef count as one.
fn unique<'s, 'b: 's>(mut shapes: impl Iterator<Item = &'s Shape<'b>>) -> Option<Shape<'b>> {
    let first = shapes.next()?;
    shapes.all(|other| resolved(other) == resolved(first)).then_some(*first)
}

/// Returns whether a line of source has the type's name as a word.
fn names(line: &str, shape: &Shape<'_>) -> bool {
    let name = shape.btf.ty(shape.id).name();
    line.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == name)
}

/// Returns whether a line of source has the type's name after `struct` or `union`. For a typedef: after `sizeof`.
fn names_explicitly(line: &str, shape: &Shape<'_>) -> bool {
    let ty = shape.btf.ty(shape.id);
    let name = ty.name();
    let words: Vec<&str> =
        line.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty()).collect();
    let before = if ty.kind() == Kind::Typedef { &["sizeof"][..] } else { &["struct", "union"] };
    words.windows(2).any(|pair| matches!(pair, [first, second] if before.contains(first) && *second == name))
}

/// Returns whether a line of source has names after `struct` or `union`, and not this one.
fn names_another(line: &str, name: &str) -> bool {
    let words: Vec<&str> =
        line.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty()).collect();
    let mut named = words.windows(2).filter_map(|pair| match pair {
        ["struct" | "union", named] => Some(*named),
        _ => None,
    });
    let first = named.next();
    first.is_some_and(|first| first != name && named.all(|other| other != name))
}

/// Returns the ids of the candidates that the kernel has with the same name and at least half of the members.
///
/// A program has such a type from `vmlinux.h`, complete or in part, of this kernel or of another one. A program's own
/// structure that only has the same name as one of the kernel's shares few members.
fn in_kernel(all: &[Shape<'_>], kernel: &Btf<'_>) -> HashSet<u32> {
    let mut named: HashMap<Vec<u8>, Vec<&Shape<'_>>> = HashMap::new();
    for shape in all {
        let name = shape.btf.ty(shape.id).name_bytes();
        // `struct task_struct___old` is a flavor of `struct task_struct`.
        let end = name.windows(3).position(|three| three == b"___").filter(|&end| end > 0).unwrap_or(name.len());
        named.entry(name.get(..end).unwrap_or(name).to_vec()).or_default().push(shape);
    }
    let mut found = HashSet::new();
    for ty in kernel.types() {
        let Some(shapes) = named.get(ty.name_bytes()) else { continue };
        let Some(its) = kernel.resolve(ty.id()).filter(|ty| ty.kind().is_composite()) else { continue };
        for shape in shapes {
            let Some(own) = shape.btf.resolve(shape.id).filter(|own| own.kind() == its.kind()) else { continue };
            let its: HashSet<&[u8]> = its.members().map(|member| member.name).collect();
            let named = own.members().filter(|member| !member.name.is_empty());
            let (all, shared) =
                named.fold((0, 0), |(all, shared), member| (all + 1, shared + usize::from(its.contains(member.name))));
            if shared * 2 >= all {
                found.insert(own.id());
            }
        }
    }
    found
}

/// Returns the ids of the types that describe maps, and of the contexts of the programs with these names.
fn excluded(programs: &[&str], btf: &Btf<'_>) -> HashSet<u32> {
    let mut not = HashSet::new();
    let mut descriptions: Vec<u32> = Vec::new();
    for section in btf.types().filter(|ty| ty.kind() == Kind::Datasec && ty.name_bytes() == b".maps") {
        descriptions.extend(section.section_vars().map(|variable| btf.ty(variable.type_id).referred()));
    }
    while let Some(description) = descriptions.pop().and_then(|id| btf.resolve(id)) {
        if !not.insert(description.id()) {
            continue;
        }
        // The inner map of a map of maps: `values` is an array of pointers.
        let held = description.members().find(|member| member.name == b"values");
        let pointer = held.and_then(|member| btf.resolve(btf.resolve(member.type_id)?.array()?.element));
        descriptions.extend(pointer.map(Type::referred));
    }
    for function in btf.types().filter(|ty| ty.kind() == Kind::Func && programs.contains(&&*ty.name())) {
        let argument = btf.ty(function.referred()).params().next().and_then(|argument| btf.resolve(argument.type_id));
        not.extend(argument.and_then(|pointer| btf.resolve(pointer.referred())).map(Type::id));
    }
    not
}

#[cfg(test)]
mod tests {
    use super::names_another;

    #[test]
    fn line_that_names_another_structure_contradicts() {
        for line in ["struct y *w = bpf_ringbuf_reserve(&b, sizeof(*w), 0);", "send(&b, (union y *)w, 16);"] {
            assert!(names_another(line, "x"), "{line}");
            assert!(!names_another(line, "y"), "{line}");
        }
        for line in ["", "w = bpf_ringbuf_reserve(&b, 16, 0);", "f((struct y *)p, sizeof(struct x));", "struct"] {
            assert!(!names_another(line, "x"), "{line}");
        }
    }
}
