//! Programs that read USDT arguments and were opened by a pin, an id or an fd.

use std::os::fd::AsFd;

use super::{Program, UsdtSpecs};
use crate::sys::{bpf, ids};

impl Program {
    /// Returns true if the program uses a map `__bpf_usdt_specs` whose entries in use are not known, because it was
    /// opened by a pin, an id or an fd. Its entries would be overwritten, or it would read those of other probes.
    ///
    /// Without CAP_SYS_ADMIN the program's maps cannot be opened, and this returns false.
    pub(crate) fn has_unknown_usdt_specs(&self) -> bool {
        const WHY: &str = "looks for a map with argument locations among those of a program";
        /// `BPF_OBJ_NAME_LEN` without the NUL.
        const KEPT: usize = 15;
        let is_specs = |id: u32| {
            let map = ids::open(ids::Kind::Map, id, WHY)?;
            let name = bpf::map_info(map.as_fd(), WHY)?.name.to_string();
            Ok::<_, std::io::Error>(UsdtSpecs::MAPS[0].get(..KEPT) == Some(&*name))
        };
        let ids = self.info().map(|info| info.map_ids).unwrap_or_default();
        self.usdt().is_none() && ids.into_iter().any(|id| is_specs(id).unwrap_or(false))
    }
}
