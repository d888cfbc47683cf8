//! A map is made: its description, corrected to what the kernel takes, then its first contents.

use std::os::fd::{AsFd, BorrowedFd};

use log::info;

use cutaway_sys::{cpus, errno::ENOTSUPP, memory::page_size};

use super::Map;
use crate::{
    Error, MapFlags, MapType,
    object::MapSpec,
    privileges,
    resolve::struct_ops::Fitted,
    sys::{
        attr::{MapCreate, Name},
        bpf::{self, number},
        constant_names::MapFlagBits,
        memlock::charged,
        mmap::Shared,
    },
};

/// `BPF_F_SEGV_ON_FAULT`: user space may only touch pages of an arena that programs have allocated.
const SEGV_ON_FAULT: u32 = 1 << 17;
/// `BPF_F_LINK`: a table waits for a link.
const LINK: u32 = 1 << 13;
/// `BPF_F_VTYPE_BTF_OBJ_FD`: its type is a module's.
const VTYPE_BTF_OBJ_FD: u32 = 1 << 16;

impl Map {
    /// Makes the map that `spec` describes, with the object's BTF for its key and value if the kernel takes it.
    pub(crate) fn create(
        spec: &MapSpec,
        struct_ops: Option<&Fitted>,
        btf: Option<BorrowedFd<'_>>,
    ) -> Result<Self, Error> {
        let mut attr = corrected(spec)?;
        let holds_maps = matches!(spec.map_type, MapType::ARRAY_OF_MAPS | MapType::HASH_OF_MAPS);
        if cfg!(feature = "advice") && holds_maps && spec.inner.is_none() {
            return Err(Error::Invalid {
                operation: attempt(spec, &attr),
                why: "a map of maps needs a pattern of the maps that it holds: `__array(values, struct …)`, or `MapSpec::inner`"
                    .to_owned(),
            });
        }
        if cfg!(feature = "struct-ops") && btf.is_none() && struct_ops.is_some() {
            return Err(Error::Invalid {
                operation: attempt(spec, &attr),
                why: "its type is in the object's BTF, which the kernel did not take".to_owned(),
            });
        }
        // The pattern is only looked at while the map is made.
        let inner = spec.inner.as_deref().map(|inner| Self::create(inner, None, btf)).transpose()?;
        if let Some(inner) = &inner {
            attr.inner_map_fd = number(inner.as_fd());
        }
        if let Some(btf) = btf
            && !spec.map_type.refuses_btf()
            && spec.btf_value_type_id != 0
        {
            attr.btf_fd = number(btf);
            attr.btf_key_type_id = spec.btf_key_type_id;
            attr.btf_value_type_id = spec.btf_value_type_id;
        }
        if let (Some(btf), Some(table)) = (btf, struct_ops.filter(|_| cfg!(feature = "struct-ops"))) {
            attr.btf_fd = number(btf);
            attr.btf_vmlinux_value_type_id = table.value_type_id;
            if table.by_link {
                attr.map_flags.0 |= LINK;
            }
            if let Some(module) = &table.module {
                attr.map_flags.0 |= VTYPE_BTF_OBJ_FD;
                attr.value_type_btf_obj_fd = number(module.as_fd());
            }
        }
        let map = charged(&mut || bpf::map_create(attr, "creates a map that the object describes"))
            .or_else(|error| match error.raw_os_error() {
                // The types only help those who look at the map from outside; a kernel that dislikes them gets none.
                Some(libc::EINVAL | libc::ENOTSUP | ENOTSUPP) if attr.btf_value_type_id != 0 => {
                    let plain = MapCreate { btf_fd: 0, btf_key_type_id: 0, btf_value_type_id: 0, ..attr };
                    bpf::map_create(plain, "creates the map again without the types of its key and value")
                }
                _ => Err(error),
            })
            .map_err(|error| explain(spec, &attr, &error))?;
        let mut map = Self::wrap(spec.name.clone(), map)?;
        if spec.map_type == MapType::ARENA {
            map.settle_arena(spec)?;
        } else {
            map.fill(spec)?;
        }
        Ok(map)
    }

    /// The verifier must know at which address an arena lies in user space: the description names it, or the first
    /// mapping decides. Global variables are written into its pages, which makes the kernel allocate them: a program
    /// that gets there first would find none, and its writes would be lost.
    fn settle_arena(&mut self, spec: &MapSpec) -> Result<(), Error> {
        if spec.map_extra != 0 && spec.globals.is_none() {
            return Ok(());
        }
        let page = page_size();
        let length = (spec.max_entries as usize).saturating_mul(page);
        if let Some((_, size)) = spec.globals {
            let unfit =
                |why: String| Error::Invalid { operation: format!("create the map `{}` (ARENA)", spec.name), why };
            if size as usize > length {
                let pages = (size as usize).div_ceil(page);
                return Err(unfit(format!("it has {} pages, and its global variables take {pages}", spec.max_entries)));
            }
            if spec.map_flags.bits() & SEGV_ON_FAULT != 0 {
                let why = "BPF_F_SEGV_ON_FAULT forbids user space to touch a page that no program has allocated, and so to \
                           write its global variables there";
                return Err(unfit(why.to_owned()));
            }
        }
        let memory = Shared::of(self.as_fd(), length, spec.map_extra).map_err(|error| self.failed("map", &error))?;
        if let Some((_, size)) = spec.globals {
            self.base = spec.base() as usize;
            for offset in (0..size as usize).step_by(page) {
                memory.write(self.base + offset, &[0]);
            }
            if let Some(contents) = &spec.contents {
                contents.parts(&mut |offset, part| {
                    memory.write(self.base + offset, part);
                });
            }
        }
        // Nobody else has this map yet.
        let _ = self.memory.set(memory);
        Ok(())
    }

    /// Writes a data section's bytes into the one element of its map, and freezes constants.
    fn fill(&self, spec: &MapSpec) -> Result<(), Error> {
        let Some(contents) = &spec.contents else { return Ok(()) };
        // A new map is all zeroes already.
        if !contents.is_zero() {
            self.update(&0_u32.to_ne_bytes(), &contents.whole(spec.value_size as usize))?;
        }
        if contents.constant {
            bpf::map_freeze(self.as_fd(), "freezes constants, so that the verifier may rely on their values")
                .map_err(|error| Error::kernel(format!("freeze the map `{}`", self.name), &error))?;
        }
        Ok(())
    }
}

impl MapSpec {
    /// The description with the sizes that loading asks the kernel for: those of rings and perf event arrays are
    /// corrected. How many CPUs are possible is asked of the machine; no map is made.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] for a ring of more than 2 GiB; [`Error::Syscall`] if the possible CPUs cannot be counted.
    #[doc(alias = "adjust_ringbuf_sz")]
    pub fn normalized(&self) -> Result<Self, Error> {
        let MapCreate { key_size, value_size, max_entries, .. } = corrected(self)?;
        Ok(Self { key_size, value_size, max_entries, ..self.clone() })
    }
}

/// The description as the kernel will take it.
pub(super) fn corrected(spec: &MapSpec) -> Result<MapCreate, Error> {
    let mut attr = MapCreate {
        map_type: spec.map_type,
        key_size: spec.key_size,
        value_size: spec.value_size,
        max_entries: max_entries(spec)?,
        map_flags: MapFlagBits(spec.map_flags.bits()),
        numa_node: spec.numa_node,
        map_name: Name::cut(&spec.name),
        map_extra: spec.map_extra,
        ..MapCreate::default()
    };
    if spec.map_type == MapType::PERF_EVENT_ARRAY {
        (attr.key_size, attr.value_size) = (4, 4);
    } else if spec.map_type.is_ring() {
        (attr.key_size, attr.value_size) = (0, 0);
    }
    Ok(attr)
}

/// The number of elements as the kernel will take it.
fn max_entries(spec: &MapSpec) -> Result<u32, Error> {
    let asked = spec.max_entries;
    let corrected = if spec.map_type == MapType::PERF_EVENT_ARRAY {
        let possible = cpus::array_len().map_err(|error| Error::kernel("count the possible CPUs", &error))?;
        // The key is a CPU's number: more slots than CPUs could never be filled, and 0 means "as many as there are".
        if asked == 0 || asked > possible { possible } else { asked }
    } else if spec.map_type.is_ring() {
        let page = page_size() as u32;
        asked.max(page).checked_next_power_of_two().ok_or_else(|| Error::Invalid {
            operation: format!("create the ring `{}` of {asked} bytes", spec.name),
            why: "the largest ring is 2147483648 bytes".to_owned(),
        })?
    } else {
        asked
    };
    if corrected != asked {
        let what = if spec.map_type.is_ring() {
            "bytes: a ring is a power of two of pages"
        } else {
            "slots: one for each possible CPU"
        };
        info!("the map `{}` ({}) asks for {asked} and gets {corrected} {what}", spec.name, spec.map_type);
    }
    Ok(corrected)
}

fn attempt(spec: &MapSpec, attr: &MapCreate) -> String {
    let unit = match attr.max_entries {
        _ if spec.map_type.is_ring() => "bytes",
        1 => "entry",
        _ => "entries",
    };
    format!("create the map `{}` ({}, {} {unit})", spec.name, spec.map_type, attr.max_entries)
}

/// Why a map could not be made.
fn explain(spec: &MapSpec, attr: &MapCreate, error: &std::io::Error) -> Error {
    let plain = Error::kernel(attempt(spec, attr), error);
    match error.raw_os_error() {
        Some(libc::EINVAL) if cfg!(feature = "advice") => match (fault(spec, attr), spec.map_type.since()) {
            (Some(why), _) => plain.advise(&why),
            (None, Some(since)) => plain.advise(&format!(
                "this kind of map exists since Linux {since}; otherwise its sizes or flags are not allowed"
            )),
            (None, None) => plain.advise("this kernel, or this loader, does not know a kind of map of this number"),
        },
        Some(libc::E2BIG) => plain.advise("it is larger than the kernel allows: make it smaller"),
        _ => plain.wanting(privileges::to_create(spec.map_type)),
    }
}

/// What the kernel says EINVAL to, whatever its version, as far as the description alone tells (`map_alloc_check` and
/// `map_alloc` of each kind).
fn fault(spec: &MapSpec, attr: &MapCreate) -> Option<String> {
    use MapType as T;
    let is_local = matches!(spec.map_type, T::SK_STORAGE | T::INODE_STORAGE | T::TASK_STORAGE | T::CGRP_STORAGE);
    let is_storage = is_local || matches!(spec.map_type, T::CGROUP_STORAGE | T::PERCPU_CGROUP_STORAGE);
    let has_index = matches!(
        spec.map_type,
        T::ARRAY
            | T::PERCPU_ARRAY
            | T::PROG_ARRAY
            | T::CGROUP_ARRAY
            | T::ARRAY_OF_MAPS
            | T::DEVMAP
            | T::DEVMAP_HASH
            | T::CPUMAP
            | T::XSKMAP
            | T::SOCKMAP
            | T::STACK_TRACE
            | T::REUSEPORT_SOCKARRAY
    );
    let holds_fds = matches!(spec.map_type, T::PROG_ARRAY | T::CGROUP_ARRAY | T::ARRAY_OF_MAPS | T::HASH_OF_MAPS);
    let has_no_key =
        matches!(spec.map_type, T::QUEUE | T::STACK | T::BLOOM_FILTER | T::ARENA) || spec.map_type.is_ring();
    let has_no_value = matches!(spec.map_type, T::ARENA) || spec.map_type.is_ring();
    let (name, kind) = (&spec.name, spec.map_type);
    if kind == T(0) {
        return Some("its description has no type: `__uint(type, BPF_MAP_TYPE_…)`".to_owned());
    }
    // Of a kind that is unknown here nothing is known.
    kind.name()?;
    if is_storage && attr.max_entries != 0 {
        return Some(format!("a map of the type {kind} has no max_entries: leave it 0"));
    }
    if attr.max_entries == 0 && !is_storage && kind != T::STRUCT_OPS {
        return Some(format!(
            "its max_entries is 0, so that its size is the loading program's to set: `object.map_mut(\"{name}\")?.max_entries`"
        ));
    }
    if (has_index || is_local) && attr.key_size != 4 {
        return Some(format!("its key has {} bytes, and that of a map of the type {kind} has 4", attr.key_size));
    }
    if attr.key_size == 0 && !has_no_key {
        return Some("its key has no size: `__type(key, …)` or `__uint(key_size, …)`".to_owned());
    }
    if attr.key_size != 0 && has_no_key {
        return Some(format!("its key has {} bytes, and a map of the type {kind} has none", attr.key_size));
    }
    if attr.value_size == 0 && !has_no_value {
        return Some("its value has no size: `__type(value, …)` or `__uint(value_size, …)`".to_owned());
    }
    if holds_fds && attr.value_size != 4 {
        return Some(format!("its value has {} bytes, and that of a map of the type {kind} has 4", attr.value_size));
    }
    if (is_local || kind == T::LPM_TRIE) && !spec.map_flags.contains(MapFlags::NO_PREALLOC) {
        return Some(format!("a map of the type {kind} is made with the flag BPF_F_NO_PREALLOC"));
    }
    None
}
