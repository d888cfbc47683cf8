//! Creates a map: corrects its description to what the kernel accepts, and writes the initial contents.

use std::os::fd::{AsFd, BorrowedFd};

use log::info;

use cutaway_sys::{cpus, errno::ENOTSUPP, memory::page_size};

use super::Map;
use crate::{
    Error, MapFlags, MapType,
    object::MapSpec,
    resolve::struct_ops::Fitted,
    sys::{
        attr::{MapCreate, Name},
        bpf::{self, ProgramHash, number},
        constant_names::MapFlagBits,
        mmap::Shared,
    },
    token::{Need, Tokens},
};

/// `BPF_F_SEGV_ON_FAULT`: user space may only touch arena pages that programs have allocated.
pub(super) const SEGV_ON_FAULT: u32 = 1 << 17;
/// `BPF_F_LINK`: the struct_ops map is registered by a link.
const LINK: u32 = 1 << 13;
/// `BPF_F_VTYPE_BTF_OBJ_FD`: the value's type is in a module's BTF.
const VTYPE_BTF_OBJ_FD: u32 = 1 << 15;

/// The arguments for creating a map, beside its description.
#[derive(Clone, Copy)]
pub(crate) struct Given<'g> {
    /// For a map of maps: the template of its inner maps, instead of a description.
    pub(super) inner: Option<BorrowedFd<'g>>,
    /// Whether a map without the types of its key and value is useless to the caller.
    pub(super) types: bool,
    /// The purpose, for the report of the call.
    pub(super) why: &'static str,
    /// Whether the description is a caller's (`MapBuilder`), and not an object's: errors then name its methods.
    pub(super) built: bool,
}

impl Default for Given<'_> {
    fn default() -> Self {
        Self { inner: None, types: false, why: "creates a map that the object describes", built: false }
    }
}

impl Map {
    /// Creates the map that `spec` describes, with the object's BTF for its key and value if the kernel accepts that.
    pub(crate) fn create_as(
        spec: &MapSpec,
        struct_ops: Option<&Fitted>,
        btf: Option<BorrowedFd<'_>>,
        given: Given<'_>,
        tokens: &Tokens<'_>,
    ) -> Result<Self, Error> {
        let mut attr = corrected(spec)?;
        let holds_maps = matches!(spec.map_type, MapType::ARRAY_OF_MAPS | MapType::HASH_OF_MAPS);
        if cfg!(feature = "advice") && holds_maps && spec.inner.is_none() && given.inner.is_none() {
            return Err(Error::Invalid {
                operation: attempt(spec, &attr),
                why: format!(
                    "a map of maps needs a template of the maps that it holds: {}",
                    if given.built {
                        "`MapBuilder::inner`"
                    } else {
                        "`__array(values, struct …)`, or `MapSpec::inner`"
                    }
                ),
            });
        }
        if cfg!(feature = "struct-ops") && btf.is_none() && struct_ops.is_some() {
            return Err(Error::Invalid {
                operation: attempt(spec, &attr),
                why: "its type is in the object's BTF, which the kernel refused".to_owned(),
            });
        }
        // The kernel reads the template only while it creates the map.
        let of_inner = Given::default();
        let inner =
            spec.inner.as_deref().map(|inner| Self::create_as(inner, None, btf, of_inner, tokens)).transpose()?;
        if let Some(inner) = given.inner.or(inner.as_ref().map(AsFd::as_fd)) {
            attr.inner_map_fd = number(inner);
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
            if table.has_link_flag {
                attr.map_flags.0 |= LINK;
            }
            if let Some(module) = &table.module {
                attr.map_flags.0 |= VTYPE_BTF_OBJ_FD;
                attr.value_type_btf_obj_fd = number(module.as_fd());
            }
        }
        let exclusive = exclusive(spec);
        let map = tokens
            .create(&mut |token| bpf::map_create_for(attr, exclusive, token, given.why))
            .or_else(|error| match error.raw_os_error() {
                // Only observers of the map use the types. If the kernel refuses them, the map is created without.
                Some(libc::EINVAL | libc::ENOTSUP | ENOTSUPP) if attr.btf_value_type_id != 0 && !given.types => {
                    let plain = MapCreate { btf_fd: 0, btf_key_type_id: 0, btf_value_type_id: 0, ..attr };
                    let why = "creates the map again without the types of its key and value";
                    bpf::map_create_for(plain, exclusive, tokens.held(), why)
                }
                _ => Err(error),
            })
            .map_err(|error| explain(spec, &attr, given.built, &error, tokens))?;
        let mut map = Self::wrap(spec.name.clone(), map)?;
        if spec.map_type == MapType::ARENA {
            map.map_arena(spec)?;
        } else {
            map.fill(spec)?;
        }
        Ok(map)
    }

    /// Creates an array of one element with a value of `size` bytes, which this process can map.
    #[cfg(feature = "instrument")]
    pub(crate) fn create_counters(name: &str, size: u32, tokens: &Tokens<'_>) -> Result<Self, Error> {
        let attr = MapCreate {
            map_type: MapType::ARRAY,
            key_size: 4,
            value_size: size,
            max_entries: 1,
            map_flags: MapFlagBits(MapFlags::MMAPABLE.bits()),
            map_name: Name::cut(name),
            ..MapCreate::default()
        };
        let map = tokens
            .create(&mut |token| bpf::map_create(attr, token, "creates a map for counts of inserted instructions"));
        let map = map.map_err(|error| {
            let attempt = format!("create the map `{name}` (ARRAY, a value of {size} bytes)");
            tokens.explain(Error::kernel(attempt, &error), Need::Map(MapType::ARRAY))
        })?;
        Self::wrap(name.to_owned(), map)
    }

    /// Maps an arena. The verifier must know its user-space address: either the description names it, or the first
    /// mapping determines it. Global variables are written into the arena's pages, which makes the kernel allocate
    /// them. If a program ran first, it would find no variables, and its writes would be lost.
    fn map_arena(&mut self, spec: &MapSpec) -> Result<(), Error> {
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
                return Err(unfit(format!("it has {} pages, and its global variables need {pages}", spec.max_entries)));
            }
            if spec.map_flags.bits() & SEGV_ON_FAULT != 0 {
                let why = "BPF_F_SEGV_ON_FAULT forbids user space to touch a page that no program has allocated, so its \
                           global variables cannot be written there";
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
        // No other code has this map yet.
        let _ = self.memory.set(memory);
        Ok(())
    }

    /// Writes the bytes of a data section into the map's only element, and freezes constants.
    fn fill(&self, spec: &MapSpec) -> Result<(), Error> {
        let Some(contents) = &spec.contents else { return Ok(()) };
        // A new map is zeroed.
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
    /// Returns the description with the sizes that loading requests from the kernel: those of rings and perf event
    /// arrays are corrected. Reads the number of possible CPUs from this machine; creates no map.
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

/// Returns the description with sizes that the kernel accepts.
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
    #[cfg(feature = "maps")]
    {
        attr.map_ifindex = spec.ifindex;
    }
    if spec.map_type == MapType::PERF_EVENT_ARRAY {
        (attr.key_size, attr.value_size) = (4, 4);
    } else if spec.map_type.is_ring() {
        (attr.key_size, attr.value_size) = (0, 0);
    }
    Ok(attr)
}

/// Returns the number of elements that the kernel accepts.
fn max_entries(spec: &MapSpec) -> Result<u32, Error> {
    let asked = spec.max_entries;
    let corrected = if spec.map_type == MapType::PERF_EVENT_ARRAY {
        let possible = cpus::array_len().map_err(|error| Error::kernel("count the possible CPUs", &error))?;
        // The key is a CPU's number: slots beyond the possible CPUs would stay empty, and 0 means one for each possible
        // CPU.
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
    // Only a map without an object can lack a name.
    if cfg!(feature = "maps") && spec.name.is_empty() {
        return format!("create a map ({}, {} {unit})", spec.map_type, attr.max_entries);
    }
    format!("create the map `{}` ({}, {} {unit})", spec.name, spec.map_type, attr.max_entries)
}

/// Returns the error of a map that could not be created.
fn explain(spec: &MapSpec, attr: &MapCreate, built: bool, error: &std::io::Error, tokens: &Tokens<'_>) -> Error {
    let plain = Error::kernel(attempt(spec, attr), error);
    match error.raw_os_error() {
        Some(libc::EINVAL) if cfg!(feature = "advice") => {
            match (fault(spec, attr, built).or_else(|| kernels_log(spec, attr, tokens)), spec.map_type.since()) {
                (Some(why), _) => plain.advise(&why),
                (None, Some(_)) if exclusive(spec).is_some() => {
                    plain.advise("a map for a single program (`exclusive_hash`) needs Linux 6.18")
                }
                (None, Some(_)) if attr.map_ifindex != 0 => {
                    plain.advise("the device does not exist, or its driver does not offload maps of this type")
                }
                (None, Some(since)) => plain.advise(&format!(
                    "maps of this type exist since Linux {since}; otherwise its sizes or flags are not allowed"
                )),
                (None, None) => plain.advise("this kernel, or this loader, does not know the map type of this number"),
            }
        }
        Some(libc::E2BIG) => plain.advise("it is larger than the kernel allows: make it smaller"),
        _ => tokens.explain(plain, Need::Map(spec.map_type)),
    }
}

/// Returns the hash of the only program that may use the map.
fn exclusive(spec: &MapSpec) -> Option<&ProgramHash> {
    #[cfg(feature = "maps")]
    return spec.exclusive_hash.as_ref();
    #[cfg(not(feature = "maps"))]
    {
        let _ = spec;
        None
    }
}

/// Creates the map again, for the kernel's own reason why it refuses the map. `None` if the kernel gives none (before
/// 7.2).
fn kernels_log(spec: &MapSpec, attr: &MapCreate, tokens: &Tokens<'_>) -> Option<String> {
    const SIZE: usize = 1024;
    let mut log = [0; SIZE];
    let why = "creates the map again, for the kernel's reason to refuse it";
    bpf::map_create_logged(*attr, exclusive(spec), tokens.held(), &mut log, why).err()?;
    let text = log.split(|&byte| byte == 0).next().unwrap_or_default();
    let lines: Vec<_> = str::from_utf8(text).ok()?.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    (!lines.is_empty()).then(|| format!("the kernel says: {}", lines.join(" ")))
}

/// Returns the reason for EINVAL, if the description alone shows it: the checks of `map_alloc_check` and `map_alloc` of
/// each type that hold for every kernel version. `built` selects the advice: what to call in Rust, or to write in C.
fn fault(spec: &MapSpec, attr: &MapCreate, built: bool) -> Option<String> {
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
    // The requirements of an unknown type are unknown.
    kind.name()?;
    if is_storage && attr.max_entries != 0 {
        return Some(format!("a map of the type {kind} has no max_entries: set it to 0"));
    }
    if attr.max_entries == 0 && !is_storage && kind != T::STRUCT_OPS {
        return Some(match built {
            true => "its max_entries is 0: set it, by `MapBuilder::max_entries`".to_owned(),
            false => format!(
                "its max_entries is 0, so the loading program must set it: `object.map_mut(\"{name}\")?.max_entries`"
            ),
        });
    }
    if (has_index || is_local) && attr.key_size != 4 {
        return Some(format!("its key has {} bytes, and that of a map of the type {kind} has 4", attr.key_size));
    }
    if attr.key_size == 0 && !has_no_key {
        let set = if built { "`MapBuilder::key`" } else { "`__type(key, …)` or `__uint(key_size, …)`" };
        return Some(format!("its key has no size: {set}"));
    }
    if attr.key_size != 0 && has_no_key {
        return Some(format!("its key has {} bytes, and a map of the type {kind} has none", attr.key_size));
    }
    if attr.value_size == 0 && !has_no_value {
        let set = if built { "`MapBuilder::value`" } else { "`__type(value, …)` or `__uint(value_size, …)`" };
        return Some(format!("its value has no size: {set}"));
    }
    if holds_fds && attr.value_size != 4 {
        return Some(format!("its value has {} bytes, and that of a map of the type {kind} has 4", attr.value_size));
    }
    if (is_local || matches!(kind, T::LPM_TRIE | T::RHASH)) && !spec.map_flags.contains(MapFlags::NO_PREALLOC) {
        return Some(format!("a map of the type {kind} needs the flag BPF_F_NO_PREALLOC"));
    }
    None
}

#[cfg(test)]
mod tests {
    use aya_obj::generated as kernel;

    /// The next flag means a token: the kernel would refuse a struct_ops map of a module.
    #[test]
    fn flags_are_the_kernels() {
        assert_eq!(super::VTYPE_BTF_OBJ_FD, kernel::BPF_F_VTYPE_BTF_OBJ_FD);
        assert_eq!(super::LINK, kernel::BPF_F_LINK);
        assert_eq!(super::SEGV_ON_FAULT, kernel::BPF_F_SEGV_ON_FAULT);
    }
}
