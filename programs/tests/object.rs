//! The content of a whole object, and what is refused.
#![expect(clippy::unwrap_used, reason = "clippy does not see helper functions as tests")]

mod sample;

use std::{collections::HashSet, fs, panic::Location};

use aya_obj::{Object, generated::bpf_insn, maps::PinningType};
use cutaway_programs::{ByteOrder, Error, MapFlags, btf::Type, prelude::*};
use object::{ObjectSection as _, ObjectSymbol as _, read::elf::FileHeader as _};

/// Returns an assembler of a function that does nothing.
fn idle() -> Assembler {
    let mut asm = Assembler::new();
    asm.mov(R0, 0);
    asm.exit();
    asm
}

#[test]
fn same_object_gives_the_same_bytes() {
    let bytes = sample::object().write().unwrap();
    assert_eq!(bytes, sample::object().write().unwrap());
    let object = sample::object();
    assert_eq!(object.write().unwrap(), object.write().unwrap());
}

/// `UPDATE_GOLDEN=1 cargo test -p cutaway-programs` rewrites the file.
#[test]
fn listing_equals_the_golden_file() {
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sample/listing.txt");
    let folder = file!().strip_suffix("object.rs").unwrap();
    let listing = sample::object().listing().unwrap().replace(folder, "");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(golden, &listing).unwrap();
    }
    assert_eq!(listing, fs::read_to_string(golden).unwrap());
}

#[test]
fn sections_and_symbols_are_as_loaders_expect() {
    for (order, endian) in [(ByteOrder::Little, object::Endianness::Little), (ByteOrder::Big, object::Endianness::Big)]
    {
        let bytes = sample::object().byte_order(order).write().unwrap();
        let header = object::elf::FileHeader64::<object::Endianness>::parse(bytes.as_slice()).unwrap();
        assert_eq!(header.endian().unwrap(), endian);
        assert_eq!(header.e_machine.get(endian), object::elf::EM_BPF);
        assert_eq!(header.e_type.get(endian), object::elf::ET_REL);

        let file = object::read::elf::ElfFile64::<object::Endianness>::parse(bytes.as_slice()).unwrap();
        use object::Object as _;
        let sections: Vec<_> = file.sections().map(|section| section.name().unwrap().to_owned()).collect();
        let programs = [".text", ".rel.text", "raw_tracepoint/sys_enter", ".relraw_tracepoint/sys_enter"];
        let exit = ["raw_tracepoint/sys_exit", ".relraw_tracepoint/sys_exit"];
        let data = ["license", ".maps", ".rodata", ".bss", ".BTF", ".BTF.ext", ".symtab", ".strtab", ".shstrtab"];
        assert_eq!(sections, [programs.as_slice(), &exit, &data].concat());

        let license = file.section_by_name("license").unwrap();
        assert_eq!(license.data().unwrap(), b"GPL\0");

        let symbol = |name: &str| {
            let symbol = file.symbols().find(|symbol| symbol.name() == Ok(name)).unwrap();
            let section = file.section_by_index(symbol.section_index().unwrap()).unwrap();
            (section.name().unwrap().to_owned(), symbol.address(), symbol.size(), symbol.is_global(), symbol.kind())
        };
        use object::SymbolKind::{Data, Text};
        assert_eq!(symbol("count_lost"), (".text".to_owned(), 0, 48, false, Text));
        assert_eq!(symbol("count_turn"), (".text".to_owned(), 48, 48, false, Text));
        assert_eq!(symbol("double_it"), (".text".to_owned(), 96, 24, true, Text));
        assert_eq!(symbol("send"), ("raw_tracepoint/sys_enter".to_owned(), 0, 216, true, Text));
        assert_eq!(symbol("keep"), ("raw_tracepoint/sys_enter".to_owned(), 216, 112, true, Text));
        assert_eq!(symbol("heap"), (".maps".to_owned(), 16, 32, true, Data));
        assert_eq!(symbol("greeting"), (".rodata".to_owned(), 4, 8, true, Data));
        assert_eq!(symbol("lost"), (".bss".to_owned(), 0, 32, true, Data));

        let number = |value: u32| match order {
            ByteOrder::Little => value.to_le_bytes(),
            ByteOrder::Big => value.to_be_bytes(),
        };
        let rodata = file.section_by_name(".rodata").unwrap();
        assert_eq!(rodata.data().unwrap(), [number(7).as_slice(), b"hello\0\0\0"].concat());

        use object::elf::{R_BPF_64_32, R_BPF_64_64};
        let relocations = |section: &str| -> Vec<_> {
            let section = file.section_by_name(section).unwrap();
            let relocations = section.relocations().map(|(offset, relocation)| {
                let object::RelocationTarget::Symbol(symbol) = relocation.target() else { panic!() };
                let object::RelocationFlags::Elf { r_type } = relocation.flags() else { panic!() };
                (offset, r_type, file.symbol_by_index(symbol).unwrap().name().unwrap().to_owned())
            });
            relocations.collect()
        };
        let expected = [
            (16, R_BPF_64_64, "target_pid"),
            (48, R_BPF_64_64, "events"),
            (192, R_BPF_64_32, "count_lost"),
            (224, R_BPF_64_64, "heap"),
            (296, R_BPF_64_32, "double_it"),
        ];
        let expected = expected.map(|(offset, kind, name)| (offset, kind, name.to_owned()));
        assert_eq!(relocations("raw_tracepoint/sys_enter"), expected);
    }
}

#[test]
fn aya_obj_reads_the_object() {
    let object = Object::parse(&sample::object().write().unwrap()).unwrap();
    assert_eq!(object.license.as_c_str(), c"GPL");

    let map = |name: &str| {
        let map = &object.maps[name];
        (map.map_type(), map.key_size(), map.value_size(), map.max_entries(), map.map_flags())
    };
    assert_eq!(map("events"), (MapType::RINGBUF.0, 0, 0, 65_536, 0));
    assert_eq!(map("heap"), (MapType::PERCPU_ARRAY.0, 4, 32, 1, 0));
    assert_eq!(map("output"), (MapType::PERF_EVENT_ARRAY.0, 4, 4, 0, 0));
    assert_eq!(map("outer"), (MapType::ARRAY_OF_MAPS.0, 4, 4, 3, 0));
    assert_eq!(map(".rodata"), (MapType::ARRAY.0, 4, 12, 1, 1 << 7));
    assert_eq!(map(".bss"), (MapType::ARRAY.0, 4, 32, 1, 0));
    assert_eq!(object.maps.len(), 6);
    assert_eq!(object.maps[".rodata"].data()[4..9], *b"hello");

    let programs: HashSet<_> = object.programs.keys().map(String::as_str).collect();
    assert_eq!(programs, ["send", "keep", "repeat"].into());
    let mut functions: Vec<_> = object.functions.values().map(|function| function.name.as_str()).collect();
    functions.sort_unstable();
    assert_eq!(functions, ["count_lost", "count_turn", "double_it", "keep", "repeat", "send"]);
    for function in object.functions.values() {
        assert_eq!(function.func_info.func_info.len(), 1, "{}", function.name);
        let (lines, slots) = (function.line_info.line_info.len(), function.instructions.len());
        assert!(lines > slots / 2 && lines <= slots, "{}: {lines} lines, {slots} slots", function.name);
    }
    assert!(!object.has_btf_relocations());
}

#[test]
fn aya_obj_links_the_object() {
    let mut object = Object::parse(&sample::object().write().unwrap()).unwrap();
    let maps: Vec<_> = object.maps.iter().map(|(name, map)| (name.clone(), map.clone())).collect();
    let fd =
        |name: &str| 100 + ["events", "heap", ".rodata", ".bss"].iter().position(|&n| n == name).unwrap_or(9) as i32;
    let text = object.functions.values().find(|function| function.name == "double_it").unwrap();
    let text: HashSet<_> = [text.section_index.0].into();
    object.relocate_maps(maps.iter().map(|(name, map)| (name.as_str(), fd(name), map)), &text).unwrap();
    object.relocate_calls(&text).unwrap();

    let instructions = |name: &str| -> Vec<bpf_insn> {
        let program = &object.programs[name];
        object.functions[&program.function_key()].instructions.clone()
    };
    // (kind of reference, fd, offset) of the two slots of a load.
    let load = |insns: &[bpf_insn], at: usize| (insns[at].src_reg(), insns[at].imm, insns[at + 1].imm);
    let (map, value) = (1, 2);

    let send = instructions("send");
    assert_eq!(load(&send, 2), (value, fd(".rodata"), 0));
    assert_eq!(load(&send, 6), (map, fd("events"), 0));
    // The called function follows the program's own 27 slots, and refers to `lost[1]`.
    assert_eq!((send[24].src_reg(), send[24].imm), (1, 27 - 25));
    assert_eq!(load(&send, 27), (value, fd(".bss"), 8));
    assert_eq!(send.len(), 27 + 6);

    let keep = instructions("keep");
    assert_eq!(load(&keep, 1), (map, fd("heap"), 0));
    assert_eq!((keep[10].src_reg(), keep[10].imm), (1, 14 - 11));
    assert_eq!(keep.len(), 14 + 3);

    let repeat = instructions("repeat");
    assert_eq!((repeat[1].src_reg(), repeat[1].imm), (4, 8 - 2), "a function's address is a distance too");
    assert_eq!(load(&repeat, 8), (value, fd(".bss"), 16));
}

#[test]
fn every_part_of_a_map_is_written() {
    let mut object = ObjectBuilder::new("GPL");
    let shared = MapDef::new(MapType::LRU_HASH).key_size(6).value_type(Type::array(Type::char(), 9));
    object.map(
        "shared",
        shared
            .max_entries(u32::MAX)
            .flags(MapFlags::NO_PREALLOC | MapFlags::from_bits_retain(0x8000_0000))
            .pinned_by_name(),
    );
    object.map("bloom", MapDef::new(MapType::BLOOM_FILTER).value::<u64>().max_entries(10).extra(3));
    let object = Object::parse(&object.write().unwrap()).unwrap();

    let shared = &object.maps["shared"];
    assert_eq!((shared.map_type(), shared.key_size(), shared.value_size()), (9, 6, 9));
    assert_eq!((shared.max_entries(), shared.map_flags()), (u32::MAX, 0x8000_0001));
    assert_eq!(shared.pinning(), PinningType::ByName);
    let bloom = &object.maps["bloom"];
    assert_eq!((bloom.map_extra(), bloom.key_size(), bloom.value_size()), (3, 0, 8));
    assert_eq!(object.maps["bloom"].pinning(), PinningType::None);
}

#[test]
fn empty_object_is_valid() {
    let object = Object::parse(&ObjectBuilder::new("Dual MIT/GPL").write().unwrap()).unwrap();
    assert_eq!(object.license.as_c_str(), c"Dual MIT/GPL");
    assert!(object.maps.is_empty() && object.functions.is_empty());
}

/// Asserts that the object's error passes `check`, names the line and contains the words.
#[track_caller]
fn assert_refused(object: &ObjectBuilder, line: u32, check: impl FnOnce(&Error) -> bool, words: &str) {
    let error = object.write().unwrap_err();
    assert!(check(&error), "{error:?}");
    let text = error.to_string();
    assert!(text.contains(words) && text.contains(&format!("object.rs:{line}:")), "{text}");
    assert_eq!(object.listing().unwrap_err(), error);
}

#[track_caller]
fn here() -> u32 {
    Location::caller().line()
}

#[test]
fn errors_name_their_line() {
    let mut object = ObjectBuilder::new("GPL");
    object.map("twice", MapDef::new(MapType::HASH));
    let (line, _) = (here(), object.variable(".bss", "twice", Variable::zeroed::<u8>()));
    assert_refused(&object, line, |error| matches!(error, Error::NameTaken { .. }), "`twice`");

    for name in ["", "9lives", "a-b", "a b", "ä"] {
        let mut object = ObjectBuilder::new("GPL");
        let (line, ()) = (here(), object.program("xdp", name, idle()));
        assert_refused(&object, line, |error| matches!(error, Error::BadName { .. }), "identifier");
    }

    for section in ["", ".text", ".maps", "license", "maps/x", "a\0b"] {
        let mut object = ObjectBuilder::new("GPL");
        let (line, ()) = (here(), object.program(section, "program", idle()));
        assert_refused(&object, line, |error| matches!(error, Error::BadSection { .. }), "attach target");
    }

    for (section, expected) in [("data", "`.data`"), (".database", "`.data`"), (".data.a/b", "letters")] {
        let mut object = ObjectBuilder::new("GPL");
        let (line, _) = (here(), object.variable(section, "variable", Variable::new(1u8)));
        assert_refused(&object, line, |error| matches!(error, Error::BadSection { .. }), expected);
    }

    let mut object = ObjectBuilder::new("GPL");
    object.variable(".bss", "zero", Variable::new([0u16; 3]));
    let (line, _) = (here(), object.variable(".bss", "one", Variable::new([0u16, 0, 1])));
    assert_refused(&object, line, |error| matches!(error, Error::BadSection { .. }), "does not start as zero");
}

#[test]
fn invalid_maps_are_refused() {
    let plain = || MapDef::new(MapType::ARRAY);
    let outer = || MapDef::new(MapType::ARRAY_OF_MAPS);
    for (map, words) in [
        (outer(), "definition of its inner maps"),
        (plain().holding(plain()), "only a map of maps can"),
        (outer().holding(outer().holding(plain())), "hold maps of maps"),
        (outer().holding(plain().pinned_by_name()), "pinned"),
        (plain().key_type(Type::Void), "without a size"),
        (
            plain().value_type(Type::array(Type::char(), 8).clone()).key_type(Type::array(Type::Void, 1)),
            "without a size",
        ),
        (outer().holding(plain().key_type(Type::Void)), "no size"),
    ] {
        let mut object = ObjectBuilder::new("GPL");
        let (line, _) = (here(), object.map("map", map));
        assert_refused(&object, line, |error| matches!(error, Error::BadMap { .. }), words);
    }
}

#[test]
fn functions_must_end() {
    let mut object = ObjectBuilder::new("GPL");
    let (line, ()) = (here(), object.program("xdp", "empty", Assembler::new()));
    assert_refused(&object, line, |error| matches!(error, Error::EmptyFunction { .. }), "`empty`");

    let mut object = ObjectBuilder::new("GPL");
    let mut asm = Assembler::new();
    asm.exit();
    let (line, ()) = (here(), asm.mov(R0, 0));
    object.program("xdp", "runs_on", asm);
    assert_refused(&object, line, |error| matches!(error, Error::RunsOffTheEnd { .. }), "`runs_on`");

    let mut object = ObjectBuilder::new("GPL");
    let mut asm = Assembler::new();
    let end = asm.label("end");
    asm.jump_if(Eq, R1, 0, end);
    asm.exit();
    let (line, ()) = (here(), asm.bind(end));
    object.program("xdp", "jumps_out", asm);
    assert_refused(&object, line, |error| matches!(error, Error::RunsOffTheEnd { .. }), "`jumps_out`");
}

#[test]
fn reference_of_another_object_is_refused() {
    let mut other = ObjectBuilder::new("GPL");
    let map = other.map("map", MapDef::new(MapType::RINGBUF).max_entries(4096));
    let variable = other.variable(".bss", "variable", Variable::zeroed::<u64>());
    let function = other.function("function", Signature::returning(i32::describe()), idle());
    for (kind, append) in [
        ("map", &(|asm: &mut Assembler| asm.load_map(R1, map)) as &dyn Fn(&mut Assembler)),
        ("variable", &|asm| asm.load_address(R1, variable, 0)),
        ("function", &|asm| asm.call_function(function)),
        ("function", &|asm| asm.load_function(R1, function)),
    ] {
        let mut asm = Assembler::new();
        append(&mut asm);
        asm.exit();
        let mut object = ObjectBuilder::new("GPL");
        object.program("xdp", "program", asm);
        let error = object.write().unwrap_err();
        assert!(matches!(&error, Error::ForeignReference { kind: k, .. } if *k == kind), "{error:?}");
        assert!(error.to_string().contains("object.rs:"), "{error}");
    }
}

#[test]
fn error_in_the_code_is_returned_by_write() {
    let mut asm = Assembler::new();
    let lost = asm.label("lost");
    let (line, ()) = (here(), asm.jump(lost));
    let mut object = ObjectBuilder::new("GPL");
    object.program("xdp", "program", asm);
    assert_refused(&object, line, |error| matches!(error, Error::LabelUnbound { .. }), "`lost`");
}
