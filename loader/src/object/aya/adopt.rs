//! Converts aya-obj's maps, programs, functions and types to the form of this crate's reader.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    ffi::CStr,
    mem,
    path::PathBuf,
    sync::Arc,
};

use aya_obj::{EbpfSectionKind, Map, btf::BtfFeatures, generated::bpf_insn, maps::PinningType};

use super::{
    guard::{chain, guarded},
    held::AyaObject,
    section,
};
#[cfg(feature = "instrument")]
use crate::object::instruments::Instruments;
use crate::{
    Error, Instruction, MapFlags, MapType,
    btf::{Btf, Kind, Type},
    elf::{Elf, Location, Section, SectionIndex},
    object::{
        Object, Pinning, btf,
        function::{Function, Functions},
        license,
        parse::PINS,
        program_section,
        specs::{Contents, MapSpec, ProgramSpec},
        variable,
    },
    sorted::Sorted,
    sys::func_info::{bpf_func_info, bpf_line_info},
};

/// The limit of section numbers in an object that comes without its file.
const MOST_SECTIONS: usize = 1 << 16;

/// Converts aya-obj's object to this crate's. `own` is the object as this crate's reader parses the file; `None` if the
/// object comes without its file.
pub(super) fn adopt(mut read: aya_obj::Object, own: Option<Object>) -> Result<Object, Error> {
    let is_foreign = matches!(read.endianness, object::Endianness::Big) != cfg!(target_endian = "big");
    if is_foreign {
        return Err(broken("its byte order is not this machine's"));
    }
    let types = completed(&mut read)?;
    let btf = types.as_deref().map(btf::read).transpose()?;
    let external = btf.as_ref().and_then(|btf| btf.types().find(|ty| ty.linkage() == EXTERN));
    if let Some(external) = external {
        return Err(broken(format!("aya-obj does not resolve externs, such as `{}`", external.name())));
    }
    let maps = mem::take(&mut read.maps);
    let is_from_file = own.is_some();
    let base = match own {
        Some(own) => own,
        None => without_file(described(&read, &maps, types.as_deref(), btf.as_ref())?, btf.as_ref(), &read.license),
    };
    let known = is_from_file.then_some(&base.functions);
    let functions = functions(&read, &base.elf, known, btf.as_ref())?;
    let programs = programs(&read, &base.elf, is_from_file)?;
    let (maps, kept) = self::maps(maps, &base.elf, btf.as_ref(), is_from_file)?;
    Ok(Object {
        kernel_version: read.kernel_version.unwrap_or(0),
        core: false,
        functions,
        maps,
        programs,
        aya: Some(Box::new(AyaObject {
            object: read,
            maps: kept,
            types: types.map(Arc::from),
            is_mended: false,
            is_compared: false,
        })),
        ..base
    })
}

/// Makes an object without maps and programs, for an object that comes without its file.
fn without_file(elf: Elf, btf: Option<&Btf<'_>>, license: &CStr) -> Object {
    Object {
        license: license.to_owned(),
        license_fault: license::fault_of_text(license),
        kernel_version: 0,
        core: false,
        functions: Sorted::of([]),
        externs: Vec::new(),
        kconfig: String::new(),
        #[cfg(feature = "core-relo")]
        kernel_btf: None,
        variables: variable::read(&elf, btf, &[]),
        maps: Vec::new(),
        programs: Vec::new(),
        unknown_programs: Vec::new(),
        warnings: Vec::new(),
        pins: PathBuf::from(PINS),
        #[cfg(feature = "instrument")]
        instruments: Instruments::default(),
        aya: None,
        elf,
    }
}

/// `BTF_VAR_GLOBAL_EXTERN`, `BTF_FUNC_EXTERN`
const EXTERN: u32 = 2;

/// Completes the object's BTF by aya-obj, for a kernel that knows all kinds of types, and returns it. This crate
/// changes it for older kernels.
fn completed(read: &mut aya_obj::Object) -> Result<Option<Vec<u8>>, Error> {
    let all = BtfFeatures::new(true, true, true, true, true, true, true, true);
    guarded("complete the object's BTF", 0, || {
        let fixed = read.fixup_and_sanitize_btf(&all);
        let fixed = fixed.map_err(|error| broken(format!("aya-obj cannot complete its BTF: {}", chain(&error))))?;
        Ok(fixed.map(aya_obj::btf::Btf::to_bytes))
    })?
}

/// Describes the sections and variables of an object that comes without its file.
fn described(
    read: &aya_obj::Object,
    maps: &HashMap<String, Map>,
    types: Option<&[u8]>,
    btf: Option<&Btf<'_>>,
) -> Result<Elf, Error> {
    let numbers = read.functions.keys().map(|(section, _)| *section).chain(maps.values().map(Map::section_index));
    let count = numbers.max().unwrap_or(0).saturating_add(1);
    if count > MOST_SECTIONS {
        return Err(broken(format!("it has a section number {}, above {MOST_SECTIONS}", count - 1)));
    }
    let none = Section { name: String::new(), executable: false, size: 0, bytes: None };
    let mut sections = vec![none.clone(); count];
    // No file has programs of several kinds in one section. If an object has, the program whose name sorts first
    // decides.
    let mut words = BTreeMap::new();
    for (name, program) in &read.programs {
        let known = words.entry(program.section_index).or_insert((name, &program.section));
        if name < known.0 {
            *known = (name, &program.section);
        }
    }
    for &(number, _) in read.functions.keys() {
        let Some(section) = sections.get_mut(number) else { continue };
        let word = words.get(&number).map_or(".text", |(_, kind)| section::read(kind).1);
        (section.name, section.executable) = (word.to_owned(), true);
    }
    for (name, map) in maps.iter().filter(|(_, map)| is_data(map)) {
        if let Some(section) = sections.get_mut(map.section_index()) {
            (section.name, section.size) = (name.clone(), u64::from(map.value_size()));
        }
    }
    sections.push(Section { name: ".BTF".to_owned(), bytes: types.map(Arc::from), ..none });
    let mut elf = Elf::described(sections);
    let Some(btf) = btf else { return Ok(elf) };
    for (name, map) in maps.iter().filter(|(_, map)| is_data(map)) {
        let section = btf.find(Kind::Datasec, name);
        let (Some(section), Some(index)) = (section, elf.section_index(map.section_index())) else { continue };
        let mut variables: Vec<_> = section.section_vars().collect();
        variables.sort_unstable_by_key(|variable| variable.offset);
        for variable in variables {
            let ty = btf.ty(variable.type_id);
            let end = variable.offset.checked_add(variable.size);
            if ty.kind() == Kind::Var && end.is_some_and(|end| end <= map.value_size()) {
                let name = ty.name().into_owned();
                if name.contains(char::is_control) {
                    return Err(broken("the name of a variable contains a control character"));
                }
                elf.describe_variable(name, index, variable.offset.into(), variable.size.into());
            }
        }
    }
    Ok(elf)
}

/// Returns whether the map is a data section: `.data`, `.rodata`, `.bss` and their siblings.
pub(crate) fn is_data(map: &Map) -> bool {
    matches!(map.section_kind(), EbpfSectionKind::Data | EbpfSectionKind::Rodata | EbpfSectionKind::Bss)
}

fn functions(
    read: &aya_obj::Object,
    elf: &Elf,
    known: Option<&Functions>,
    btf: Option<&Btf<'_>>,
) -> Result<Functions, Error> {
    let entries: HashSet<_> = read.programs.values().map(aya_obj::Program::function_key).collect();
    let mut functions = Vec::new();
    for (&(number, address), function) in &read.functions {
        let section = index(elf, number)?;
        let is_program = entries.contains(&(number, address));
        // aya-obj counts the lines of a program from the program's start, those of other functions from the section's.
        let start = if is_program { 0 } else { (function.section_offset / Instruction::SIZE) as u32 };
        let func_info: Vec<_> = function
            .func_info
            .func_info
            .iter()
            .take(1)
            .map(|info| bpf_func_info { insn_off: 0, type_id: info.type_id })
            .collect();
        let line_info = function.line_info.line_info.iter().filter_map(|info| {
            let insn_off = info.insn_off.checked_sub(start)?;
            // The caller can set any value in an object.
            let is_inside = (insn_off as usize) < function.instructions.len();
            let insn_off = is_inside.then_some(insn_off)?;
            let (file_name_off, line_off, line_col) = (info.file_name_off, info.line_off, info.line_col);
            Some(bpf_line_info { insn_off, file_name_off, line_off, line_col })
        });
        let line_info = line_info.collect();
        let global = match known.map(|known| known.get(&(section, address))) {
            Some(known) => known.is_some_and(|known| known.global),
            None => is_program && !is_static(btf, &func_info),
        };
        let name = function.name.clone();
        let instructions = function.instructions.iter().map(instruction).collect();
        let function = Function { name, global, instructions, func_info, line_info, exception_callback: None };
        functions.push(((section, address), function));
    }
    Ok(Sorted::of(functions))
}

/// Returns whether the object's types say that the function is static.
fn is_static(btf: Option<&Btf<'_>>, func_info: &[bpf_func_info]) -> bool {
    let ty = btf.zip(func_info.first()).map(|(btf, info)| btf.ty(info.type_id));
    ty.is_some_and(|ty| ty.kind() == Kind::Func && ty.linkage() == 0)
}

/// Converts an instruction.
pub(crate) fn instruction(insn: &bpf_insn) -> Instruction {
    Instruction::new(insn.code, insn.dst_reg(), insn.src_reg(), insn.off, insn.imm)
}

/// Converts an instruction back.
pub(crate) fn encoded(insn: Instruction) -> bpf_insn {
    let registers = bpf_insn::new_bitfield_1(insn.dst(), insn.src());
    bpf_insn { code: insn.code, _bitfield_align_1: [], _bitfield_1: registers, off: insn.offset, imm: insn.imm }
}

/// Converts the programs. Sorts them by section and address, because aya-obj keeps them in no order.
fn programs(read: &aya_obj::Object, elf: &Elf, is_from_file: bool) -> Result<Vec<ProgramSpec>, Error> {
    let mut programs = Vec::new();
    for (name, program) in &read.programs {
        let entry = (index(elf, program.section_index)?, program.address);
        let section_name = elf.section(entry.0).name.clone();
        let (mut section, _) = section::read(&program.section);
        if is_from_file && let Ok(named) = program_section::Section::read(&section_name) {
            section.target = named.target;
        }
        programs.push(ProgramSpec { name: name.clone(), section_name, section, entry });
    }
    programs.sort_unstable_by_key(|program| program.entry);
    Ok(programs)
}

/// Returns the descriptions of the maps, data first, each group in the order of the file; and the maps in the form that
/// `relocate_maps` takes.
#[expect(clippy::type_complexity, reason = "two lists of the same maps")]
fn maps(
    read: HashMap<String, Map>,
    elf: &Elf,
    btf: Option<&Btf<'_>>,
    is_from_file: bool,
) -> Result<(Vec<MapSpec>, Vec<(String, Map)>), Error> {
    let mut read: Vec<_> = read.into_iter().collect();
    let order = |map: &Map| (!is_data(map), map.section_index(), map.symbol_index());
    read.sort_unstable_by(|(one_name, one), (other_name, other)| {
        (order(one), one_name).cmp(&(order(other), other_name))
    });
    let (mut specs, mut kept) = (Vec::new(), Vec::new());
    for (name, mut map) in read {
        let data = mem::take(map.data_mut());
        if !data.is_empty() {
            map.data_mut().push(0);
        }
        if !is_data(&map) {
            specs.push(spec(&name, &map, Location::Nowhere));
        } else if map.value_size() != 0 {
            let mut spec = spec(&name, &map, Location::Section(index(elf, map.section_index())?));
            let constant = map.section_kind() == EbpfSectionKind::Rodata;
            // The flags that this crate's reader gives to maps of data: see `maps.rs`.
            spec.map_flags |= if constant { MapFlags::RDONLY_PROG } else { MapFlags::MMAPABLE };
            spec.btf_value_type_id = btf.and_then(|btf| btf.find(Kind::Datasec, &name)).map_or(0, Type::id);
            // aya-obj reads `.bss` as zeroes; in an object without its file the caller may have set variables.
            let is_zero =
                map.section_kind() == EbpfSectionKind::Bss && (is_from_file || data.iter().all(|&byte| byte == 0));
            let bytes = if is_zero { Vec::new() } else { data };
            spec.contents = Some(Contents::new(Arc::from(bytes), constant));
            specs.push(spec);
        }
        kept.push((name, map));
    }
    Ok((specs, kept))
}

/// Converts the description of a map.
fn spec(name: &str, map: &Map, location: Location) -> MapSpec {
    let mut spec = MapSpec::at(name, MapType(map.map_type()), location);
    (spec.key_size, spec.value_size, spec.max_entries) = (map.key_size(), map.value_size(), map.max_entries());
    spec.map_flags = MapFlags::from_bits_retain(map.map_flags());
    spec.map_extra = map.map_extra();
    spec.pinning = match map.pinning() {
        PinningType::None => Pinning::None,
        PinningType::ByName => Pinning::ByName,
    };
    if let Map::Btf(map) = map {
        (spec.btf_key_type_id, spec.btf_value_type_id) = (map.def.btf_key_type_id, map.def.btf_value_type_id);
    }
    spec.inner = map.inner().map(|inner| Box::new(self::spec(name, &inner, Location::Nowhere)));
    spec
}

fn index(elf: &Elf, number: usize) -> Result<SectionIndex, Error> {
    elf.section_index(number).ok_or_else(|| broken(format!("it has no section {number}, which aya-obj refers to")))
}

#[cold]
fn broken(why: impl Into<String>) -> Error {
    Error::Object { why: why.into() }
}
