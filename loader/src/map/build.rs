//! Creates maps without an object.

use std::{
    os::fd::{AsFd, BorrowedFd},
    path::Path,
};

use log::debug;

use super::{Map, create::Given, types::OwnTypes};
use crate::{Error, MapFlags, MapSpec, MapType, Object, Pod, btf::Btf, elf::Location, features, token::Tokens};

/// Creates a map without an object, or like one of an object's maps.
///
/// ```no_run
/// # fn main() -> Result<(), cutaway::Error> {
/// use cutaway::{MapBuilder, MapFlags, MapType};
/// let counts = MapBuilder::new(MapType::HASH)
///     .name("counts")
///     .key::<u32>()
///     .value::<u64>()
///     .max_entries(1024)
///     .flags(MapFlags::NO_PREALLOC)
///     .create()?;
/// counts.typed::<u32, u64>()?.set(&1, &2)?;
/// # Ok(())
/// # }
/// ```
///
/// A program of an object uses it if [`LoadOptions::map`](crate::LoadOptions::map) puts it into the object.
///
/// Needs this crate's feature `maps`.
///
/// `Send` and `Sync`. Borrows the map that is passed to [`MapBuilder::inner`].
#[derive(Debug, Clone)]
#[must_use = "no map is created before `create`"]
#[doc(alias("bpf_map_create", "bpf_map_create_opts", "BPF_MAP_CREATE", "NewMap", "MapHandle::create"))]
pub struct MapBuilder<'b> {
    spec: MapSpec,
    inner: Option<BorrowedFd<'b>>,
    types: Types,
    /// Why the description cannot be used.
    fault: Option<String>,
}

/// The types of keys and values.
#[derive(Debug, Clone)]
enum Types {
    /// Those of the methods `key` and `value`: the kernel's observers show values by them.
    Own(OwnTypes),
    /// Those of BTF that the caller has, which the map needs (`required`) or not.
    Given { btf: Vec<u8>, required: bool },
}

impl MapBuilder<'_> {
    /// Returns the description of a map of this type, without a name and with all sizes 0.
    pub fn new(map_type: MapType) -> Self {
        Self::of(&MapSpec::new("", map_type))
    }

    /// Returns a description for a map like `spec`. The BTF types of an object's map are not part of it:
    /// [`MapBuilder::from_object`] has them.
    pub fn of(spec: &MapSpec) -> Self {
        let mut spec = spec.clone();
        let fault = fault(&spec);
        (spec.btf_key_type_id, spec.btf_value_type_id) = (0, 0);
        Self { spec, inner: None, types: Types::Own(OwnTypes::default()), fault }
    }

    /// Returns a description for a map like the object's map `name`, with the types of its keys and values. A data
    /// section gets its initial contents.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchName`] if the object has no such map.
    #[doc(alias = "MapSpec.Copy")]
    pub fn from_object(object: &Object, name: &str) -> Result<Self, Error> {
        let Some(spec) = object.maps().iter().find(|spec| spec.name == name) else {
            let names = object.maps().iter().map(|spec| spec.name.as_str());
            return Err(crate::text::no_such("map", name, names));
        };
        let mut this = Self::of(spec);
        if let Some(btf) = object.completed_btf()? {
            (this.spec.btf_key_type_id, this.spec.btf_value_type_id) = (spec.btf_key_type_id, spec.btf_value_type_id);
            this.types = Types::Given { btf, required: false };
        }
        Ok(this)
    }
}

impl<'b> MapBuilder<'b> {
    /// Sets the name. The kernel keeps its first 15 bytes, with `_` for other characters than letters, digits and `.`.
    pub fn name(mut self, name: &str) -> Self {
        name.clone_into(&mut self.spec.name);
        self
    }

    /// Sets the size of a key to that of `K`, and its type for observers (`bpftool map dump`): an integer of C, or an
    /// array of integers. Arrays have keys of the type `u32`.
    pub fn key<K: Pod>(mut self) -> Self {
        self.spec.key_size = bytes(K::SIZE);
        self.own(|own| own.key = Some((K::KIND, K::SIZE)));
        self
    }

    /// Sets the size of a value to that of `V`, and its type for observers (`bpftool map dump`): an integer of C, or an
    /// array of integers. For a per-CPU map, it is that of the value of one CPU.
    pub fn value<V: Pod>(mut self) -> Self {
        self.spec.value_size = bytes(V::SIZE);
        self.own(|own| own.value = Some((V::KIND, V::SIZE)));
        self
    }

    fn own(&mut self, set: impl FnOnce(&mut OwnTypes)) {
        (self.spec.btf_key_type_id, self.spec.btf_value_type_id) = (0, 0);
        let mut own = match &mut self.types {
            Types::Own(own) => std::mem::take(own),
            Types::Given { .. } => OwnTypes::default(),
        };
        set(&mut own);
        self.types = Types::Own(own);
    }

    /// Sets the size of a key in bytes.
    pub fn key_size(mut self, bytes: u32) -> Self {
        self.spec.key_size = bytes;
        self
    }

    /// Sets the size of a value in bytes; for a per-CPU map, of the value of one CPU.
    pub fn value_size(mut self, bytes: u32) -> Self {
        self.spec.value_size = bytes;
        self
    }

    /// Sets the types of the keys and values: `btf` is the contents of a section `.BTF` ([`Object::btf`]), `key` and
    /// `value` are ids in it; 0 for a key without a type. A map whose values hold a `bpf_spin_lock` or `bpf_timer`
    /// needs them, so creating the map fails if the kernel refuses them. They replace those of [`MapBuilder::key`] and
    /// [`MapBuilder::value`].
    #[doc(alias("btf_fd", "btf_key_type_id", "btf_value_type_id"))]
    pub fn types(mut self, btf: &[u8], key: u32, value: u32) -> Self {
        (self.spec.btf_key_type_id, self.spec.btf_value_type_id) = (key, value);
        self.types = Types::Given { btf: btf.to_vec(), required: true };
        self
    }

    /// Sets the number of elements; bytes for a ring, pages for an arena. Creating corrects those of rings and of
    /// `PERF_EVENT_ARRAY` ([`MapSpec::max_entries`]).
    pub fn max_entries(mut self, entries: u32) -> Self {
        self.spec.max_entries = entries;
        self
    }

    /// Sets the flags.
    #[doc(alias = "map_flags")]
    pub fn flags(mut self, flags: MapFlags) -> Self {
        self.spec.map_flags = flags;
        self
    }

    /// Sets `map_extra`, whose meaning depends on the type: the number of hash functions of a Bloom filter (the lowest
    /// 4 bits; 5 if it is 0), the address of an arena. Linux 5.16.
    pub fn map_extra(mut self, extra: u64) -> Self {
        self.spec.map_extra = extra;
        self
    }

    /// Allocates the map on this NUMA node ([`MapFlags::NUMA_NODE`]). Linux 4.14.
    #[doc(alias = "BPF_F_NUMA_NODE")]
    pub fn numa_node(mut self, node: u32) -> Self {
        self.spec.numa_node = node;
        self.spec.map_flags |= MapFlags::NUMA_NODE;
        self
    }

    /// Sets the template of the inner maps of an `ARRAY_OF_MAPS` or `HASH_OF_MAPS`: an existing map. The kernel
    /// compares each inner map with it; only its properties are kept.
    #[doc(alias = "inner_map_fd")]
    pub fn inner(mut self, template: &'b impl AsFd) -> Self {
        self.inner = Some(template.as_fd());
        self
    }

    /// Sets the only program that may use the map, by the SHA-256 of its instructions
    /// ([`program_hash`](crate::program_hash)). Linux 6.18.
    #[doc(alias("excl_prog_hash", "bpf_map__set_exclusive_program"))]
    pub fn exclusive_to(mut self, hash: [u8; 32]) -> Self {
        self.spec.exclusive_hash = Some(hash);
        self
    }

    /// Offloads the map to the network device with this index. Only drivers that run programs on the device have such
    /// maps (Linux 4.16); with others, creating the map fails with EINVAL.
    #[doc(alias = "map_ifindex")]
    pub fn ifindex(mut self, ifindex: u32) -> Self {
        self.spec.ifindex = ifindex;
        self
    }

    /// Creates the map. Needs Linux 4.13, and `CAP_BPF` where `kernel.unprivileged_bpf_disabled` is set; many types
    /// need it, or `CAP_NET_ADMIN` or `CAP_SYS_ADMIN`, in any case.
    ///
    /// # Errors
    ///
    /// - [`Error::Invalid`] if the description lacks something that only loading its object has: the programs of a
    ///   struct_ops map, the maps or programs that are its initial entries, or the kernel's configuration.
    /// - [`Error::Syscall`] if the kernel refuses, with the reason if the description shows it, or if the kernel says
    ///   it (Linux 7.2).
    #[doc(alias("bpf_map_create", "BPF_MAP_CREATE"))]
    pub fn create(self) -> Result<Map, Error> {
        let Self { mut spec, inner, types, fault } = self;
        let operation = || match spec.name.as_str() {
            "" => format!("create a map ({})", spec.map_type),
            name => format!("create the map `{name}`"),
        };
        let unfit = |why: String| Error::Invalid { operation: operation(), why };
        if let Some(why) = fault {
            return Err(unfit(why));
        }
        let (bytes, required) = match types {
            Types::Own(own) => {
                let built = own.build(spec.map_type, spec.key_size, spec.value_size);
                let bytes = built.map(|(bytes, key, value)| {
                    (spec.btf_key_type_id, spec.btf_value_type_id) = (key, value);
                    bytes
                });
                (bytes, false)
            }
            Types::Given { btf, required } => {
                let end = Btf::parse(&btf).map_err(|why| unfit(format!("its types are broken: {why}")))?.end();
                if let Some(id) = [spec.btf_key_type_id, spec.btf_value_type_id].into_iter().find(|id| *id >= end) {
                    return Err(unfit(format!("its BTF has no type of the id {id}")));
                }
                (Some(btf), required)
            }
        };
        // Some types of maps refuse any types, as in objects.
        let bytes = bytes.filter(|_| !spec.map_type.refuses_btf());
        let tokens = Tokens::automatic();
        let load = |bytes: Vec<u8>| features::load_btf(&bytes, &tokens, "loads the types of a map's key and value");
        let btf = match bytes.map(load).transpose()?.transpose() {
            Ok(btf) => btf,
            Err(why) if required => {
                return Err(unfit(format!("the kernel refuses the types of its key and value: {why}")));
            }
            Err(why) => {
                debug!("the map `{}` is created without the types of its key and value: {why}", spec.name);
                None
            }
        };
        let given = Given { inner, types: required, why: "creates a map", built: true };
        Map::create_as(&spec, None, btf.as_ref().map(AsFd::as_fd), given, &tokens)
    }

    /// Creates the map and pins it at `path`.
    ///
    /// # Errors
    ///
    /// As [`MapBuilder::create`] and [`Map::pin`]. If it cannot be pinned, it is not kept.
    pub fn create_pinned(self, path: impl AsRef<Path>) -> Result<Map, Error> {
        let map = self.create()?;
        map.pin(path.as_ref())?;
        Ok(map.pinned_at(path.as_ref()))
    }
}

impl Map {
    /// Creates the map that `spec` describes, without an object and without a pin: as [`MapBuilder::create`], which can
    /// also give it types for its keys and values.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), cutaway::Error> {
    /// use cutaway::{Map, MapSpec, MapType};
    /// let mut spec = MapSpec::new("counts", MapType::HASH);
    /// (spec.key_size, spec.value_size, spec.max_entries) = (4, 8, 1024);
    /// let map = Map::create(&spec)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Needs this crate's feature `maps`.
    ///
    /// # Errors
    ///
    /// As [`MapBuilder::create`].
    #[doc(alias("BPF_MAP_CREATE", "bpf_map_create", "NewMap"))]
    pub fn create(spec: &MapSpec) -> Result<Self, Error> {
        MapBuilder::of(spec).create()
    }
}

/// Returns a size for the kernel, which refuses the largest one: no type of 4 GiB becomes one of a few bytes.
fn bytes(size: usize) -> u32 {
    u32::try_from(size).unwrap_or(u32::MAX)
}

/// Returns why a map like this cannot be created without its object; `None` if it can.
fn fault(spec: &MapSpec) -> Option<String> {
    if spec.struct_ops.is_some() {
        return Some("it is a struct_ops map, whose value has programs of its object".to_owned());
    }
    if spec.location == Location::Kconfig {
        return Some("its contents are the kernel's configuration, which loading its object reads".to_owned());
    }
    let entry = spec.initial_entries.first()?;
    Some(format!("its initial entries are maps or programs of its object, such as `{}`", entry.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The kernel refuses the largest size (E2BIG).
    #[test]
    fn sizes_are_not_cut() {
        let builder = MapBuilder::new(MapType::HASH).key::<[u8; (1 << 32) + 4]>().value::<[u64; 1 << 30]>();
        assert_eq!((builder.spec.key_size, builder.spec.value_size), (u32::MAX, u32::MAX));
        let builder = MapBuilder::new(MapType::HASH).key::<u32>().value::<[u64; 2]>();
        assert_eq!((builder.spec.key_size, builder.spec.value_size), (4, 16));
    }
}
