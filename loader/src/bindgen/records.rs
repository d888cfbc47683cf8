//! Finds the types of records. A ring has no type for its records, and neither has a perf event array.
//!
//! | rule | types |
//! | --- | --- |
//! | declared | a global pointer: `const struct event *unused;`. Authors declare it to have the type in BTF |
//! | named | `sizeof(struct event)`, `struct event *e = …` on the line of source of a call that submits a record |
//! | size | of the size that a call submits as a constant, if no rule above gives one and at most four types have it |
//!
//! The last rule needs no privileges and no kernel, and a type too many does no harm: it is only a definition. Types
//! that describe maps, and contexts of programs, are not records.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::{
    FunctionSpec, Helper, Object,
    btf::{Btf, Kind, Type},
    instruction::opcode,
};

/// The types of records.
#[derive(Debug, Default)]
pub(super) struct Records {
    /// Type ids in the order of the rules, without repetition.
    pub(super) types: Vec<u32>,
    /// The types of the records of each map, by the map's name.
    pub(super) of_map: BTreeMap<String, BTreeSet<u32>>,
    known: HashSet<u32>,
}

/// The highest number of types that the last rule gives for one size.
const MOST_OF_SIZE: usize = 4;

/// Finds the types of the records that an object's programs submit.
pub(super) fn of(object: &Object, btf: &Btf<'_>) -> Records {
    let candidates = Candidates::of(object, btf);
    let mut records = Records::default();
    for &id in &candidates.declared {
        records.add(None, id);
    }
    for function in object.functions() {
        for site in sites(&function) {
            for id in candidates.of_site(&site) {
                records.add(site.map.as_deref(), id);
            }
        }
    }
    records
}

impl Records {
    fn add(&mut self, map: Option<&str>, id: u32) {
        if self.known.insert(id) {
            self.types.push(id);
        }
        if let Some(map) = map {
            self.of_map.entry(map.to_owned()).or_default().insert(id);
        }
    }
}

/// The types that records can have: structures and unions with a name, and typedefs of those without.
struct Candidates<'b> {
    btf: &'b Btf<'b>,
    by_name: HashMap<&'b [u8], Vec<Type<'b>>>,
    by_size: HashMap<u32, Vec<Type<'b>>>,
    /// Those that a global pointer points to, in the order of their ids.
    declared: BTreeSet<u32>,
}

impl<'b> Candidates<'b> {
    fn of(object: &Object, btf: &'b Btf<'b>) -> Self {
        let (excluded, pointed) = (excluded(object, btf), pointed(btf));
        let mut found = Self { btf, by_name: HashMap::new(), by_size: HashMap::new(), declared: BTreeSet::new() };
        for ty in btf.types().filter(|ty| !ty.name_bytes().is_empty()) {
            let Some(of) = btf.resolve(ty.id()).filter(|of| of.kind().is_composite()) else { continue };
            let is_name = ty.kind().is_composite() || (ty.kind() == Kind::Typedef && of.name_bytes().is_empty());
            let size = btf.size_of(ty.id()).unwrap_or(0);
            if !is_name || size == 0 || excluded.contains(&of.id()) {
                continue;
            }
            found.by_name.entry(ty.name_bytes()).or_default().push(ty);
            found.by_size.entry(size).or_default().push(ty);
            if pointed.contains(&of.id()) {
                found.declared.insert(ty.id());
            }
        }
        found
    }

    /// Returns the types that the first rule gives that gives any.
    fn of_site(&self, site: &Site) -> Vec<u32> {
        let fits = |ty: &Type<'_>| match (site.size, self.btf.size_of(ty.id())) {
            (None, _) => true,
            // `sizeof(struct event) + 8`
            (Some(site), Some(size)) => site == size || (size < site && self.btf.ends_flexibly(ty.id())),
            (Some(_), None) => false,
        };
        let words: Vec<&str> = site.line.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
        let words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
        let before = std::iter::once("").chain(words.iter().copied());
        let mut named = Vec::new();
        for (before, word) in before.zip(&words) {
            let types = self.by_name.get(word.as_bytes()).into_iter().flatten().filter(|ty| fits(ty));
            // A structure has its keyword before the name, a typedef has none.
            let is_tag = matches!(before, "struct" | "union");
            named.extend(types.filter(|ty| (ty.kind() != Kind::Typedef) == is_tag).map(|ty| ty.id()));
        }
        let Some(size) = site.size.filter(|_| named.is_empty()) else { return named };
        let of_size = self.by_size.get(&size).map(Vec::as_slice).unwrap_or_default();
        let declared: Vec<u32> = of_size.iter().map(|ty| ty.id()).filter(|id| self.declared.contains(id)).collect();
        match (declared.is_empty(), of_size) {
            (false, _) => declared,
            (true, few) if few.len() <= MOST_OF_SIZE => few.iter().map(|ty| ty.id()).collect(),
            (true, _) => Vec::new(),
        }
    }
}

/// Returns the ids of the types that a global pointer points to.
fn pointed(btf: &Btf<'_>) -> HashSet<u32> {
    let pointed =
        |id: u32| btf.resolve(id).filter(|ty| ty.kind() == Kind::Ptr).and_then(|ty| btf.resolve(ty.referred()));
    btf.types().filter(|ty| ty.kind() == Kind::Var).filter_map(|ty| pointed(ty.referred())).map(Type::id).collect()
}

/// Returns the ids of the types that describe maps, and of the contexts of programs.
fn excluded(object: &Object, btf: &Btf<'_>) -> HashSet<u32> {
    let mut excluded = HashSet::new();
    let sections = btf.types().filter(|ty| ty.kind() == Kind::Datasec && ty.name_bytes() == b".maps");
    let variables = sections.flat_map(Type::section_vars).map(|variable| btf.ty(variable.type_id).referred());
    excluded.extend(variables.filter_map(|id| btf.resolve(id)).map(Type::id));
    let programs: HashSet<&str> = object.programs().iter().map(|program| program.name.as_str()).collect();
    for function in btf.types().filter(|ty| ty.kind() == Kind::Func && programs.contains(&*ty.name())) {
        let context = btf.ty(function.referred()).params().next().and_then(|context| btf.resolve(context.type_id));
        let context = context.filter(|ty| ty.kind() == Kind::Ptr).and_then(|ty| btf.resolve(ty.referred()));
        excluded.extend(context.map(Type::id));
    }
    excluded
}

/// A call that submits a record, or reserves one.
struct Site {
    map: Option<String>,
    /// The size in bytes, if it is a constant.
    size: Option<u32>,
    line: String,
}

fn sites(function: &FunctionSpec) -> Vec<Site> {
    let code = Code::of(function);
    let calls = code.instructions.iter().enumerate().filter_map(|(index, (_, instruction))| {
        let is_helper = instruction.is_call() && instruction.src() == 0;
        let helper = is_helper.then(|| Helper::from_id(instruction.imm)).flatten()?;
        Some((index, registers(helper)?))
    });
    let site = |(index, (map, size)): (usize, (u8, u8))| {
        let slot = code.instructions.get(index).map_or(0, |(slot, _)| *slot);
        let line = function.lines.iter().rev().find(|line| line.slot <= slot);
        Site {
            map: match code.last_value(index, map) {
                Some(Value::Symbol(name)) => Some(name.to_owned()),
                _ => None,
            },
            size: match code.last_value(index, size) {
                Some(Value::Number(size)) => u32::try_from(size).ok(),
                _ => None,
            },
            line: line.map(|line| line.text.to_string()).unwrap_or_default(),
        }
    };
    calls.map(site).collect()
}

/// Returns the registers with the map and the size, for a helper that submits records.
fn registers(helper: Helper) -> Option<(u8, u8)> {
    match helper {
        Helper::bpf_ringbuf_reserve | Helper::bpf_ringbuf_reserve_dynptr => Some((1, 2)),
        Helper::bpf_ringbuf_output => Some((1, 3)),
        Helper::bpf_perf_event_output | Helper::bpf_skb_output | Helper::bpf_xdp_output => Some((2, 5)),
        _ => None,
    }
}

/// The instructions of a function, to look back from a call.
struct Code<'f> {
    instructions: Vec<(usize, crate::Instruction)>,
    /// Slots that a jump goes to: the code before them may not have run.
    targets: HashSet<usize>,
    symbols: HashMap<usize, &'f str>,
}

enum Value<'f> {
    Number(i32),
    Symbol(&'f str),
}

impl<'f> Code<'f> {
    fn of(function: &'f FunctionSpec) -> Self {
        let (mut instructions, mut slot) = (Vec::new(), 0);
        while let Some(&instruction) = function.instructions.get(slot) {
            instructions.push((slot, instruction));
            slot += instruction.slots().max(1);
        }
        let target = |(slot, instruction): &(usize, crate::Instruction)| {
            let distance = match (instruction.code, instruction.class()) {
                (opcode::JMP_CALL, _) => return None,
                (code, _) if code == opcode::JMP32 | opcode::JA => isize::try_from(instruction.imm).ok()?,
                (_, opcode::JMP | opcode::JMP32) => isize::from(instruction.offset),
                _ => return None,
            };
            (slot + 1).checked_add_signed(distance)
        };
        let targets = instructions.iter().filter_map(target).collect();
        let symbols = function.references.iter().map(|reference| (reference.slot, reference.name.as_str())).collect();
        Self { instructions, targets, symbols }
    }

    /// Returns the value that a register has before the instruction with this index, if the straight-line code before
    /// it loads it as a constant.
    fn last_value(&self, index: usize, mut register: u8) -> Option<Value<'f>> {
        /// Compilers load arguments just before a call.
        const FARTHEST: usize = 256;
        let mut follower = self.instructions.get(index)?.0;
        for &(slot, instruction) in self.instructions.get(..index)?.iter().rev().take(FARTHEST) {
            if self.targets.contains(&follower) {
                return None;
            }
            follower = slot;
            let is_alu = matches!(instruction.class(), opcode::ALU | opcode::ALU64);
            if instruction.is_call() && register <= 5 {
                return None;
            }
            let writes = is_alu || matches!(instruction.class(), opcode::LD | opcode::LDX);
            if !writes || instruction.dst() != register {
                continue;
            }
            let operation = instruction.code & 0xf0;
            match (is_alu && operation == opcode::MOV, instruction.code & opcode::X) {
                (true, opcode::X) => register = instruction.src(),
                (true, _) => return Some(Value::Number(instruction.imm)),
                _ if instruction.is_load_imm64() => return self.symbols.get(&slot).copied().map(Value::Symbol),
                _ => return None,
            }
        }
        None
    }
}
