//! Loads an object as it is and with each kind of inserted instructions, runs its programs on the same input, and
//! compares the results: return values, packets, contexts, contents of maps and records.
//!
//! ```text
//!     plain ──┬─▶ observation ─┐
//!     plain ──┴─▶ observation ─┴─▶ items that differ vary by themselves, such as times
//!     no-ops, losses, coverage, both ─▶ observations: all other items must be equal
//! ```

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    hash::{DefaultHasher, Hash, Hasher},
};

use cutaway::{Loaded, Map, MapType, Object, Pinning, Program, ProgramType, Target, TestRun, perf_reader};

/// The inserted instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Variant {
    Plain,
    NoOps,
    Losses,
    Coverage,
    Both,
}

impl Variant {
    pub(crate) const ALL: [Self; 4] = [Self::NoOps, Self::Losses, Self::Coverage, Self::Both];

    fn counts(self) -> bool {
        matches!(self, Self::Losses | Self::Both)
    }

    fn covers(self) -> bool {
        matches!(self, Self::Coverage | Self::Both)
    }
}

/// The comparison of one object.
#[derive(Debug, Default)]
pub(crate) struct Comparison {
    /// The number of programs that the kernel accepts as they are.
    pub(crate) programs: usize,
    /// The reason why the object does not load as it is.
    pub(crate) refused: Option<String>,
    /// The call sites that are counted.
    pub(crate) counted: usize,
    /// Functions whose call sites are not counted, with the reason.
    pub(crate) uncounted: Vec<String>,
    /// Functions that are not marked, with the reason.
    pub(crate) unmarked: Vec<String>,
    /// Everything else that differs between the variants.
    pub(crate) faults: Vec<String>,
    /// The number of test runs that are equal in all variants.
    pub(crate) runs: usize,
    /// The number of items that are equal in all variants.
    pub(crate) equal: usize,
    /// The number of items that vary without insertions.
    pub(crate) varying: usize,
}

/// Results of one load, each with its name: `send on packet 1: value`.
type Observation = BTreeMap<String, String>;

/// The number of loads of a variant before a difference counts.
const ATTEMPTS: usize = 3;

/// Compares the variants of an object.
pub(crate) fn compare(bytes: &[u8]) -> Comparison {
    let mut found = Comparison::default();
    let plain = match loaded(bytes, Variant::Plain) {
        Ok(plain) => plain,
        Err(why) => {
            found.refused = Some(why);
            return found;
        }
    };
    let names: BTreeSet<_> = plain.programs().map(|program| program.name().to_owned()).collect();
    found.programs = names.len();
    let mut expected = observation(&plain);
    drop(plain);
    let Ok(again) = loaded(bytes, Variant::Plain) else {
        found.faults.push("loads once, and not a second time".to_owned());
        return found;
    };
    found.varying += retain_equal(&mut expected, &observation(&again));
    drop(again);
    for variant in Variant::ALL {
        let mut faults = Vec::new();
        for _ in 0..ATTEMPTS {
            match compare_variant(bytes, variant, &names, &mut expected, &mut found) {
                Ok(unequal) => faults = unequal,
                Err(why) => {
                    faults = vec![why];
                    break;
                }
            }
            if faults.is_empty() {
                break;
            }
        }
        found.faults.extend(faults);
    }
    found.runs = expected.keys().filter(|name| name.ends_with(": value")).count();
    found.equal = expected.len();
    found
}

/// Loads a variant once. Returns the items that differ from the expected ones, or as an error what differs for good.
///
/// The programs may move to another CPU in the middle, so an item may differ by chance.
fn compare_variant(
    bytes: &[u8],
    variant: Variant,
    names: &BTreeSet<String>,
    expected: &mut Observation,
    found: &mut Comparison,
) -> Result<Vec<String>, String> {
    let changed = loaded(bytes, variant).map_err(|why| format!("{variant:?}: {why}"))?;
    let here: BTreeSet<_> = changed.programs().map(|program| program.name().to_owned()).collect();
    if here != *names {
        return Err(format!("{variant:?}: loaded are {here:?}, not {names:?}"));
    }
    let observed = observation(&changed);
    if expected.iter().any(|(name, value)| observed.get(name) != Some(value)) {
        // Something that varies seldom may have been equal twice.
        if let Ok(plain) = loaded(bytes, Variant::Plain) {
            found.varying += retain_equal(expected, &observation(&plain));
        }
    }
    let unequal = expected.iter().filter(|(name, value)| observed.get(*name) != Some(value));
    let unequal: Vec<_> = unequal
        .map(|(name, value)| format!("{variant:?}: {name}: {value} turns into {:?}", observed.get(name)))
        .collect();
    if unequal.is_empty() {
        check_losses(&changed, variant, found);
        check_coverage(&changed, variant, &observed, found);
    }
    Ok(unequal)
}

/// Removes the items that differ, and returns their number.
fn retain_equal(expected: &mut Observation, observed: &Observation) -> usize {
    let before = expected.len();
    expected.retain(|name, value| observed.get(name) == Some(value));
    before - expected.len()
}

/// Loads all programs that the kernel accepts.
fn loaded(bytes: &[u8], variant: Variant) -> Result<Loaded, String> {
    let mut object = Object::parse(bytes).map_err(|error| error.to_string())?;
    object.programs_mut().for_each(|program| program.section.autoload = true);
    // Some objects of the corpus do nothing in other processes.
    let _ = object.set_variable("own", &std::process::id().to_ne_bytes());
    let maps: Vec<_> = object.maps().iter().map(|map| map.name.clone()).collect();
    for map in maps {
        // The variants must not share a map.
        object.map_mut(&map).map_err(|error| error.to_string())?.pinning = Pinning::None;
    }
    if variant == Variant::NoOps {
        object.insert_no_ops();
    }
    if variant.counts() {
        object.count_losses();
    }
    if variant.covers() {
        object.cover();
    }
    let (loaded, failed) = object.load_partial().map_err(|error| error.to_string())?;
    match failed.first().filter(|_| loaded.programs().next().is_none()) {
        Some(failed) => Err(failed.why.to_string()),
        None => Ok(loaded),
    }
}

/// Runs the programs, then reads the maps.
fn observation(loaded: &Loaded) -> Observation {
    let mut items = Observation::new();
    let readers: Vec<_> = loaded.maps().map(Reader::open).collect();
    for program in loaded.programs() {
        // The kernel runs these programs only where they are attached.
        let link = is_on_test_function(program).then(|| program.attach());
        for (number, input) in inputs(program).enumerate() {
            run(program, number, &input, &mut items);
        }
        drop(link);
    }
    for (map, reader) in loaded.maps().zip(readers) {
        if let Some(records) = reader.records() {
            items.insert(format!("records of {}", map.name()), records);
        }
        contents(map, &mut items);
    }
    items
}

/// Returns whether a program belongs to a function that only `BPF_PROG_TEST_RUN` calls (`net/bpf/test_run.c`).
fn is_on_test_function(program: &Program) -> bool {
    let Some(Target::Btf { name }) = &program.spec().section.target else { return false };
    name.starts_with("bpf_fentry_test") || name.starts_with("bpf_modify_return_test")
}

fn run(program: &Program, number: usize, input: &TestRun, items: &mut Observation) {
    let name = program.name();
    match program.test_run(input) {
        Ok(result) => {
            items.insert(format!("{name} on input {number}: value"), result.value.to_string());
            items.insert(format!("{name} on input {number}: packet"), digest(&result.data));
            items.insert(format!("{name} on input {number}: context"), digest(&result.context));
        }
        Err(error) => {
            items.insert(format!("{name} on input {number}: error"), error.to_string());
        }
    }
}

/// Returns the inputs for a program: packets of IPv4 and IPv6, a short one, contexts, and nothing.
fn inputs(program: &Program) -> impl Iterator<Item = TestRun> + use<> {
    let packet = |data: Vec<u8>| TestRun { data, ..TestRun::default() };
    let context = |context: Vec<u8>| TestRun { context, ..TestRun::default() };
    let pattern = |size: usize| (0..size).map(|byte| (byte * 7) as u8).collect::<Vec<u8>>();
    let kind = program.spec().section.program_type;
    let own = match kind {
        ProgramType::TRACING => vec![TestRun::default()],
        ProgramType::SYSCALL | ProgramType::RAW_TRACEPOINT | ProgramType::RAW_TRACEPOINT_WRITABLE => {
            vec![context(vec![0; 96]), context(pattern(96)), TestRun::default()]
        }
        ProgramType::SK_LOOKUP => {
            // AF_INET and IPPROTO_TCP at their offsets in `struct bpf_sk_lookup`.
            let mut lookup = vec![0; 72];
            lookup.splice(8..16, [2_u32, 6].into_iter().flat_map(u32::to_ne_bytes));
            vec![context(lookup)]
        }
        ProgramType::STRUCT_OPS => Vec::new(),
        _ => vec![
            packet(ethernet([0x08, 0x00], &[0x45, 0, 0, 50, 0, 0, 0, 0, 64, 17, 0, 0, 127, 0, 0, 1, 127, 0, 0, 1])),
            packet(ethernet([0x86, 0xdd], &[0x60, 0, 0, 0, 0, 20, 6, 64])),
            packet(pattern(14)),
            packet(pattern(1000)),
        ],
    };
    own.into_iter()
}

/// Returns a packet of 64 bytes and more with this EtherType and this start of a network header.
fn ethernet(kind: [u8; 2], header: &[u8]) -> Vec<u8> {
    let mut packet = [[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2].as_slice(), &kind, header].concat();
    packet.resize(packet.len().max(64) + 40, 3);
    packet
}

/// The reader of a map's records.
enum Reader {
    None,
    Ring(cutaway::mmap_ring::Ring),
    Perf(Box<perf_reader::AdaptiveReader<cutaway::PerfEventArray>>),
}

impl Reader {
    fn open(map: &Map) -> Self {
        match map.map_type() {
            MapType::RINGBUF => map.ring().map_or(Self::None, Self::Ring),
            MapType::PERF_EVENT_ARRAY => map
                .perf_buffers(64 * 1024, &perf_reader::Options::new())
                .map_or(Self::None, |buffers| Self::Perf(Box::new(buffers))),
            _ => Self::None,
        }
    }

    /// Returns the records, or the reason why they cannot be read.
    fn records(self) -> Option<String> {
        let mut records = String::new();
        let end = match self {
            Self::None => return None,
            Self::Ring(mut ring) => {
                ring.drain(|record| records += &digest(record)).err().map(|error| error.to_string())
            }
            Self::Perf(mut buffers) => {
                let each = |_, record: Result<perf_reader::Record<'_>, _>| match record {
                    Ok(perf_reader::Record::Sample(sample)) => records += &digest(&sample.padded().to_vec()),
                    other => records += &format!("{other:?}"),
                };
                buffers.drain(each).err().map(|error| error.to_string())
            }
        };
        Some(records + &end.unwrap_or_default())
    }
}

/// Adds the elements of a map. Maps whose values are ids or that belong to sockets and tasks are omitted.
fn contents(map: &Map, items: &mut Observation) {
    /// The maximum number of elements to read.
    const MOST: usize = 2000;
    let comparable = [
        MapType::HASH,
        MapType::ARRAY,
        MapType::PERCPU_HASH,
        MapType::PERCPU_ARRAY,
        MapType::LRU_HASH,
        MapType::LRU_PERCPU_HASH,
        MapType::LPM_TRIE,
    ];
    if !comparable.contains(&map.map_type()) {
        return;
    }
    for key in map.keys().take(MOST) {
        let Ok(key) = key else { return };
        let value = match map.map_type().is_per_cpu() {
            true => map.lookup_per_cpu(&key).map(|values| values.map(|values| of_all_cpus(&values))),
            false => map.lookup(&key).map(|value| value.map(|value| digest(&value))),
        };
        items.insert(format!("{}[{}]", map.name(), digest(&key)), format!("{value:?}"));
    }
}

/// Returns the values of all CPUs as text, whichever CPU has which.
fn of_all_cpus(values: &[(u32, Vec<u8>)]) -> String {
    let mut values: Vec<_> = values.iter().map(|(_, value)| digest(value)).collect();
    values.sort();
    values.concat()
}

/// Returns bytes as text; long ones by length and hash.
fn digest(bytes: &[u8]) -> String {
    let mut text = format!("{} bytes ", bytes.len());
    if bytes.len() <= 64 {
        bytes.iter().for_each(|byte| {
            let _ = write!(text, "{byte:02x}");
        });
    } else {
        let mut hasher = DefaultHasher::new();
        bytes.hash(&mut hasher);
        let _ = write!(text, "#{:016x}", hasher.finish());
    }
    text + "; "
}

fn check_losses(loaded: &Loaded, variant: Variant, found: &mut Comparison) {
    let sites = match loaded.losses().map(cutaway::Losses::sites) {
        None if variant.counts() => return found.faults.push(format!("{variant:?}: no losses")),
        None => return,
        Some(Err(error)) => return found.faults.push(format!("{variant:?}: {error}")),
        Some(Ok(sites)) => sites,
    };
    for site in &sites {
        if let Err(why) = &site.lost {
            found.uncounted.push(format!("{variant:?}: `{}`: {why}", site.function));
        }
    }
    if variant == Variant::Losses {
        found.counted = sites.iter().filter(|site| site.lost.is_ok()).count();
    }
}

/// Checks that a program that ran is marked as such.
fn check_coverage(loaded: &Loaded, variant: Variant, observed: &Observation, found: &mut Comparison) {
    let coverage = match loaded.coverage() {
        None if variant.covers() => return found.faults.push(format!("{variant:?}: no coverage")),
        None => return,
        Some(coverage) => coverage,
    };
    let unmarked = coverage.not_measured();
    found.unmarked.extend(unmarked.iter().map(|lack| format!("{variant:?}: `{}`: {}", lack.function, lack.why)));
    let report = match coverage.report() {
        Ok(report) => report,
        Err(error) => return found.faults.push(format!("{variant:?}: {error}")),
    };
    let functions = report.files.iter().flat_map(|file| &file.functions).chain(&report.functions_without_lines);
    for function in functions {
        let values = format!("{} on input ", function.name);
        let ran = observed.keys().any(|name| name.starts_with(&values) && name.ends_with(": value"));
        let is_program = loaded.program(&function.name);
        // The kernel does not run an unattached program of the type TRACING, and reports no error.
        let runs = is_program.is_ok_and(|program| program.spec().section.program_type != ProgramType::TRACING);
        let is_unmarked = unmarked.iter().any(|lack| lack.function == function.name);
        if runs && ran != function.runs.ran() && !is_unmarked {
            found.faults.push(format!("{variant:?}: `{}` ran: {ran}; {:?}", function.name, function.runs));
        }
    }
}
