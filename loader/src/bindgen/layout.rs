//! Places the members of a structure in a Rust structure of the same layout.
//!
//! BTF has offsets and sizes, but no alignments. They follow from the members, as in C, except where attributes changed
//! them. `packed` shows in offsets and sizes that are no multiples of an alignment, `aligned` in gaps and in bytes at
//! the end that the members' alignments do not explain.
//!
//! Members that overlap (unions without a name, and BTF that no compiler writes), bit fields, and members that a packed
//! Rust structure cannot have become *storage*: bytes that accessors read.

use std::collections::HashMap;

/// The bytes that a member takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: u32,
    pub(super) end: u32,
    /// The alignment in C.
    pub(super) align: u32,
    pub(super) kind: SpanKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SpanKind {
    /// A member that can be a field: its index, and whether its type contains one with `repr(align)`.
    Member { index: usize, is_aligned: bool },
    /// A bit field.
    Bits,
    /// A union without a name.
    Union,
}

/// A field of the Rust structure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// The member with this index.
    Member(usize),
    /// Storage from `start` to `end`, for at least one union or several members that overlap (`bits` is false), or for
    /// bit fields only.
    Storage {
        start: u32,
        end: u32,
        bits: bool,
    },
    Padding {
        start: u32,
        end: u32,
    },
}

/// The layout of a structure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) places: Vec<Place>,
    /// The alignment of the structure.
    pub(super) align: u32,
    /// `packed(N)`, if needed.
    pub(super) packed: Option<u32>,
    /// Whether the fields alone do not give this alignment.
    pub(super) needs_align: bool,
}

/// The highest alignment that is derived from gaps. Compilers accept more, but a larger gap is more likely something
/// else.
const HIGHEST: u32 = 4096;

/// Finds the layout of a structure of `size` bytes. No span ends after `size`.
pub(super) fn of(size: u32, mut spans: Vec<Span>) -> Layout {
    spans.sort_by_key(|span| (span.start, span.end));
    if spans.is_empty() {
        // Its members are unnamed bit fields, which BTF does not have: `bpf_timer` and the like.
        let align = 1 << size.trailing_zeros().min(3);
        let align = if size == 0 { 1 } else { align };
        let places = if size == 0 { vec![] } else { vec![Place::Storage { start: 0, end: size, bits: false }] };
        return Layout { places, align, packed: None, needs_align: align > 1 };
    }
    let members = Members::of(&spans);
    let (natural, is_packed) = alignment(size, &spans);
    let limit = if is_packed { natural } else { u32::MAX };
    let mut places = groups(&spans, &members, false);
    let misfits = |places: &[Place]| {
        places.iter().any(|place| members.span(*place).is_some_and(|span| !span.start.is_multiple_of(span.align)))
    };
    let highest = |places: &[Place]| {
        places.iter().filter_map(|place| members.span(*place)).map(|span| span.align).max().unwrap_or(1)
    };
    let packed = (misfits(&places) || highest(&places) > limit).then_some(natural);
    if packed.is_some() {
        places = groups(&spans, &members, true);
    }
    // Without the members that became storage, the others may need no attribute.
    let packed = packed.filter(|_| misfits(&places) || highest(&places) > natural);
    let align = if is_packed { natural } else { raised(size, natural, &spans) };
    padded(size, &members, &places, align, packed)
}

/// The spans of the members that can be fields, by their index.
struct Members(HashMap<usize, Span>);

impl Members {
    fn of(spans: &[Span]) -> Self {
        let by_index = |span: &Span| match span.kind {
            SpanKind::Member { index, .. } => Some((index, *span)),
            SpanKind::Bits | SpanKind::Union => None,
        };
        Self(spans.iter().filter_map(by_index).collect())
    }

    /// Returns the span of a member; `None` for storage and padding, which may be anywhere.
    fn span(&self, place: Place) -> Option<Span> {
        let Place::Member(index) = place else { return None };
        self.0.get(&index).copied()
    }

    fn start(&self, place: Place) -> u32 {
        match place {
            Place::Storage { start, .. } | Place::Padding { start, .. } => start,
            Place::Member(_) => self.span(place).map_or(0, |span| span.start),
        }
    }
}

/// Returns the alignment that the members give, reduced until all offsets and the size are multiples of it; and whether
/// it had to be reduced.
fn alignment(size: u32, spans: &[Span]) -> (u32, bool) {
    let highest = spans.iter().map(|span| span.align).max().unwrap_or(1);
    // A bit field may begin anywhere in the bits of its type.
    let placed = || spans.iter().filter(|span| span.kind != SpanKind::Bits);
    let fits = |align: u32| {
        size.is_multiple_of(align) && placed().all(|span| span.start.is_multiple_of(span.align.min(align)))
    };
    let mut align = highest;
    while align > 1 && !fits(align) {
        align /= 2;
    }
    (align, align < highest)
}

/// Returns the alignment that also explains gaps: the attribute `aligned` on a member or on the structure.
fn raised(size: u32, natural: u32, spans: &[Span]) -> u32 {
    let mut align = natural;
    let mut end = 0_u32;
    let ends = spans.iter().map(|span| (span.start, span.align)).chain([(size, natural)]);
    let mut rest = spans.iter();
    for (start, member) in ends {
        if end.next_multiple_of(member.max(1)) < start {
            let fits = |align: &u32| end.next_multiple_of(*align) == start && size.is_multiple_of(*align);
            let found = (0..).map(|bit| 1_u32 << bit).take_while(|align| *align <= HIGHEST).find(fits);
            align = align.max(found.unwrap_or(1));
        }
        end = end.max(rest.next().map_or(0, |span| span.end));
    }
    align
}

/// Joins spans that overlap, and bit fields that follow each other. Each group that is not a single member becomes
/// storage. So does, in a packed structure, a member that contains a type with `repr(align)`.
fn groups(spans: &[Span], members: &Members, is_packed: bool) -> Vec<Place> {
    let mut places: Vec<(Place, u32)> = Vec::new();
    for span in spans {
        let place = match span.kind {
            SpanKind::Member { index, is_aligned } if !(is_packed && is_aligned) => Place::Member(index),
            kind => Place::Storage { start: span.start, end: span.end, bits: kind == SpanKind::Bits },
        };
        let bits = span.kind == SpanKind::Bits;
        match places.last_mut() {
            Some((last, end)) if span.start < *end => {
                let begun = members.start(*last);
                let only_bits = bits && matches!(last, Place::Storage { bits: true, .. });
                *end = span.end.max(*end);
                *last = Place::Storage { start: begun, end: *end, bits: only_bits };
            }
            Some((Place::Storage { end: until, bits: true, .. }, end)) if bits && span.start == *end => {
                (*until, *end) = (span.end, span.end);
            }
            _ => places.push((place, span.end)),
        }
    }
    places.into_iter().map(|(place, _)| place).collect()
}

/// Inserts the padding that Rust would not insert.
fn padded(size: u32, members: &Members, places: &[Place], align: u32, packed: Option<u32>) -> Layout {
    let limit = packed.unwrap_or(u32::MAX);
    let (mut all, mut end, mut highest) = (Vec::new(), 0_u32, 1_u32);
    for &place in places {
        let start = members.start(place);
        let (until, field) = match (place, members.span(place)) {
            (_, Some(span)) => (span.end, span.align.min(limit)),
            (Place::Storage { end, .. } | Place::Padding { end, .. }, None) => (end, 1),
            (Place::Member(_), None) => (start, 1),
        };
        if end.next_multiple_of(field) < start {
            all.push(Place::Padding { start: end, end: start });
        }
        all.push(place);
        highest = highest.max(field);
        end = until;
    }
    let align = if packed.is_some() { highest } else { align.max(highest) };
    if end.next_multiple_of(align) < size {
        all.push(Place::Padding { start: end, end: size });
    }
    Layout { places: all, align, packed, needs_align: align > highest }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(index: usize, start: u32, size: u32, align: u32) -> Span {
        Span { start, end: start + size, align, kind: SpanKind::Member { index, is_aligned: false } }
    }

    #[test]
    fn natural_layout_needs_nothing() {
        let layout = of(16, vec![member(0, 0, 4, 4), member(1, 8, 8, 8)]);
        let places = vec![Place::Member(0), Place::Member(1)];
        assert_eq!(layout, Layout { places, align: 8, packed: None, needs_align: false });
    }

    #[test]
    fn offsets_and_sizes_show_packing() {
        for (size, spans, packed) in [
            (5, vec![member(0, 0, 1, 1), member(1, 1, 4, 4)], Some(1)),
            (12, vec![member(0, 0, 4, 4), member(1, 4, 8, 8)], Some(4)),
            (12, vec![member(0, 0, 8, 8), member(1, 8, 4, 4)], Some(4)),
        ] {
            let layout = of(size, spans);
            assert_eq!((layout.packed, layout.align, layout.places.len()), (packed, packed.unwrap(), 2));
        }
    }

    #[test]
    fn gaps_show_alignment_or_become_padding() {
        // struct { u32 a; } aligned(64)
        let layout = of(64, vec![member(0, 0, 4, 4)]);
        assert_eq!((layout.align, layout.needs_align, layout.places), (64, true, vec![Place::Member(0)]));
        // struct { u32 a; u32 b aligned(16); }
        let layout = of(32, vec![member(0, 0, 4, 4), member(1, 16, 4, 4)]);
        let places = vec![Place::Member(0), Place::Padding { start: 4, end: 16 }, Place::Member(1)];
        assert_eq!((layout.align, layout.places), (16, places));
        // Unnamed bit fields of 96 bits: no alignment explains 20 bytes.
        let layout = of(20, vec![member(0, 0, 4, 4), member(1, 16, 4, 4)]);
        assert_eq!((layout.align, layout.places.len()), (4, 3));
        // bpf_timer
        let layout = of(16, vec![]);
        assert_eq!((layout.align, layout.places.len(), layout.needs_align), (8, 1, true));
        assert_eq!(of(0, vec![]).places, vec![]);
    }

    #[test]
    fn overlap_becomes_storage() {
        let layout = of(12, vec![member(0, 0, 4, 4), member(1, 2, 4, 1), member(2, 8, 4, 4)]);
        let storage = Place::Storage { start: 0, end: 6, bits: false };
        assert_eq!(layout.places, vec![storage, Place::Member(2)]);
        assert_eq!((layout.align, layout.packed), (4, None));
        // A member with repr(align) in a packed structure.
        let aligned = SpanKind::Member { index: 1, is_aligned: true };
        let layout = of(9, vec![member(0, 0, 1, 1), Span { start: 1, end: 9, align: 8, kind: aligned }]);
        assert_eq!(layout.places, vec![Place::Member(0), Place::Storage { start: 1, end: 9, bits: false }]);
        assert_eq!((layout.packed, layout.needs_align), (None, false));
    }

    #[test]
    fn bit_fields_share_storage() {
        let bits = |start, end| Span { start, end, align: 4, kind: SpanKind::Bits };
        let layout = of(8, vec![bits(0, 1), bits(0, 2), bits(2, 4), member(0, 4, 4, 4)]);
        assert_eq!(layout.places, vec![Place::Storage { start: 0, end: 4, bits: true }, Place::Member(0)]);
    }
}
