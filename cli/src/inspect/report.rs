//! The report on an object: a plain value.

use std::collections::HashMap;

use cutaway::{
    DryRun, Error, ExternFound, FunctionSpec, LinkedProgram, MapSpec, Object, ObjectReader, Pinning, ProgramSpec,
};
use serde::Serialize;

use super::{
    aya_obj::AyaObj,
    listing::{self, ByLocation, Linked, Row},
    requirements,
    verify::Verdict,
};

/// The kernel that the programs are linked against in the dry run.
#[derive(Debug, Clone, Copy)]
pub(super) enum Against<'b> {
    /// The running kernel.
    Running,
    /// The kernel that this BTF comes from.
    Btf(&'b [u8]),
}

/// The report. Its fields are those of the JSON.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) object: String,
    pub(super) license: String,
    /// The object reader: `cutaway` or `aya-obj`.
    pub(super) reader: String,
    /// Whether aya-obj accepts the object, and whether both object readers agree.
    pub(super) aya_obj: AyaObj,
    /// `big` or `little`.
    pub(super) byte_order: &'static str,
    /// Whether the byte order is not this machine's: such an object can be inspected, not loaded.
    pub(super) foreign: bool,
    pub(super) sections: Vec<Section>,
    pub(super) maps: Vec<Map>,
    pub(super) variables: Vec<Variable>,
    pub(super) externs: Vec<Extern>,
    pub(super) programs: Vec<Program>,
    /// The CO-RE relocations; `None` if aya-obj applies them, because it does not report them.
    pub(super) core: Option<Vec<Core>>,
    /// Parts of the object that load and do not do what the author expects.
    pub(super) warnings: Vec<String>,
    /// Why the object cannot be linked as a whole.
    pub(super) failure: Option<String>,
    /// Features that the object requires.
    pub(super) needs: Vec<String>,
    /// Features that the object requires and the running kernel lacks; `None` if the kernel is not examined.
    pub(super) missing: Option<Vec<String>>,
    /// The verdicts of --verify; `None` without it.
    pub(super) verifier: Option<Vec<Verdict>>,
}

#[derive(Debug, Serialize)]
pub(super) struct Section {
    pub(super) name: String,
    pub(super) size: u64,
    pub(super) executable: bool,
    pub(super) references: usize,
}

#[derive(Debug, Serialize)]
pub(super) struct Map {
    pub(super) name: String,
    #[serde(rename = "type")]
    pub(super) map_type: String,
    pub(super) key_size: u32,
    pub(super) value_size: u32,
    /// `max_entries` as passed to the kernel.
    pub(super) max_entries: u32,
    /// `max_entries` in the object.
    pub(super) asked: u32,
    pub(super) is_ring: bool,
    pub(super) flags: Vec<String>,
    pub(super) pinned: bool,
    pub(super) inner: Option<Box<Map>>,
    pub(super) values: Vec<(u32, String)>,
    /// Whether its section begins with `?`: it is created only on request.
    pub(super) optional: bool,
    /// Why it cannot be created.
    pub(super) refused: Option<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct Variable {
    pub(super) name: String,
    pub(super) section: String,
    pub(super) offset: u32,
    pub(super) size: u32,
    #[serde(rename = "type")]
    pub(super) type_name: Option<String>,
    pub(super) constant: bool,
}

#[derive(Debug, Serialize)]
pub(super) struct Extern {
    pub(super) name: String,
    pub(super) kind: &'static str,
    pub(super) weak: bool,
    /// The value in the dry run; `None` if the dry run failed before.
    pub(super) found: Option<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct Program {
    pub(super) name: String,
    pub(super) section: String,
    #[serde(rename = "type")]
    pub(super) program_type: String,
    pub(super) sleepable: bool,
    /// Whether its section begins with `?`: it is loaded only on request.
    pub(super) optional: bool,
    /// Slots in the file, without the functions that it calls.
    pub(super) slots: usize,
    /// Slots of the linked program; `None` if it cannot be linked.
    pub(super) linked_slots: Option<usize>,
    /// Why it cannot be loaded.
    pub(super) refused: Option<String>,
    /// Why loading inserts none of the instructions that were asked for.
    pub(super) not_inserted: Option<String>,
    /// The instructions; `None` with --no-code.
    pub(super) listing: Option<Vec<Row>>,
}

/// A CO-RE relocation that was applied.
#[derive(Debug, Serialize)]
pub(super) struct Core {
    pub(super) section: String,
    pub(super) slot: u32,
    pub(super) what: String,
}

impl Report {
    /// Removes the instructions, for --no-code.
    pub(super) fn drop_code(&mut self) {
        self.programs.iter_mut().for_each(|program| program.listing = None);
    }

    /// Returns the error of a panic of aya-obj; `None` if it did not panic.
    pub(super) fn panic(&self) -> Option<&str> {
        let refused = self.programs.iter().filter_map(|program| program.refused.as_deref());
        refused
            .chain(self.failure.as_deref())
            .find(|why| why.contains("aya-obj cannot") && why.contains(": it panics ("))
    }

    pub(super) fn new(path: &str, object: Object, against: Against<'_>, chosen: &[String], aya_obj: AyaObj) -> Self {
        let functions = Functions::of(&object);
        let foreign = object.is_foreign_endian();
        let (dry_run, failure) = match dry_run_against(object.clone(), against) {
            Ok(dry_run) => (Some(dry_run), None),
            Err(_) if foreign => (None, None),
            Err(error) => (None, Some(error.to_string())),
        };
        let whole = dry_run.as_ref().map(Whole::of);
        let programs = || object.programs().iter().filter(|spec| chosen.is_empty() || chosen.contains(&spec.name));
        // A second dry run requests all programs, for those that are loaded only on request.
        let is_optional = |spec: &ProgramSpec| whole.as_ref().is_some_and(|whole| whole.find(spec).is_none());
        let others = programs().any(is_optional).then(|| dry_run_against(with_all_programs(&object), against));
        let (others, other_failure) = match others.transpose() {
            Ok(others) => (others, None),
            Err(error) => (None, Some(error.to_string())),
        };
        let others = others.as_ref().map(Whole::of);
        // A fault of the object as a whole is a fault of each program.
        let why = failure.as_ref().or(other_failure.as_ref());
        let dry_runs = [whole.as_ref(), others.as_ref()];
        let mut programs: Vec<_> = programs().map(|spec| program(spec, &functions, dry_runs, why)).collect();
        if chosen.is_empty() {
            programs.extend(object.unknown_programs().iter().map(|unknown| {
                let function = functions.named(&unknown.name);
                Program {
                    name: unknown.name.clone(),
                    section: unknown.section_name.clone(),
                    program_type: "unknown".to_owned(),
                    sleepable: false,
                    optional: false,
                    slots: function.map_or(0, |function| function.instructions.len()),
                    linked_slots: None,
                    refused: Some(unknown.why.clone()),
                    not_inserted: None,
                    listing: Some(function.map(listing::unlinked).unwrap_or_default()),
                }
            }));
        }
        let examine = matches!(against, Against::Running) && !foreign;
        let requirements = requirements::of(&object, chosen, examine);
        Self {
            object: path.to_owned(),
            license: object.license().to_string_lossy().into_owned(),
            reader: object.reader().to_string(),
            aya_obj,
            byte_order: if cfg!(target_endian = "big") == foreign { "little" } else { "big" },
            foreign,
            sections: sections(&object),
            maps: object.maps().iter().map(map).collect(),
            variables: variables(&object),
            externs: externs(&object, dry_run.as_ref()),
            programs,
            core: relocations(&object, dry_run.as_ref()),
            warnings: object.warnings().iter().map(ToString::to_string).collect(),
            failure,
            needs: requirements.needs,
            missing: examine.then_some(requirements.missing),
            verifier: None,
        }
    }
}

fn sections(object: &Object) -> Vec<Section> {
    // The first section of an ELF file is a null entry.
    let sections = object.sections().skip(1).map(|section| Section {
        name: section.name,
        size: section.size,
        executable: section.executable,
        references: section.references,
    });
    sections.collect()
}

fn variables(object: &Object) -> Vec<Variable> {
    let variables = object.variables().iter().map(|variable| Variable {
        name: variable.name.clone(),
        section: variable.section.clone(),
        offset: variable.offset,
        size: variable.size,
        type_name: variable.type_name.clone(),
        constant: variable.constant,
    });
    variables.collect()
}

fn externs(object: &Object, dry_run: Option<&DryRun>) -> Vec<Extern> {
    let found = |index: usize| dry_run?.externs.get(index);
    let externs = object.externs().iter().enumerate().map(|(index, known)| Extern {
        name: known.name.clone(),
        kind: kind(known.kind),
        weak: known.weak,
        found: found(index).map(extern_text),
    });
    externs.collect()
}

/// Returns the CO-RE relocations that were applied; `None` if they are unknown.
fn relocations(object: &Object, dry_run: Option<&DryRun>) -> Option<Vec<Core>> {
    if object.reader() == ObjectReader::AyaObj && object.has_core_relocations() {
        return None;
    }
    let applied = dry_run.iter().flat_map(|dry_run| &dry_run.relocated);
    let core = applied.map(|applied| Core {
        section: applied.section.to_string(),
        slot: applied.offset / 8,
        what: applied.to_string(),
    });
    Some(core.collect())
}

fn dry_run_against(object: Object, against: Against<'_>) -> Result<DryRun, Error> {
    match against {
        Against::Running => object.dry_run_on_host(),
        Against::Btf(types) => object.dry_run(types),
    }
}

/// The functions of an object, found by name.
struct Functions {
    all: Vec<FunctionSpec>,
    /// Indices by name. The first of several functions with the same name counts.
    by_name: HashMap<String, usize>,
    /// Indices by section and name. The first of several functions counts.
    by_section: HashMap<(String, String), usize>,
}

impl Functions {
    fn of(object: &Object) -> Self {
        let all: Vec<_> = object.functions().collect();
        let (mut by_name, mut by_section) = (HashMap::new(), HashMap::new());
        for (index, function) in all.iter().enumerate() {
            by_name.entry(function.name.clone()).or_insert(index);
            by_section.entry((function.section.clone(), function.name.clone())).or_insert(index);
        }
        Self { all, by_name, by_section }
    }

    fn named(&self, name: &str) -> Option<&FunctionSpec> {
        self.all.get(*self.by_name.get(name)?)
    }

    fn of_program(&self, spec: &ProgramSpec) -> Option<&FunctionSpec> {
        self.all.get(*self.by_section.get(&(spec.section_name.clone(), spec.name.clone()))?)
    }
}

/// A dry run, with its programs indexed by name and its relocations by offset.
struct Whole<'r> {
    /// The names of the maps in the order of their fds.
    maps: Vec<&'r str>,
    programs: HashMap<&'r str, &'r LinkedProgram>,
    core: ByLocation<'r>,
}

impl<'r> Whole<'r> {
    fn of(dry_run: &'r DryRun) -> Self {
        let mut programs = HashMap::new();
        for linked in &dry_run.programs {
            programs.entry(linked.name.as_str()).or_insert(linked);
        }
        let maps = dry_run.maps.iter().map(|map| map.name.as_str()).chain(dry_run.counter_maps.iter().copied());
        Self { maps: maps.collect(), programs, core: ByLocation::of(&dry_run.relocated) }
    }

    fn find(&self, spec: &ProgramSpec) -> Option<&'r LinkedProgram> {
        self.programs.get(spec.name.as_str()).copied()
    }
}

/// Describes a program by the first dry run that has it. `why` is the reason if the object cannot be linked at all.
fn program(
    spec: &ProgramSpec,
    functions: &Functions,
    dry_runs: [Option<&Whole<'_>>; 2],
    why: Option<&String>,
) -> Program {
    let own = functions.of_program(spec);
    let mut program = Program {
        name: spec.name.clone(),
        section: spec.section_name.clone(),
        program_type: spec.section.program_type.to_string(),
        sleepable: spec.section.sleepable,
        optional: !spec.section.autoload,
        slots: own.map_or(0, |function| function.instructions.len()),
        linked_slots: None,
        refused: None,
        not_inserted: None,
        listing: None,
    };
    let found = dry_runs.into_iter().flatten().find_map(|whole| Some((whole, whole.find(spec)?)));
    match found.map(|(whole, linked)| (whole, linked, &linked.instructions)) {
        Some((whole, linked, Ok(instructions))) => {
            program.linked_slots = Some(instructions.len());
            let insertions = match &linked.insertions {
                Ok(insertions) => insertions.as_slice(),
                Err(why) => {
                    program.not_inserted = Some(why.to_string());
                    &[]
                }
            };
            let linked = Linked {
                instructions,
                subprogs: &linked.subprogs,
                insertions,
                functions: &functions.all,
                maps: &whole.maps,
            };
            program.listing = Some(listing::linked(&linked, &whole.core));
        }
        Some((_, _, Err(why))) => program.refused = Some(why.to_string()),
        None => program.refused = why.cloned(),
    }
    if program.listing.as_ref().is_none_or(Vec::is_empty) {
        program.listing = Some(own.map(listing::unlinked).unwrap_or_default());
    }
    program
}

/// Returns a copy of the object with all its programs requested.
fn with_all_programs(object: &Object) -> Object {
    let mut object = object.clone();
    for program in object.programs_mut() {
        program.section.autoload = true;
    }
    object
}

fn map(spec: &MapSpec) -> Map {
    let (made, refused) = match spec.normalized() {
        Ok(made) => (made, None),
        Err(why) => (spec.clone(), Some(why.to_string())),
    };
    Map {
        name: spec.name.clone(),
        map_type: spec.map_type.to_string(),
        key_size: made.key_size,
        value_size: made.value_size,
        max_entries: made.max_entries,
        asked: spec.max_entries,
        is_ring: spec.map_type.is_ring(),
        flags: spec.map_flags.iter_names().map(|(name, _)| name.to_owned()).collect(),
        pinned: spec.pinning == Pinning::ByName,
        inner: spec.inner.as_deref().map(|inner| Box::new(map(inner))),
        values: spec.initial_entries.clone(),
        optional: !spec.autocreate,
        refused,
    }
}

fn kind(kind: cutaway::ExternKind) -> &'static str {
    match kind {
        cutaway::ExternKind::Config => "configuration",
        cutaway::ExternKind::Variable => "variable",
        cutaway::ExternKind::Address => "address",
        cutaway::ExternKind::Function => "function",
        _ => "unknown",
    }
}

fn extern_text(found: &ExternFound) -> String {
    match found {
        ExternFound::Constant(bytes) => constant(bytes),
        ExternFound::Type { id, in_module } => {
            format!("type {id} of {}", if *in_module { "a module" } else { "the kernel" })
        }
        ExternFound::Address(address) => format!("{address:#x}"),
        ExternFound::Missing => "missing, and weak: 0".to_owned(),
        ExternFound::Refused(why) => format!("refused: {why}"),
        _ => "unknown".to_owned(),
    }
}

/// Formats a constant of 1, 2, 4 or 8 bytes as a number, another one as text.
fn constant(bytes: &[u8]) -> String {
    if !matches!(bytes.len(), 1 | 2 | 4 | 8) {
        let text = bytes.split(|&byte| byte == 0).next().unwrap_or_default();
        return format!("\"{}\"", String::from_utf8_lossy(text));
    }
    let little = bytes.iter().rev().fold(0_u64, |value, &byte| value << 8 | u64::from(byte));
    let big = bytes.iter().fold(0_u64, |value, &byte| value << 8 | u64::from(byte));
    if cfg!(target_endian = "little") { little.to_string() } else { big.to_string() }
}
