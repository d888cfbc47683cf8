//! What is told of an object: a plain value.

use cutaway::{
    Error, ExternFound, FunctionSpec, MapSpec, Object, Pinning, ProgramSpec, Rehearsal, Rehearsed, core_relo::Applied,
};
use serde::Serialize;

use super::{
    lacks,
    listing::{self, Row},
};

/// The kernel that loading is rehearsed for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Against<'b> {
    /// The running one.
    Running,
    /// The one that these types are from.
    Given(&'b [u8]),
}

/// All that is told.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) object: String,
    pub(super) license: String,
    /// `big` or `little`.
    pub(super) byte_order: &'static str,
    /// It is not this machine's: the object can be looked at, and no more.
    pub(super) foreign: bool,
    pub(super) sections: Vec<Section>,
    pub(super) maps: Vec<Map>,
    pub(super) variables: Vec<Variable>,
    pub(super) externs: Vec<Extern>,
    pub(super) programs: Vec<Program>,
    pub(super) core: Vec<Core>,
    /// What loads and will not do what its author expects.
    pub(super) warnings: Vec<String>,
    /// Why loading the object as a whole could not be rehearsed.
    pub(super) failure: Option<String>,
    /// What the running machine would refuse.
    pub(super) lacks: Vec<String>,
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
    pub(super) max_entries: u32,
    /// What the object asked for.
    pub(super) asked: u32,
    pub(super) is_ring: bool,
    pub(super) flags: Vec<String>,
    pub(super) pinned: bool,
    pub(super) inner: Option<Box<Map>>,
    pub(super) values: Vec<(u32, String)>,
    /// It begins with `?`, and is not made.
    pub(super) optional: bool,
    /// Why it cannot be made.
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
    /// What it is here; `None` if the rehearsal did not get so far.
    pub(super) found: Option<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct Program {
    pub(super) name: String,
    pub(super) section: String,
    #[serde(rename = "type")]
    pub(super) program_type: String,
    pub(super) sleepable: bool,
    /// Its section begins with `?`: it is loaded only if asked for.
    pub(super) optional: bool,
    /// Slots in the file, without what it calls.
    pub(super) slots: usize,
    /// Slots that the kernel gets.
    pub(super) linked_slots: Option<usize>,
    /// Why it cannot be loaded.
    pub(super) refused: Option<String>,
    pub(super) listing: Vec<Row>,
}

/// A CO-RE relocation as it was applied.
#[derive(Debug, Serialize)]
pub(super) struct Core {
    pub(super) section: String,
    pub(super) slot: u32,
    pub(super) what: String,
}

impl Report {
    pub(super) fn new(path: &str, object: Object, against: Against<'_>, chosen: &[String]) -> Self {
        let functions: Vec<_> = object.functions().collect();
        let foreign = object.is_foreign();
        let (rehearsal, failure) = match rehearse(object.clone(), against) {
            Ok(rehearsal) => (Some(rehearsal), None),
            Err(_) if foreign => (None, None),
            Err(error) => (None, Some(error.to_string())),
        };
        let relocated = rehearsal.as_ref().map(|rehearsal| rehearsal.relocated.as_slice()).unwrap_or_default();
        let programs = object.programs().iter().filter(|program| chosen.is_empty() || chosen.contains(&program.name));
        let mut programs: Vec<_> =
            programs.map(|program| one(program, &object, &functions, rehearsal.as_ref(), against)).collect();
        if chosen.is_empty() {
            programs.extend(object.set_aside().iter().map(|aside| {
                let function = functions.iter().find(|function| function.name == aside.name);
                Program {
                    name: aside.name.clone(),
                    section: aside.section_name.clone(),
                    program_type: "unknown".to_owned(),
                    sleepable: false,
                    optional: false,
                    slots: function.map_or(0, |function| function.instructions.len()),
                    linked_slots: None,
                    refused: Some(aside.why.clone()),
                    listing: function.map(listing::unlinked).unwrap_or_default(),
                }
            }));
        }
        let found = |place: usize| rehearsal.as_ref()?.externs.get(place);
        let externs = object.externs().iter().enumerate().map(|(place, known)| Extern {
            name: known.name.clone(),
            kind: kind(known.kind),
            weak: known.weak,
            found: found(place).map(extern_text),
        });
        let sections = object.sections().skip(1).map(|section| Section {
            name: section.name,
            size: section.size,
            executable: section.executable,
            references: section.references,
        });
        let variables = object.variables().iter().map(|variable| Variable {
            name: variable.name.clone(),
            section: variable.section.clone(),
            offset: variable.offset,
            size: variable.size,
            type_name: variable.type_name.clone(),
            constant: variable.constant,
        });
        let core = relocated.iter().map(|applied| Core {
            section: applied.section.clone(),
            slot: applied.offset / 8,
            what: applied.to_string(),
        });
        Self {
            object: path.to_owned(),
            license: object.license().to_string_lossy().into_owned(),
            byte_order: if cfg!(target_endian = "big") == foreign { "little" } else { "big" },
            foreign,
            sections: sections.collect(),
            maps: object.maps().iter().map(map).collect(),
            variables: variables.collect(),
            externs: externs.collect(),
            programs,
            core: core.collect(),
            warnings: object.warnings().iter().map(ToString::to_string).collect(),
            failure,
            lacks: match against {
                Against::Running if !foreign => lacks::of(&object, chosen),
                Against::Running | Against::Given(_) => Vec::new(),
            },
        }
    }
}

fn rehearse(object: Object, against: Against<'_>) -> Result<Rehearsal, Error> {
    match against {
        Against::Running => object.rehearse_here(),
        Against::Given(types) => object.rehearse(types),
    }
}

/// One program. If the object as a whole cannot be rehearsed, or this program is not asked for by its section's name, it is
/// tried alone.
fn one(
    spec: &ProgramSpec,
    object: &Object,
    functions: &[FunctionSpec],
    whole: Option<&Rehearsal>,
    against: Against<'_>,
) -> Program {
    let own = functions.iter().find(|function| function.name == spec.name && function.section == spec.section_name);
    let mut program = Program {
        name: spec.name.clone(),
        section: spec.section_name.clone(),
        program_type: spec.section.program_type.to_string(),
        sleepable: spec.section.sleepable,
        optional: !spec.section.wanted,
        slots: own.map_or(0, |function| function.instructions.len()),
        linked_slots: None,
        refused: None,
        listing: Vec::new(),
    };
    let alone = match whole.and_then(|whole| find(whole, spec)) {
        None if !object.is_foreign() => Some(rehearse(only(object, spec), against)),
        _ => None,
    };
    let rehearsal: Option<&Rehearsal> = match &alone {
        Some(alone) => alone.as_ref().ok(),
        None => whole,
    };
    if let Some(Err(why)) = &alone {
        program.refused = Some(why.to_string());
    }
    if let Some((rehearsal, rehearsed)) = rehearsal.and_then(|rehearsal| Some((rehearsal, find(rehearsal, spec)?))) {
        match &rehearsed.instructions {
            Ok(instructions) => {
                program.linked_slots = Some(instructions.len());
                let applied: Vec<&Applied> = rehearsal.relocated.iter().collect();
                program.listing = listing::linked(instructions, &rehearsed.parts, functions, &rehearsal.maps, &applied);
            }
            Err(why) => program.refused = Some(why.to_string()),
        }
    }
    if program.listing.is_empty() {
        program.listing = own.map(listing::unlinked).unwrap_or_default();
    }
    program
}

fn find<'r>(rehearsal: &'r Rehearsal, spec: &ProgramSpec) -> Option<&'r Rehearsed> {
    rehearsal.programs.iter().find(|rehearsed| rehearsed.name == spec.name)
}

/// The object with this program alone.
fn only(object: &Object, spec: &ProgramSpec) -> Object {
    let mut alone = object.clone();
    for program in object.programs() {
        // The names are the object's own.
        if let Ok(known) = alone.program_mut(&program.name) {
            known.section.wanted = program.name == spec.name;
        }
    }
    alone
}

fn map(spec: &MapSpec) -> Map {
    let (made, refused) = match spec.corrected() {
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
        values: spec.values.clone(),
        optional: !spec.wanted,
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

/// A constant as the number it is, or as text.
fn constant(bytes: &[u8]) -> String {
    if !matches!(bytes.len(), 1 | 2 | 4 | 8) {
        let text = bytes.split(|&byte| byte == 0).next().unwrap_or_default();
        return format!("\"{}\"", String::from_utf8_lossy(text));
    }
    let little = bytes.iter().rev().fold(0_u64, |value, &byte| value << 8 | u64::from(byte));
    let big = bytes.iter().fold(0_u64, |value, &byte| value << 8 | u64::from(byte));
    if cfg!(target_endian = "little") { little.to_string() } else { big.to_string() }
}
