//! Maps without an object: created, opened by fd and pin, frozen, mapped.

use std::{
    fs,
    os::fd::{AsFd, OwnedFd},
};

use cutaway::{
    Error, LookupFlags, Map, MapBuilder, MapFlags, MapSpec, MapType, Object, UpdateFlags, btf::Btf, program_hash,
    system,
};
use cutaway_programs::{
    Assembler, Condition, DW, Helper, MapDef, ObjectBuilder, R0, R1, R2, R10, W,
    btf::{Encoding, Member, Type},
};

use crate::{
    harness::{Test, test},
    maps::{Pins, possible_cpus},
    replaced::load_with,
    requirements::{ring, root},
    sample::{self, names},
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test!(maps_are_created_without_an_object).needs(root),
        test!(created_maps_have_types).since(4, 18, "BTF").needs(root),
        test!(maps_are_created_like_those_of_an_object).needs(root),
        test!(maps_of_maps_take_a_template).needs(root),
        test!(refused_map_is_explained).needs(root),
        test!(values_are_locked).since(5, 1, "BPF_F_LOCK").needs(root),
        test!(file_descriptors_of_maps_are_opened).needs(root),
        test!(frozen_map_is_read_only).since(5, 2, "freezing maps").needs(root),
        test!(map_info_has_what_can_change).needs(root),
        test!(arrays_are_mapped).since(5, 5, "mapped arrays").needs(root),
        test!(only_mappable_maps_are_mapped).needs(root),
        test!(arenas_are_mapped).since(6, 9, "arenas").needs(root),
        test!(clones_outlive_the_object).needs(root).needs(ring),
        test!(exclusive_map_is_for_one_program).since(6, 18, "exclusive maps").needs(root),
        test!(kernel_says_why_a_map_is_refused).since(7, 2, "BPF_COMMON_ATTRS").needs(root),
        test!(resizable_hash_is_used).since(7, 2, "resizable hash maps").needs(root),
        test!(flags_select_a_cpu).since(7, 0, "BPF_F_CPU").needs(root),
    ]
}

/// Returns the description of a hash from `u32` to `u64`.
pub(crate) fn hash(entries: u32) -> MapBuilder<'static> {
    MapBuilder::new(MapType::HASH).name("counts").key::<u32>().value::<u64>().max_entries(entries)
}

fn maps_are_created_without_an_object() {
    let map = hash(16).flags(MapFlags::NO_PREALLOC).create().unwrap();
    assert_eq!((map.name(), map.map_type(), map.key_size(), map.value_size()), ("counts", MapType::HASH, 4, 8));
    assert_eq!((map.max_entries(), map.flags()), (16, MapFlags::NO_PREALLOC));
    let typed = map.typed::<u32, u64>().unwrap();
    typed.set(&1, &2).unwrap();
    assert_eq!(typed.get(&1).unwrap(), Some(2));

    let mut spec = MapSpec::new("queue", MapType::QUEUE);
    (spec.value_size, spec.max_entries) = (4, 2);
    let queue = Map::create(&spec).unwrap();
    queue.push(&7_u32.to_ne_bytes()).unwrap();
    assert_eq!(queue.typed::<(), u32>().unwrap().pop().unwrap(), Some(7));

    let numa = hash(1).numa_node(0).create().unwrap();
    assert_eq!(numa.flags(), MapFlags::NUMA_NODE);
    let slots = MapBuilder::new(MapType::PERF_EVENT_ARRAY).create().unwrap();
    assert_eq!(slots.max_entries() as usize, possible_cpus(), "corrected as when an object is loaded");
}

/// An observer such as bpftool shows the values by these types.
fn created_maps_have_types() {
    for (map, key, value) in [
        (hash(1).create().unwrap(), Some("unsigned int"), "unsigned long"),
        (
            MapBuilder::new(MapType::ARRAY).key::<u32>().value::<[i32; 2]>().max_entries(1).create().unwrap(),
            Some("unsigned int"),
            "",
        ),
        (
            MapBuilder::new(MapType::LPM_TRIE)
                .key::<[u8; 8]>()
                .value::<i16>()
                .max_entries(1)
                .flags(MapFlags::NO_PREALLOC)
                .create()
                .unwrap(),
            Some("key"),
            "short",
        ),
    ] {
        let info = map.info().unwrap();
        let bytes = system::btf_by_id(info.btf_id.unwrap()).unwrap();
        let btf = Btf::parse(&bytes).unwrap();
        assert_eq!(info.btf_key_type_id.map(|id| btf.ty(id).name().to_string()), key.map(str::to_owned));
        assert_eq!(btf.ty(info.btf_value_type_id.unwrap()).name(), value);
    }
    // A queue takes no types, and sizes without a Rust type have none.
    let queue = MapBuilder::new(MapType::QUEUE).value::<u32>().max_entries(1).create().unwrap();
    let plain = MapBuilder::new(MapType::HASH).key_size(4).value_size(4).max_entries(1).create().unwrap();
    assert_eq!((queue.info().unwrap().btf_id, plain.info().unwrap().btf_id), (None, None));

    let error = hash(1).types(b"garbage", 1, 1).create().unwrap_err().to_string();
    assert!(error.contains("create the map `counts`: its types are broken"), "{error}");
    let btf = sample::object("uprobe").btf().unwrap();
    let error = hash(1).types(&btf, 1, 999_999).create().unwrap_err().to_string();
    assert!(error.contains("its BTF has no type of the id 999999"), "{error}");
    // Types of other sizes: the caller asked for them, so there is no map without.
    let object = sample::object("uprobe");
    let (key, value) = {
        let spec = object.maps().iter().find(|spec| spec.name == "hash").unwrap();
        (spec.key_type().unwrap(), spec.value_type().unwrap())
    };
    let error = hash(1).types(&btf, key, value).create().unwrap_err();
    assert_eq!(error.errno().unwrap().name(), Some("EINVAL"), "{error}");
    let map = hash(1).value_size(12).types(&btf, key, value).create().unwrap();
    assert!(map.info().unwrap().btf_id.is_some());
}

fn maps_are_created_like_those_of_an_object() {
    let mut object = sample::object("uprobe");
    object.set_variable(names::STEP, &7_u64).unwrap();
    let map = MapBuilder::from_object(&object, "hash").unwrap().max_entries(3).create().unwrap();
    assert_eq!((map.name(), map.value_size(), map.max_entries()), ("hash", 12, 3));
    assert!(map.info().unwrap().btf_value_type_id.is_some());
    let constants = MapBuilder::from_object(&object, ".rodata").unwrap().create().unwrap();
    assert_eq!(constants.lookup(&[0; 4]).unwrap().unwrap()[..8], 7_u64.to_ne_bytes());
    let error = MapBuilder::from_object(&object, "nothing").unwrap_err().to_string();
    assert!(error.contains("the object has no map `nothing`; it has"), "{error}");
    object.map_mut("hash").unwrap().initial_entries = vec![(0, "other".to_owned())];
    let error = MapBuilder::from_object(&object, "hash").unwrap().create().unwrap_err().to_string();
    assert!(error.contains("its initial entries are maps or programs of its object, such as `other`"), "{error}");
}

fn maps_of_maps_take_a_template() {
    let template = hash(4).create().unwrap();
    let outer = MapBuilder::new(MapType::ARRAY_OF_MAPS).name("outer").key_size(4).value_size(4).max_entries(2);
    let error = outer.clone().create().unwrap_err().to_string();
    assert!(error.contains("a map of maps needs a template"), "{error}");
    let outer = outer.inner(&template).create().unwrap();
    let inner = hash(4).create().unwrap();
    let slots = outer.typed::<u32, u32>().unwrap();
    let fd = |map: &Map| std::os::fd::AsRawFd::as_raw_fd(&map.as_fd()).cast_unsigned();
    slots.set(&1, &fd(&inner)).unwrap();
    assert_eq!(slots.get(&1).unwrap(), Some(inner.id()), "a lookup returns the id");
    let other = MapBuilder::new(MapType::ARRAY).key::<u32>().value::<u64>().max_entries(4).create().unwrap();
    assert_eq!(slots.set(&0, &fd(&other)).unwrap_err().errno().unwrap().name(), Some("EINVAL"));
    // Also by a description of the inner maps.
    let mut spec = MapSpec::new("outer", MapType::HASH_OF_MAPS);
    (spec.key_size, spec.value_size, spec.max_entries) = (4, 4, 2);
    let mut described = MapSpec::new("", MapType::HASH);
    (described.key_size, described.value_size, described.max_entries) = (4, 8, 4);
    spec.inner = Some(Box::new(described));
    Map::create(&spec).unwrap().update(&[1; 4], &fd(&inner).to_ne_bytes()).unwrap();
}

fn clones_outlive_the_object() {
    let object = Object::parse(include_bytes!("../../corpus/kinds/one_ring.o")).unwrap();
    let loaded = object.load().unwrap();
    let (map, program) = (loaded.map("calls").unwrap().try_clone().unwrap(), loaded.program("sends").unwrap());
    let (id, program) = (loaded.map("calls").unwrap().id(), program.try_clone().unwrap());
    drop(loaded);
    assert_eq!((map.name(), map.id(), program.name()), ("calls", id, "sends"));
    let link = program.attach().unwrap();
    let _ = rustix::process::getpgid(None);
    drop(link);
    assert!(map.typed::<u32, u64>().unwrap().get(&0).unwrap().unwrap() > 0, "the clone is the same map");
    let arena = MapBuilder::new(MapType::ARENA).flags(MapFlags::MMAPABLE).max_entries(1).create();
    if let Ok(arena) = arena {
        assert!(arena.try_clone().unwrap_err().to_string().contains("an arena is mapped once"), "since Linux 6.9");
    }
}

fn refused_map_is_explained() {
    let error = MapBuilder::new(MapType::HASH).name("m").key::<u32>().value::<u32>().create().unwrap_err().to_string();
    assert!(error.contains("cannot create the map `m` (HASH, 0 entries): EINVAL"), "{error}");
    assert!(error.contains("its max_entries is 0: set it, by `MapBuilder::max_entries`"), "{error}");
    let unnamed = |map: MapBuilder<'_>| map.create().unwrap_err().to_string();
    let error = unnamed(MapBuilder::new(MapType::HASH).value::<u32>().max_entries(2));
    assert!(error.starts_with("cannot create a map (HASH, 2 entries): EINVAL"), "{error}");
    assert!(error.contains("its key has no size: `MapBuilder::key`"), "{error}");
    let error = unnamed(MapBuilder::new(MapType::HASH).key::<u32>().max_entries(2));
    assert!(error.contains("its value has no size: `MapBuilder::value`"), "{error}");
    let error = unnamed(MapBuilder::new(MapType::HASH_OF_MAPS).key::<u32>().max_entries(2));
    assert!(error.ends_with("needs a template of the maps that it holds: `MapBuilder::inner`"), "{error}");
    let error = hash(1).ifindex(4711).create().unwrap_err().to_string();
    assert!(error.contains("cannot create the map `counts` (HASH, 1 entry): "), "{error}");
    assert!(error.contains("EINVAL") || error.contains("ENODEV") || error.contains("EOPNOTSUPP"), "{error}");
    let error = MapBuilder::new(MapType(4711)).key::<u32>().value::<u32>().max_entries(1).create().unwrap_err();
    assert_eq!(error.errno().unwrap().name(), Some("EINVAL"), "{error}");
}

/// Returns a structure with a lock and a number, as C declares it.
fn locked() -> Type {
    let int = || Type::int("unsigned int", 4, Encoding::Unsigned);
    let member = |name: &str, offset, kind| Member { name: name.to_owned(), offset, kind };
    let lock = Type::structure("bpf_spin_lock", 4, [member("val", 0, int())]);
    Type::structure("locked", 8, [member("lock", 0, lock), member("number", 4, int())])
}

fn values_are_locked() {
    let definition = MapDef::new(MapType::HASH).key::<u32>().value_type(locked()).max_entries(4);
    let mut object = ObjectBuilder::new("GPL");
    object.map("map", definition);
    let object = Object::parse(&object.write().unwrap()).unwrap();
    let map = MapBuilder::from_object(&object, "map").unwrap().create().unwrap();
    let value = |lock: u32, number: u32| [lock.to_ne_bytes(), number.to_ne_bytes()].concat();
    map.update(&[1; 4], &value(0, 5)).unwrap();
    map.update_with(&[1; 4], &value(77, 6), UpdateFlags::LOCK).unwrap();
    map.update_with(&[1; 4], &value(0, 7), UpdateFlags::LOCK | UpdateFlags::EXIST).unwrap();
    assert_eq!(map.lookup_with(&[1; 4], LookupFlags::LOCK).unwrap().unwrap(), value(0, 7));
    let entries: Vec<_> = map.entries().with(LookupFlags::LOCK).map(Result::unwrap).collect();
    assert_eq!(entries[0].iter().collect::<Vec<_>>(), [(&[1_u8; 4][..], value(0, 7).as_slice())]);
    map.update_batch_with([(&[2_u8; 4][..], value(0, 8).as_slice())], UpdateFlags::LOCK).unwrap();
    assert_eq!(map.lookup(&[2; 4]).unwrap().unwrap(), value(0, 8));
    // Without a lock in the values, the kernel refuses the flag.
    let plain = hash(1).create().unwrap();
    let error = plain.lookup_with(&[1; 4], LookupFlags::LOCK).unwrap_err().to_string();
    assert!(error.contains("LOCK needs values with a `bpf_spin_lock`"), "{error}");
}

fn file_descriptors_of_maps_are_opened() {
    let loaded = sample::object("raw_tracepoint").load().unwrap();
    let hash = loaded.map("hash").unwrap();
    let map = Map::from_fd(hash.as_fd().try_clone_to_owned().unwrap()).unwrap();
    assert_eq!((map.id(), map.name()), (hash.id(), "hash"));
    assert_eq!(Map::from_id(hash.id()).unwrap().id(), hash.id());

    // The kernel would describe a program by the same command, and its words be misread as a map's.
    let program = loaded.program(names::PROGRAM).unwrap();
    let error = Map::from_fd(program.as_fd().try_clone_to_owned().unwrap()).unwrap_err();
    assert!(matches!(error, Error::Invalid { .. }), "{error:?}");
    assert!(error.to_string().ends_with("as a map: it is a program, not a map"), "{error}");
    let null: OwnedFd = fs::File::open("/dev/null").unwrap().into();
    assert!(Map::from_fd(null).unwrap_err().errno().is_some());

    let pins = Pins::new("program");
    let path = pins.0.join("pinned");
    program.pin(&path).unwrap();
    let error = Map::from_pin(&path).unwrap_err().to_string();
    assert!(
        error.contains("open the map pinned at /sys/fs/bpf/") && error.ends_with("it is a program, not a map"),
        "{error}"
    );
    let mut object = sample::object("raw_tracepoint");
    object.map_mut("hash").unwrap().pin_path = Some(path);
    assert!(object.load().unwrap_err().to_string().ends_with("it is a program, not a map"));
}

fn frozen_map_is_read_only() {
    let map = hash(4).create().unwrap();
    map.update(&[1; 4], &[1; 8]).unwrap();
    assert!(!map.is_frozen().unwrap());
    map.freeze().unwrap();
    assert!(map.is_frozen().unwrap() && map.info().unwrap().frozen == Some(true));
    let error = map.update(&[1; 4], &[2; 8]).unwrap_err().to_string();
    assert!(error.contains("EPERM") && error.contains("it is frozen"), "{error}");
    assert_eq!(map.lookup(&[1; 4]).unwrap().unwrap(), [1; 8]);
    let error = map.freeze().unwrap_err().to_string();
    // Older kernels return EBUSY here.
    assert!(error.contains("freeze the map `counts` (HASH): E") && error.contains("it is frozen already"), "{error}");
    let loaded = sample::object("raw_tracepoint").load().unwrap();
    let frozen = |name| loaded.map(name).unwrap().is_frozen().unwrap();
    assert_eq!((frozen(".rodata"), frozen(".bss")), (true, false));
}

fn map_info_has_what_can_change() {
    let map = MapBuilder::new(MapType::PERCPU_HASH).name("a-long-name-of-a-map").key_size(4).value_size(12);
    let map = map.max_entries(7).create().unwrap();
    let info = map.info().unwrap();
    assert_eq!((info.id, info.name.as_str(), info.map_type), (map.id(), "a_long_name_of_", MapType::PERCPU_HASH));
    assert_eq!((info.key_size, info.value_size, info.max_entries, info.map_extra), (4, 12, 7, 0));
    assert_eq!((info.ifindex, info.netns, info.btf_id, info.btf_vmlinux_value_type_id), (None, None, None, None));
    assert_eq!(info.frozen, Some(false));
    assert!(info.memlock.is_some_and(|bytes| bytes > 0), "{info:?}");
}

fn arrays_are_mapped() {
    let array = MapBuilder::new(MapType::ARRAY).name("a").key::<u32>().value_size(12).max_entries(1000);
    let array = array.flags(MapFlags::MMAPABLE).create().unwrap();
    let memory = array.mapped().unwrap();
    assert_eq!((memory.len(), memory.offset_of(0).unwrap(), memory.offset_of(999).unwrap()), (16_000, 0, 15_984));
    array.update(&999_u32.to_ne_bytes(), b"twelve bytes").unwrap();
    let mut bytes = [0; 12];
    memory.read(15_984, &mut bytes).unwrap();
    assert_eq!(&bytes, b"twelve bytes");
    memory.store(16, &[1_u32, 2, 3]).unwrap();
    assert_eq!(array.lookup(&1_u32.to_ne_bytes()).unwrap().unwrap(), [1_u32, 2, 3].map(u32::to_ne_bytes).concat());
    assert_eq!(memory.load::<[u32; 3]>(16).unwrap(), [1, 2, 3]);
    assert_eq!((memory.fetch_add(20, 5_u32).unwrap(), memory.fetch_add(32, 1_u64).unwrap()), (2, 0));
    assert_eq!((memory.load::<u32>(20).unwrap(), memory.load::<u64>(32).unwrap()), (7, 1));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..1000 {
                    array.mapped().unwrap().fetch_add(64, 1_u64).unwrap();
                }
            });
        }
    });
    assert_eq!(memory.load::<u64>(64).unwrap(), 4000);
    for error in [
        memory.load::<u64>(15_993).map(drop).unwrap_err(),
        memory.store(usize::MAX, &1_u8).unwrap_err(),
        memory.fetch_add(16_000, 1_u64).map(drop).unwrap_err(),
        memory.write(15_999, &[0; 2]).unwrap_err(),
    ] {
        assert!(error.to_string().contains("its memory has 16000 bytes"), "{error}");
    }
    let error = memory.fetch_add(4, 1_u64).unwrap_err().to_string();
    assert!(error.contains("an integer of 8 bytes is at a multiple of 8"), "{error}");
    let error = memory.offset_of(1000).unwrap_err().to_string();
    assert!(error.contains("it has 1000 values, and none of index 1000"), "{error}");
    memory.store(0, &2_u8).unwrap();
    assert!(memory.load::<bool>(0).unwrap_err().to_string().contains("are not a value of the type `bool`"));
    let error = array.freeze().unwrap_err().to_string();
    assert!(error.contains("EBUSY") && error.contains("has mapped it for writing"), "{error}");
}

/// User space that writes to a page makes the kernel allocate it.
fn arenas_are_mapped() {
    let arena = MapBuilder::new(MapType::ARENA).name("arena").max_entries(4).flags(MapFlags::MMAPABLE);
    let arena = arena.create().unwrap();
    let memory = arena.mapped().unwrap();
    assert_eq!(memory.len(), 4 * rustix::param::page_size());
    assert_eq!(Some(memory.addresses()), arena.arena());
    memory.store(4096, &7_u64).unwrap();
    assert_eq!((memory.fetch_add(4096, 1_u64).unwrap(), memory.load::<u64>(4096).unwrap()), (7, 8));
    let error = memory.offset_of(0).unwrap_err().to_string();
    assert!(error.contains("its type is ARENA, which has no keys"), "{error}");
    let error = Map::from_id(arena.id()).unwrap().mapped().map(drop).unwrap_err().to_string();
    assert!(error.contains("this value has not mapped it"), "{error}");
    let error = arena.keys().next().unwrap().unwrap_err().to_string();
    assert!(error.contains("its type is ARENA, which has no keys: see `Map::mapped`"), "{error}");
    // Reading a page that no program has allocated would end this process.
    const SEGV_ON_FAULT: MapFlags = MapFlags::from_bits_retain(1 << 17);
    let arena = MapBuilder::new(MapType::ARENA).max_entries(4).flags(MapFlags::MMAPABLE | SEGV_ON_FAULT);
    let arena = arena.create().unwrap();
    let error = arena.mapped().map(drop).unwrap_err().to_string();
    assert!(error.contains("BPF_F_SEGV_ON_FAULT ends a process"), "{error}");
    assert!(arena.arena().is_some());
}

fn only_mappable_maps_are_mapped() {
    let error = hash(1).create().unwrap().mapped().unwrap_err().to_string();
    assert!(error.contains("its type is HASH: only arrays and arenas can be mapped"), "{error}");
    let array = MapBuilder::new(MapType::ARRAY).key::<u32>().value::<u32>().max_entries(1).create().unwrap();
    let error = array.mapped().unwrap_err().to_string();
    assert!(error.contains("it was created without the flag MMAPABLE"), "{error}");
}

/// Returns an object with a program that reads the array `secrets`; `extra` instructions make it another program.
fn reader(extra: u32) -> Object {
    let mut object = ObjectBuilder::new("GPL");
    let secrets = object.map("secrets", MapDef::new(MapType::ARRAY).key::<u32>().value::<u64>().max_entries(1));
    let mut asm = Assembler::new();
    let done = asm.label("done");
    asm.store(W, R10, -4, 0);
    asm.load_map(R1, secrets);
    asm.mov(R2, R10);
    asm.add(R2, -4);
    asm.call(Helper::bpf_map_lookup_elem);
    asm.jump_if(Condition::Eq, R0, 0, done);
    asm.load(DW, R1, R0, 0);
    asm.bind(done);
    for _ in 0..extra {
        asm.mov(R0, 0);
    }
    asm.mov(R0, 0);
    asm.exit();
    object.program("raw_tracepoint", "reads", asm);
    Object::parse(&object.write().unwrap()).unwrap()
}

fn exclusive_map_is_for_one_program() {
    let hash = |object: &Object| {
        let run = object.dry_run_on_host().unwrap();
        program_hash(run.programs[0].instructions.as_ref().unwrap())
    };
    let mut object = reader(0);
    let own = hash(&object);
    object.map_mut("secrets").unwrap().exclusive_hash = Some(own);
    let loaded = object.load().unwrap();
    let fd = std::os::fd::AsRawFd::as_raw_fd(&loaded.program("reads").unwrap().as_fd());
    let about = fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).unwrap();
    let tag: String = own[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(about.contains(&format!("prog_tag:\t{tag}")), "the kernel's tag is the start of the hash: {about}");

    let mut other = reader(1);
    assert_ne!(hash(&other), own);
    other.map_mut("secrets").unwrap().exclusive_hash = Some(own);
    let error = other.load().unwrap_err();
    assert_eq!(error.errno().unwrap().name(), Some("EACCES"), "{error}");
    // A map that is put into both objects.
    let secrets = MapBuilder::new(MapType::ARRAY).key::<u32>().value::<u64>().max_entries(1).exclusive_to(own);
    let secrets = secrets.create().unwrap();
    load_with(reader(0), "secrets", &secrets).unwrap();
    assert!(load_with(reader(1), "secrets", &secrets).is_err());
}

fn kernel_says_why_a_map_is_refused() {
    // The description does not show that the kernel's limit of hash functions (15) is a limit of bits.
    let error = hash(1).map_extra(3).create().unwrap_err().to_string();
    assert!(error.contains("EINVAL") && error.contains("the kernel says: "), "{error}");
}

/// It grows and shrinks with its elements.
fn resizable_hash_is_used() {
    assert_eq!(MapType::RHASH.name(), Some("RHASH"));
    let map = MapBuilder::new(MapType::RHASH).name("grows").key::<u32>().value::<u64>().max_entries(1000);
    let error = map.clone().create().unwrap_err().to_string();
    assert!(error.contains("a map of the type RHASH needs the flag BPF_F_NO_PREALLOC"), "{error}");
    let map = map.flags(MapFlags::NO_PREALLOC).create().unwrap();
    let typed = map.typed::<u32, u64>().unwrap();
    typed.set_many((0..500).map(|number| (number, u64::from(number)))).unwrap();
    let mut all: Vec<_> = typed.iter().map(Result::unwrap).collect();
    all.sort_unstable();
    assert!(all.len() == 500 && all.iter().all(|&(key, value)| u64::from(key) == value), "{all:?}");
    // The element at which the next call would start is removed meanwhile.
    let mut batches = map.entries().at_most(8);
    let first = batches.next().unwrap().unwrap();
    let kept: Vec<_> = first.iter().map(|(key, _)| u32::from_ne_bytes(key.try_into().unwrap())).collect();
    assert_eq!(typed.remove_many((0..500).filter(|key| !kept.contains(key))).unwrap(), 500 - kept.len());
    assert_eq!(batches.map(|entries| entries.unwrap().len()).sum::<usize>(), kept.len());
    assert_eq!(typed.remove_many(0..600).unwrap(), kept.len());
    assert_eq!(typed.keys().count(), 0);
}

fn flags_select_a_cpu() {
    for kind in [MapType::PERCPU_HASH, MapType::PERCPU_ARRAY, MapType::LRU_PERCPU_HASH] {
        let map =
            MapBuilder::new(kind).name("cpus").key::<u32>().value::<[u32; 3]>().max_entries(100).create().unwrap();
        let typed = map.typed::<u32, [u32; 3]>().unwrap();
        let (cpus, last) = (possible_cpus() as u32, possible_cpus() as u32 - 1);
        typed.set_all_cpus(&1, &[0; 3]).unwrap();
        typed.set_with(&1, &[1, 2, 3], UpdateFlags::cpu(last)).unwrap();
        assert_eq!(typed.get_with(&1, LookupFlags::cpu(last)).unwrap(), Some([1, 2, 3]));
        if last > 0 {
            assert_eq!(typed.get_with(&1, LookupFlags::cpu(0)).unwrap(), Some([0; 3]));
        }
        typed.set_with(&2, &[7; 3], UpdateFlags::ALL_CPUS).unwrap();
        let all = typed.get_per_cpu(&2).unwrap().unwrap();
        assert!(all.len() == cpus as usize && all.iter().all(|(_, value)| *value == [7; 3]), "{all:?}");
        let error = typed.get_with(&1, LookupFlags::cpu(cpus + 1000)).unwrap_err().to_string();
        assert!(error.contains("ERANGE") && error.contains("there is no CPU of this number"), "{error}");

        // Many at once: the values follow each other without padding.
        let value = |first: u32| [first, 0, 9].map(u32::to_ne_bytes).concat();
        let elements: Vec<_> = (10..20_u32).map(|key| (key.to_ne_bytes(), value(key))).collect();
        let given = elements.iter().map(|(key, value)| (&key[..], value.as_slice()));
        map.update_batch_with(given, UpdateFlags::cpu(last)).unwrap();
        let mut seen = 0;
        for entries in map.entries().with(LookupFlags::cpu(last)).at_most(64) {
            for (key, bytes) in entries.unwrap().iter() {
                let key = u32::from_ne_bytes(key.try_into().unwrap());
                if (10..20).contains(&key) {
                    assert_eq!(bytes, value(key), "{kind} {key}");
                    seen += 1;
                }
            }
        }
        assert_eq!(seen, 10, "{kind}");
    }
}
