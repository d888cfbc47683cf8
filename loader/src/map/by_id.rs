//! Opens maps of any process by id.

use super::Map;
use crate::{Error, privileges::ONLY_BY_ROOT, sys::ids};

impl Map {
    /// Opens the map with this id, whichever process created it. The map's name is the kernel's, at most 15 bytes.
    ///
    /// Needs CAP_SYS_ADMIN, and Linux 4.13.
    ///
    /// Needs this crate's feature `system`.
    ///
    /// # Errors
    ///
    /// [`Error::Syscall`]: ENOENT if there is no such map, or no longer; EPERM without privileges.
    #[doc(alias("BPF_MAP_GET_FD_BY_ID", "bpf_map_get_fd_by_id"))]
    pub fn from_id(id: u32) -> Result<Self, Error> {
        let map = ids::open(ids::Kind::Map, id, "opens a map by its id").map_err(|error| {
            let plain = Error::kernel(format!("open the map with the id {id}"), &error);
            match error.raw_os_error() {
                Some(libc::ENOENT) => plain.advise("there is no such map, or it no longer exists"),
                Some(libc::EPERM) => plain.advise(ONLY_BY_ROOT),
                _ => plain,
            }
        })?;
        let mut map = Self::wrap(format!("id {id}"), map)?;
        map.name = map.elements.info().name.to_string();
        Ok(map)
    }
}
