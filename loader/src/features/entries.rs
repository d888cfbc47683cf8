//! Creates a map with an uncorrected `max_entries`, to show the kernel's own rules.

use std::os::fd::AsFd;

use crate::{
    Errno, MapType,
    sys::{
        attr::{MapCreate, Name},
        bpf,
    },
    token::Tokens,
};

/// Creates a map of this type with exactly `max_entries`, reads back the number that the kernel stored, and closes the
/// map. `max_entries` is in bytes for a ring. [`Object::load`](crate::Object::load) corrects sizes that the kernel
/// would refuse or that make no sense; this function does not, so it shows why.
///
/// Keys and values have 4 bytes each, or 0 for ring types.
///
/// # Errors
///
/// The kernel's errno: EINVAL for a size that this type of map does not allow, EPERM without privileges, E2BIG or
/// ENOMEM for one that is too large.
#[doc(alias = "libbpf_probe_bpf_map_type")]
pub fn max_entries(map_type: MapType, max_entries: u32) -> Result<u32, Errno> {
    let size = if map_type.is_ring() { 0 } else { 4 };
    let attr = MapCreate {
        map_type,
        key_size: size,
        value_size: size,
        max_entries,
        map_name: Name::cut("as_asked"),
        ..MapCreate::default()
    };
    let asked = Tokens::automatic().create(&mut |token| {
        bpf::map_create(attr, token, "creates a map of exactly the requested size, to see the kernel's answer")
    });
    let made = asked.and_then(|map| bpf::map_info(map.as_fd(), "reads the size that the kernel stored"));
    made.map(|info| info.max_entries).map_err(|error| Errno::of(&error))
}
