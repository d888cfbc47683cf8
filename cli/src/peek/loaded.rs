//! Finds the types of the records of loaded programs, as `cutaway run` finds those of an object.
//!
//! ```text
//!     the program's BTF in the kernel               candidates        (run/type_candidates.rs)
//!     its instructions after the verifier's changes the sizes that it submits, and their source lines
//!                                                                     (run/submit_sites.rs)
//!     both, and the length of a record              its type          (run/record_type.rs)
//! ```
//!
//! In these instructions a map has its id, and a helper the distance of its function from `__bpf_call_base`
//! (`bpf_insn_prepare_dump` in `kernel/bpf/syscall.c`). `/proc/kallsyms` has the names of the functions. If the kernel
//! hides instructions or symbols, the sizes stay unknown, and a type is found by the length of a record alone.

use std::{
    collections::{BTreeMap, HashMap},
    io::{BufRead, BufReader},
    path::Path,
};

use cutaway::{
    Helper, Instruction, Map, Program,
    btf::Btf,
    instruction::opcode,
    system::{self, ProgramEntry},
};
use cutaway_sys::file;

use super::programs::is_out_of_fds;
use crate::{
    error::CliError,
    run::{Candidates, Code, MapTypes, Records, SubmitSites},
};

/// Finds the types of the records that programs send to `maps`: an entry for each map and each BTF of its programs.
/// Programs without BTF, and those that cannot be inspected, have none.
pub(super) fn records(maps: &[u32], is_padded: bool) -> Result<Vec<Records<'static>>, CliError> {
    let mut by_btf: BTreeMap<u32, Vec<ProgramEntry>> = BTreeMap::new();
    for program in super::programs::programs()?.into_iter().flatten() {
        if let (Some(btf), true) = (program.btf, program.maps.iter().any(|map| maps.contains(map))) {
            by_btf.entry(btf).or_default().push(program);
        }
    }
    let mut all = Vec::new();
    let mut helpers = None;
    for (btf_id, programs) in by_btf {
        let Some(section) = found(system::btf_by_id(btf_id))? else { continue };
        // The types are used until the process ends: a command shows one buffer, or those of one process.
        let section: &'static [u8] = Box::leak(section.into_boxed_slice());
        let Ok(btf) = Btf::parse(section) else { continue };
        let btf: &'static Btf<'static> = Box::leak(Box::new(btf));
        let helpers = helpers.get_or_insert_with(Helpers::read);
        let (mut names, mut sites) = (Vec::new(), SubmitSites::default());
        for program in &programs {
            add_sites(program, helpers, &mut names, &mut sites)?;
        }
        let mut ids: Vec<u32> = programs.iter().flat_map(|program| program.maps.iter().copied()).collect();
        ids.sort_unstable();
        ids.dedup();
        let types = map_types(&ids, btf_id)?;
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let candidates: &'static Candidates<'static> = Box::leak(Box::new(Candidates::new(&types, &names, btf)));
        for map in maps.iter().filter(|map| ids.contains(map)) {
            all.push(Records::new(&map.to_string(), is_padded, None, &sites.submits, candidates).silent());
        }
    }
    Ok(all)
}

/// Turns an error into `None`, because an object may have gone or may not be inspected; except that no fd is left.
fn found<T>(result: Result<T, cutaway::Error>) -> Result<Option<T>, CliError> {
    match result {
        Err(error) if is_out_of_fds(&error) => Err(error.into()),
        result => Ok(result.ok()),
    }
}

/// Returns the types of keys and values of these maps, if they are in this BTF.
fn map_types(ids: &[u32], btf: u32) -> Result<Vec<MapTypes>, CliError> {
    let mut types = Vec::new();
    for id in ids {
        let Some(map) = found(Map::from_id(*id))? else { continue };
        let Some(info) = found(map.info())? else { continue };
        let is_here = info.btf_id == Some(btf);
        types.push(MapTypes {
            name: id.to_string(),
            map_type: info.map_type,
            max_entries: info.max_entries,
            key: info.btf_key_type_id.filter(|_| is_here),
            value: info.btf_value_type_id.filter(|_| is_here),
        });
    }
    Ok(types)
}

/// Adds the names of a program's functions, and the calls that submit records.
fn add_sites(
    program: &ProgramEntry,
    helpers: &Helpers,
    names: &mut Vec<String>,
    sites: &mut SubmitSites,
) -> Result<(), CliError> {
    let Some(opened) = found(Program::from_id(program.id))? else { return Ok(()) };
    let Some(code) = found(opened.code())? else { return Ok(()) };
    // Only the first function is the program itself, which has a context.
    names.extend(code.functions().first().and_then(|function| function.name.clone()));
    let Some(instructions) = code.instructions() else { return Ok(()) };
    let mut starts: Vec<usize> = code.functions().iter().filter_map(|function| function.slot).collect();
    starts.push(instructions.len());
    for range in starts.windows(2) {
        let [start, end] = range else { continue };
        let slots = instructions.get(*start..*end).unwrap_or_default();
        let lines = code.lines().unwrap_or_default().iter().filter(|line| (*start..*end).contains(&line.slot));
        let function = Code {
            instructions: slots.iter().map(|instruction| helpers.named(*instruction)).collect(),
            symbols: symbols(slots),
            lines: lines.map(|line| (line.slot - start, line.text.to_string())).collect(),
        };
        sites.add(&function);
    }
    Ok(())
}

/// Returns the maps whose address is loaded: the slot of the load, and the map's id.
fn symbols(slots: &[Instruction]) -> Vec<(usize, String)> {
    let is_map = |instruction: &Instruction| instruction.is_load_imm64() && instruction.src() == opcode::PSEUDO_MAP_FD;
    let (mut found, mut slot) = (Vec::new(), 0);
    while let Some(instruction) = slots.get(slot) {
        if is_map(instruction) {
            found.push((slot, instruction.imm.cast_unsigned().to_string()));
        }
        slot += instruction.slots();
    }
    found
}

/// The helpers by the distance of their functions from `__bpf_call_base`; empty if the kernel hides its symbols.
struct Helpers(HashMap<i32, Helper>);

/// The functions of helpers that submit, commit or look up. A helper may have several, for programs of different types.
const FUNCTIONS: &[(&str, Helper)] = &[
    ("bpf_ringbuf_reserve", Helper::bpf_ringbuf_reserve),
    ("bpf_ringbuf_reserve_dynptr", Helper::bpf_ringbuf_reserve_dynptr),
    ("bpf_ringbuf_output", Helper::bpf_ringbuf_output),
    ("bpf_perf_event_output", Helper::bpf_perf_event_output),
    ("bpf_perf_event_output_tp", Helper::bpf_perf_event_output),
    ("bpf_perf_event_output_raw_tp", Helper::bpf_perf_event_output),
    ("bpf_event_output_data", Helper::bpf_perf_event_output),
    ("bpf_skb_event_output", Helper::bpf_perf_event_output),
    ("bpf_xdp_event_output", Helper::bpf_perf_event_output),
    ("bpf_map_lookup_elem", Helper::bpf_map_lookup_elem),
    // The verifier calls the function of the map directly (`do_misc_fixups`).
    ("percpu_array_map_lookup_elem", Helper::bpf_map_lookup_elem),
    ("htab_percpu_map_lookup_elem", Helper::bpf_map_lookup_elem),
    ("__htab_map_lookup_elem", Helper::bpf_map_lookup_elem),
];

impl Helpers {
    fn read() -> Self {
        let path = Path::new("/proc/kallsyms");
        let file = file::open(path, "the addresses of helpers, which loaded programs call by their address");
        Self(file.map_or_else(|_| HashMap::new(), |file| Self::parse(BufReader::with_capacity(64 << 10, file))))
    }

    fn parse(symbols: impl BufRead) -> HashMap<i32, Helper> {
        let (mut base, mut functions) = (None, Vec::new());
        for line in symbols.split(b'\n').map_while(Result::ok) {
            let mut words = line.split(|byte| byte.is_ascii_whitespace()).map(std::str::from_utf8);
            let (Some(Ok(address)), Some(Ok(_)), Some(Ok(name))) = (words.next(), words.next(), words.next()) else {
                continue;
            };
            let address = || u64::from_str_radix(address, 16).ok().filter(|address| *address != 0);
            if name == "__bpf_call_base" {
                base = address();
            } else if let Some((_, helper)) = FUNCTIONS.iter().find(|(function, _)| *function == name) {
                functions.extend(address().map(|address| (address, *helper)));
            }
        }
        let Some(base) = base else { return HashMap::new() };
        let distance = |address: u64| i32::try_from(address.wrapping_sub(base).cast_signed()).ok();
        functions.into_iter().filter_map(|(address, helper)| Some((distance(address)?, helper))).collect()
    }

    /// Returns the instruction with the helper's id in place of its distance. A call of an unknown function gets id 0,
    /// which no helper has.
    fn named(&self, mut instruction: Instruction) -> Instruction {
        if instruction.is_call() && instruction.src() == 0 {
            instruction.imm = self.0.get(&instruction.imm).map_or(0, |helper| helper.id());
        }
        instruction
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn helpers_are_found_by_their_distance() {
        let symbols = "ffffffff81000100 T __bpf_call_base\nffffffff81000000 T bpf_ringbuf_output\n\
                       ffffffff81000900 T bpf_ringbuf_reserve\nffffffff81000910 t other\n";
        let helpers = Helpers::parse(symbols.as_bytes());
        let expected = [(-0x100, Helper::bpf_ringbuf_output), (0x800, Helper::bpf_ringbuf_reserve)];
        assert_eq!(helpers, HashMap::from(expected));
        // The kernel hides its addresses.
        assert!(Helpers::parse(&b"0 T __bpf_call_base\n0 T bpf_ringbuf_output\n"[..]).is_empty());
    }
}
