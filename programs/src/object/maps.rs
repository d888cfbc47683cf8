//! Encodes maps as types.
//!
//! C programs define a map as a variable of an anonymous struct. The types of its members hold the whole definition:
//!
//! ```text
//! struct {
//!     int (*type)[BPF_MAP_TYPE_HASH];   // a number n is a pointer to an array of n
//!     int (*max_entries)[10240];
//!     unsigned long long *key;          // a type is a pointer to it
//!     struct call *value;
//! } calls SEC(".maps");
//! ```
//!
//! The variable's own bytes, a pointer for each member, are zeroes that no loader reads. The encoding is libbpf's:
//! `bpf_helpers.h` (`__uint`, `__type`, `__array`).

use crate::{
    btf::{BtfWriter, Type},
    map::{MapDef, Part},
};

/// Adds the struct that defines a map. Returns its type id, and its size in bytes.
pub(super) fn definition(btf: &mut BtfWriter, map: &MapDef) -> (u32, u32) {
    let mut members = vec![("type", btf.number(map.kind.0))];
    let parts = [(&map.key, "key", "key_size"), (&map.value, "value", "value_size")];
    for (part, of_type, of_size) in parts {
        match part {
            None => {}
            Some(Part::Bytes(bytes)) => members.push((of_size, btf.number(*bytes))),
            Some(Part::Type(kind)) => {
                members.push((of_type, btf.add(&Type::pointer(kind.clone()))));
            }
        }
    }
    if let Some(entries) = map.max_entries {
        members.push(("max_entries", btf.number(entries)));
    }
    for (name, value) in
        [("map_flags", map.flags), ("map_extra", map.extra), ("pinning", u32::from(map.pinned_by_name))]
    {
        if value != 0 {
            members.push((name, btf.number(value)));
        }
    }
    let mut bytes = members.len() as u32 * 8;
    if let Some(inner) = &map.inner {
        let (inner, _) = definition(btf, inner);
        // An array of no elements has size 0, so it comes last.
        members.push(("values", btf.inner(inner)));
        bytes = (members.len() as u32 - 1) * 8;
    }
    (btf.definition(&members, bytes), bytes)
}
