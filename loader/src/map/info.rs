//! The kernel's description of a map, and freezing.

use std::os::fd::AsFd;

use super::{
    Map,
    fdinfo::{fdinfo, value},
};
use crate::{Error, MapFlags, MapType, sys::bpf};

/// The kernel's description of a map at one moment: see [`Map::info`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
#[doc(alias("bpf_map_info", "bpf_map_get_info_by_fd"))]
pub struct MapInfo {
    /// The map id. No two existing maps have the same id.
    pub id: u32,
    /// The first 15 bytes of its name; may be empty.
    pub name: String,
    /// The map type.
    pub map_type: MapType,
    /// Bytes of a key.
    pub key_size: u32,
    /// Bytes of a value; for a per-CPU map, of the value of one CPU, without padding.
    pub value_size: u32,
    /// The maximum number of elements; for a ring, bytes.
    pub max_entries: u32,
    /// The flags that it was created with.
    pub flags: MapFlags,
    /// `map_extra`, whose meaning depends on the map type. Linux 5.16; 0 before.
    pub map_extra: u64,
    /// The index of the network device that it is offloaded to; `None` for a map of the kernel itself.
    pub ifindex: Option<u32>,
    /// The network namespace of that device: device and inode number of its file.
    pub netns: Option<(u64, u64)>,
    /// The id of the BTF with the types of its keys and values; `None` without types.
    pub btf_id: Option<u32>,
    /// The type id of its keys in that BTF; `None` without a type.
    pub btf_key_type_id: Option<u32>,
    /// The type id of its values in that BTF; `None` without a type.
    pub btf_value_type_id: Option<u32>,
    /// For a struct_ops map: the type id of its value in the kernel's BTF, or in that of `btf_vmlinux_id`.
    pub btf_vmlinux_value_type_id: Option<u32>,
    /// For a struct_ops map of a module: the id of the module's BTF. Linux 6.9.
    pub btf_vmlinux_id: Option<u32>,
    /// Whether user space may no longer write to it ([`Map::freeze`]). `None` if it is unknown, because procfs cannot
    /// be read. Linux 5.2; `Some(false)` before.
    pub frozen: Option<bool>,
    /// The memory of the map in bytes, as the kernel counts or estimates it. `None` if it is unknown, because procfs
    /// cannot be read or the kernel does not tell it.
    pub memlock: Option<u64>,
}

impl Map {
    /// Returns the kernel's description of the map. [`Map::map_type`] and the like need no system call; this has the
    /// rest, and what can change.
    ///
    /// # Errors
    ///
    /// [`Error::Syscall`] if the kernel refuses.
    #[doc(alias("BPF_OBJ_GET_INFO_BY_FD", "bpf_map_get_info_by_fd", "Map.Info"))]
    pub fn info(&self) -> Result<MapInfo, Error> {
        let info = bpf::map_info(self.as_fd(), "reads the kernel's description of the map");
        let info = info.map_err(|error| self.failed("query", &error))?;
        let given = |id: u32| (id != 0).then_some(id);
        let fdinfo = fdinfo(self.as_fd()).ok();
        let line = |name: &str| fdinfo.as_deref().and_then(|text| value(text, name));
        Ok(MapInfo {
            id: info.id,
            name: info.name.to_string(),
            map_type: info.map_type,
            key_size: info.key_size,
            value_size: info.value_size,
            max_entries: info.max_entries,
            flags: MapFlags::from_bits_retain(info.map_flags),
            map_extra: info.map_extra,
            ifindex: given(info.ifindex),
            netns: (info.netns_ino != 0).then_some((info.netns_dev, info.netns_ino)),
            btf_id: given(info.btf_id),
            btf_key_type_id: given(info.btf_key_type_id),
            btf_value_type_id: given(info.btf_value_type_id),
            btf_vmlinux_value_type_id: given(info.btf_vmlinux_value_type_id),
            btf_vmlinux_id: given(info.btf_vmlinux_id),
            frozen: fdinfo.as_ref().map(|_| line("frozen:") == Some(1)),
            memlock: line("memlock:"),
        })
    }

    /// Forbids user space to write to the map, for ever: updates, deletions and writable mappings are refused with
    /// EPERM. Programs may still write, unless the map has the flag [`MapFlags::RDONLY_PROG`]; with both, the verifier
    /// treats the values as constants. Linux 5.2.
    ///
    /// # Errors
    ///
    /// [`Error::Syscall`]: EPERM if the map is frozen already (EBUSY on older kernels) or was opened read-only, EBUSY
    /// if a process has mapped it for writing, ENOTSUPP (524) if its values hold timers or kernel pointers.
    #[doc(alias("BPF_MAP_FREEZE", "bpf_map_freeze", "Map.Freeze"))]
    pub fn freeze(&self) -> Result<(), Error> {
        bpf::map_freeze(self.as_fd(), "forbids user space to write to the map").map_err(|error| {
            let plain = self.failed("freeze", &error);
            match error.raw_os_error() {
                Some(libc::EBUSY) => {
                    plain.advise("it is frozen already, or a process has mapped it for writing or writes to it")
                }
                Some(libc::EPERM) => plain.advise("it is frozen already, or was opened or created read-only"),
                Some(cutaway_sys::errno::ENOTSUPP) => {
                    plain.advise("its values hold timers, kernel pointers or the like, which must be released")
                }
                Some(libc::EINVAL) => plain.advise("freezing needs Linux 5.2"),
                _ => plain,
            }
        })
    }

    /// Returns whether the map is frozen ([`Map::freeze`]): by procfs, which has a line for it (`frozen:` in the fd's
    /// file in `/proc/self/fdinfo`).
    ///
    /// # Errors
    ///
    /// [`Error::Syscall`] if procfs cannot be read.
    #[doc(alias("BPF_MAP_FREEZE", "frozen"))]
    pub fn is_frozen(&self) -> Result<bool, Error> {
        let text =
            fdinfo(self.as_fd()).map_err(|error| self.failed("find out from procfs whether it is frozen:", &error))?;
        Ok(value(&text, "frozen:") == Some(1))
    }
}
