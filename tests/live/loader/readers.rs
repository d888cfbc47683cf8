//! Objects by either reader on the running kernel. aya-obj's reader and this crate's give the same maps and programs,
//! which send the same records.
#![expect(unsafe_code, reason = "bpf(2): reads the info on maps and programs")]

use std::{
    collections::BTreeMap,
    fs,
    os::fd::{AsFd, AsRawFd},
    path::Path,
};

use cutaway::{Error, Loaded, Object, ObjectReader, aya_obj, perf_reader};
use cutaway_programs::{getaddrinfo::Transport, prelude::*};

use crate::{
    harness::{Test, test},
    journal,
    maps::Pins,
    requirements::{ring, root},
    transports::transports,
};

pub(crate) fn tests() -> Vec<Test> {
    let mut tests: Vec<_> = test!(builtin_object_is_the_same_loaded, transports(), |_| ring()).collect();
    tests.extend([
        test!(corpus_objects_are_the_same_loaded).since(5, 17, "bpf_loop").needs(ring),
        test!(corpus_objects_send_the_same_records).needs(ring),
        test!(maps_of_every_kind_are_the_same_loaded).since(5, 16, "bloom filters").needs(root),
        test!(held_object_loads_as_it_was_changed).since(5, 8, "the ring buffer").needs(root),
    ]);
    tests
}

/// Objects that this crate loads and aya-obj refuses, with a part of the reason.
const REFUSED: &[(&str, &str)] = &[
    // aya-obj refuses objects in which this crate poisons instructions that are not reached.
    ("core/ambiguous_id.o", "`TypeIdTarget` missing target BTF info"),
    ("core/types.o", "`TypeSize` missing target BTF info"),
];

/// Objects that send the time, so that only the number and length of their records are the same.
const SENDS_TIME: &[&str] = &["kinds/one_ring.o"];

/// Returns the corpus objects that aya-obj accepts, by name.
fn objects() -> Vec<(String, Vec<u8>)> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/corpus");
    let mut objects = Vec::new();
    for folder in ["core", "data", "events", "externs", "faults", "kinds"] {
        for entry in fs::read_dir(corpus.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "o") {
                let name = path.strip_prefix(&corpus).unwrap().display().to_string();
                objects.push((name, fs::read(&path).unwrap()));
            }
        }
    }
    objects.retain(|(_, bytes)| Object::parse_with(ObjectReader::AyaObj, bytes).is_ok());
    objects.sort();
    objects
}

/// Returns the first 256 bytes of the kernel's info on a map or program (`BPF_OBJ_GET_INFO_BY_FD`). `request` is the
/// info before the call.
///
/// # Safety
///
/// Each address in `request` is 0, or that of a live buffer that nothing else uses during the call, of the length that
/// `request` gives for it: the kernel writes there.
unsafe fn info(fd: &impl AsFd, request: [u8; 256]) -> [u8; 256] {
    const GET_INFO: libc::c_long = 15;
    let mut info = request;
    let mut attributes = [0_u8; 16];
    attributes[..4].copy_from_slice(&fd.as_fd().as_raw_fd().to_ne_bytes());
    attributes[4..8].copy_from_slice(&256_u32.to_ne_bytes());
    attributes[8..].copy_from_slice(&(info.as_mut_ptr().expose_provenance() as u64).to_ne_bytes());
    // SAFETY: the kernel reads 16 bytes of `attributes`, writes at most the 256 bytes of `info` that they name, and
    // writes to the buffers that the caller vouches for. All outlive the call.
    let answer = unsafe { libc::syscall(libc::SYS_bpf, GET_INFO, attributes.as_mut_ptr(), attributes.len()) };
    assert_eq!(answer, 0, "{}", std::io::Error::last_os_error());
    info
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(*bytes[at..].first_chunk().unwrap())
}

/// Returns fields of `struct bpf_map_info`: type, sizes, flags, name, whether there is BTF, the type ids of key and
/// value, and `map_extra`.
fn map_info(map: &impl AsFd) -> Vec<u8> {
    // SAFETY: no address is given.
    let info = unsafe { info(map, [0; 256]) };
    [&info[..4], &info[8..40], &[u8::from(word(&info, 64) != 0)], &info[68..76], &info[80..88]].concat()
}

/// Returns fields of `struct bpf_prog_info`: type, tag, bytes of instructions, name, license, `func_info` and
/// `line_info`.
fn program_info(program: &impl AsFd) -> Vec<u8> {
    // SAFETY: no address is given.
    let first = unsafe { info(program, [0; 256]) };
    let (functions, lines) = (word(&first, 144), word(&first, 148));
    let mut of_functions = vec![0_u8; functions as usize * 8];
    let mut of_lines = vec![0_u8; lines as usize * 16];
    let mut request = [0; 256];
    request[132..136].copy_from_slice(&8_u32.to_ne_bytes());
    request[136..144].copy_from_slice(&(of_functions.as_mut_ptr().expose_provenance() as u64).to_ne_bytes());
    request[144..148].copy_from_slice(&functions.to_ne_bytes());
    request[148..152].copy_from_slice(&lines.to_ne_bytes());
    request[152..160].copy_from_slice(&(of_lines.as_mut_ptr().expose_provenance() as u64).to_ne_bytes());
    request[172..176].copy_from_slice(&16_u32.to_ne_bytes());
    // SAFETY: `of_functions` has 8 bytes for each of `functions`, and `of_lines` 16 for each of `lines`. These are the
    // sizes of records given in `request`. Both live on and are not borrowed.
    unsafe { info(program, request) };
    let kept = [&first[..4], &first[8..16], &first[20..24], &first[52..56], &first[64..80], &first[84..85]].concat();
    // Each reader has other offsets of names in BTF; instructions, lines and columns are the same.
    let lines = of_lines.chunks(16).flat_map(|line| [&line[..4], &line[12..]].concat());
    [kept, of_functions, lines.collect()].concat()
}

/// Returns the kernel's info on all maps and programs.
fn description(loaded: &Loaded) -> BTreeMap<String, Vec<u8>> {
    let maps = loaded.maps().map(|map| (format!("map {}", map.name()), map_info(map)));
    let programs = loaded.programs().map(|program| (format!("program {}", program.name()), program_info(program)));
    maps.chain(programs).collect()
}

/// Loads an object by both readers, each with its own directory for pins.
fn both(bytes: &[u8], change: impl Fn(&mut Object)) -> [Result<(Loaded, Pins), Error>; 2] {
    [ObjectReader::Cutaway, ObjectReader::AyaObj].map(|reader| {
        let pins = Pins::new(&format!("{reader:?}").to_lowercase());
        let mut object = Object::parse_with(reader, bytes)?;
        object.set_pin_root(&pins.0);
        change(&mut object);
        Ok((object.load()?, pins))
    })
}

fn corpus_objects_are_the_same_loaded() {
    let (mut loaded, mut wrong) = (Vec::new(), Vec::new());
    let objects = objects();
    for (name, _) in REFUSED {
        assert!(objects.iter().any(|(known, _)| known == name), "{name} is expected, and is not there");
    }
    for (name, bytes) in objects {
        let [own, aya] = both(&bytes, |_| {});
        let expected = REFUSED.iter().find(|(known, _)| *known == name);
        match (own, aya, expected) {
            (Err(_), ..) => {}
            (Ok((own, _own_pins)), Ok((aya, _aya_pins)), None) => {
                if description(&own) != description(&aya) {
                    wrong.push(format!("{name}: {:?}\n  instead of {:?}", description(&aya), description(&own)));
                }
                loaded.push(name);
            }
            (Ok(_), Err(error), Some((_, part))) if error.to_string().contains(part) => {}
            (own, aya, _) => wrong.push(format!("{name}: {:?} {:?}", own.map(|_| ()), aya.map(|_| ()))),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(loaded.len() >= 30, "{} are loaded: {loaded:?}", loaded.len());
}

/// Returns the records that the object's programs send when this process gets its process group, by map.
fn records(loaded: &Loaded) -> BTreeMap<String, Vec<Vec<u8>>> {
    let is = |kind: MapType| loaded.maps().filter(move |map| map.map_type() == kind);
    let mut records: BTreeMap<String, Vec<Vec<u8>>> = BTreeMap::new();
    let options = perf_reader::Options::new();
    let mut buffers: Vec<_> = is(MapType::PERF_EVENT_ARRAY)
        .map(|map| (map.name().to_owned(), map.perf_buffers(64 * 1024, &options).unwrap()))
        .collect();
    let links = loaded.attach().unwrap();
    let _ = rustix::process::getpgid(None);
    drop(links);
    for map in is(MapType::RINGBUF) {
        let mut ring = map.ring().unwrap();
        let mut batch = ring.batch().unwrap();
        let sent = records.entry(map.name().to_owned()).or_default();
        sent.extend(batch.records().map(|record| record.as_ref().to_vec()));
    }
    for (name, buffers) in &mut buffers {
        let sent = records.entry(name.clone()).or_default();
        let drained = buffers.drain(|_, record| {
            if let perf_reader::Record::Sample(sample) = record.unwrap() {
                sent.push(sample.padded().to_vec());
            }
        });
        drained.unwrap();
    }
    records
}

fn corpus_objects_send_the_same_records() {
    let (mut sent, mut wrong) = (0, Vec::new());
    for (name, bytes) in objects() {
        if !name.starts_with("events/")
            && !matches!(&*name, "kinds/callbacks.o" | "kinds/halves.o" | "kinds/one_ring.o")
        {
            continue;
        }
        let [own, aya] = both(&bytes, |object| {
            let own = std::process::id();
            let _ = object.set_variable("own", &own);
        });
        let Ok((own, _own_pins)) = own else { continue };
        let (aya, _aya_pins) = aya.unwrap();
        let (own, aya) = (records(&own), records(&aya));
        sent += own.values().map(Vec::len).sum::<usize>();
        let lengths = |records: &BTreeMap<String, Vec<Vec<u8>>>| -> Vec<usize> {
            records.values().flatten().map(Vec::len).collect()
        };
        let is_same = if SENDS_TIME.contains(&&*name) { lengths(&own) == lengths(&aya) } else { own == aya };
        if !is_same {
            wrong.push(format!("{name}: {aya:?}\n  instead of {own:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(sent >= 20, "only {sent} records");
}

fn builtin_object_is_the_same_loaded(transport: Transport) {
    let bytes = transport.object().unwrap();
    let [own, aya] = both(&bytes, |_| {});
    let ((own, _own_pins), (aya, _aya_pins)) = (own.unwrap(), aya.unwrap());
    let held = Object::from_aya(aya_obj::Object::parse(&bytes).unwrap()).unwrap().load().unwrap();
    assert_eq!(description(&aya), description(&own));
    assert_eq!(description(&held), description(&own));
    assert!(journal::messages(log::Level::Info).iter().any(|line| line.starts_with("aya-obj has read the object")));
    assert_eq!(journal::messages(log::Level::Warn), [""; 0]);
}

fn maps_of_every_kind_are_the_same_loaded() {
    let mut object = ObjectBuilder::new("GPL");
    let array = || MapDef::new(MapType::ARRAY).key::<u32>().value::<[[u16; 3]; 5]>().max_entries(2);
    object.map("array", array());
    object.map("pinned", array().pinned_by_name());
    object.map("perf", MapDef::new(MapType::PERF_EVENT_ARRAY).key_size(4).value_size(4));
    object.map("ring", MapDef::new(MapType::RINGBUF).max_entries(4096));
    object.map("maps", MapDef::new(MapType::ARRAY_OF_MAPS).key_size(4).max_entries(2).holding(array()));
    object.map("by_hash", MapDef::new(MapType::HASH_OF_MAPS).key_size(8).max_entries(3).holding(array()));
    object.map("bloom", MapDef::new(MapType::BLOOM_FILTER).value_size(4).max_entries(100).extra(3));
    object.map("devices", MapDef::new(MapType::DEVMAP).key_size(4).value_size(8).max_entries(4));
    object.map("stacks", MapDef::new(MapType::STACK_TRACE).key_size(4).value_size(8 * 127).max_entries(4));
    let calls = object.map("calls", MapDef::new(MapType::PROG_ARRAY).key_size(4).value_size(4).max_entries(4));
    let mut asm = Assembler::new();
    asm.load_map(R2, calls);
    asm.mov(R3, 0);
    asm.call(Helper::bpf_tail_call);
    asm.mov(R0, 0);
    asm.exit();
    object.program("raw_tracepoint/sys_enter", "calls_on", asm);
    let bytes = object.write().unwrap();
    let [own, aya] = both(&bytes, |_| {});
    let ((own, own_pins), (aya, aya_pins)) = (own.unwrap(), aya.unwrap());
    assert_eq!(description(&aya), description(&own));
    assert_eq!(aya.map("array").unwrap().value_size(), 30);
    for pins in [own_pins, aya_pins] {
        assert!(pins.0.join("pinned").exists());
    }
    let mut held = Object::from_aya(aya_obj::Object::parse(&bytes).unwrap()).unwrap();
    let pins = Pins::new("held");
    held.set_pin_root(&pins.0);
    assert_eq!(description(&held.load().unwrap()), description(&own));
}

fn held_object_loads_as_it_was_changed() {
    let mut object = ObjectBuilder::new("GPL");
    let ring = object.map("events", MapDef::new(MapType::RINGBUF).max_entries(4096));
    let limit = object.variable(".rodata", "limit", Variable::new(5_u64));
    let own = object.variable(".data", "own", Variable::new(0_u64));
    for name in ["sends", "removed"] {
        let mut asm = Assembler::new();
        let end = asm.label("end");
        asm.call(Helper::bpf_get_current_pid_tgid);
        asm.rsh(R0, 32);
        asm.load_address(R1, own, 0);
        asm.load(DW, R1, R1, 0);
        asm.jump_if(Ne, R0, R1, end);
        asm.load_map(R1, ring);
        asm.load_address(R2, limit, 0);
        asm.mov(R3, 8);
        asm.mov(R4, 0);
        asm.call(Helper::bpf_ringbuf_output);
        asm.bind(end);
        asm.mov(R0, 0);
        asm.exit();
        object.program("tracepoint/syscalls/sys_enter_getpgid", name, asm);
    }
    let mut parsed = aya_obj::Object::parse(&object.write().unwrap()).unwrap();
    parsed.maps.get_mut("events").unwrap().set_max_entries(65536);
    parsed.programs.remove("removed").unwrap();
    let pid = u64::from(std::process::id()).to_ne_bytes();
    parsed.patch_map_data([("own", (&pid[..], true))].into()).unwrap();
    let mut object = Object::from_aya(parsed).unwrap();
    object.set_variable("limit", &77_u64).unwrap();
    let refused = object.clone().load().unwrap().attach().unwrap_err().to_string();
    assert!(refused.contains("sends"), "{refused}");
    object.program_mut("sends").unwrap().set_attach_target("syscalls/sys_enter_getpgid").unwrap();
    let loaded = object.load().unwrap();
    assert_eq!(loaded.programs().count(), 1);
    assert_eq!(loaded.map("events").unwrap().max_entries(), 65536);
    assert_eq!(records(&loaded)["events"], [77_u64.to_ne_bytes().to_vec()]);
}
