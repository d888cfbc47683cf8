//! Maps that are used in place of an object's own: whether one fits.

use std::os::fd::BorrowedFd;

use cutaway_sys::fd;

use super::{Map, create::corrected, fdinfo::check_is_map};
use crate::{Error, MapFlags, MapSpec};

/// Flags that change what programs read or may do. The others concern user space or the allocation.
const SEEN_BY_PROGRAMS: MapFlags = MapFlags::all()
    .difference(MapFlags::NO_PREALLOC)
    .difference(MapFlags::NO_COMMON_LRU)
    .difference(MapFlags::NUMA_NODE)
    .difference(MapFlags::RDONLY)
    .difference(MapFlags::WRONLY)
    .difference(MapFlags::ZERO_SEED)
    .difference(MapFlags::MMAPABLE)
    .difference(MapFlags::PRESERVE_ELEMS)
    .difference(MapFlags::INNER_MAP);

impl Map {
    /// Returns the map of this fd under the name that `spec` has, if it fits the description.
    pub(crate) fn in_place_of(spec: &MapSpec, map: BorrowedFd<'_>) -> Result<Self, Error> {
        let attempt = || format!("use another map as `{}`", spec.name);
        let unfit = |why: String| Error::Invalid { operation: attempt(), why };
        if spec.struct_ops.is_some() {
            return Err(unfit("its struct_ops map gets its value when it is created".to_owned()));
        }
        if spec.globals.is_some() {
            return Err(unfit("the arena's global variables are laid out when it is created".to_owned()));
        }
        check_is_map(map, attempt)?;
        let map = fd::duplicate(map, "duplicates the fd of a map that is used in place of the object's")
            .map_err(|error| Error::kernel(attempt(), &error))?;
        let map = Self::wrap(spec.name.clone(), map)?;
        let (info, attr) = (map.elements.info(), corrected(spec)?);
        let seen = |flags| u64::from((MapFlags::from_bits_retain(flags) & SEEN_BY_PROGRAMS).bits());
        // The kernel adds this flag itself to a `DEVMAP`.
        let added = if spec.map_type == crate::MapType::DEVMAP { u64::from(MapFlags::RDONLY_PROG.bits()) } else { 0 };
        let parts = [
            ("the map type", u64::from(info.map_type.0), u64::from(attr.map_type.0)),
            ("the key size", info.key_size.into(), attr.key_size.into()),
            ("the value size", info.value_size.into(), attr.value_size.into()),
            (
                "of map_flags, the part that programs see",
                seen(info.map_flags) & !added,
                seen(attr.map_flags.0) & !added,
            ),
        ];
        match parts.into_iter().find(|(_, there, described)| there != described) {
            None => Ok(map),
            Some((part, there, described)) => {
                Err(unfit(format!("{part} is {there}, and the object says {described}: use a map that fits")))
            }
        }
    }
}
