//! Finds the call sites that submit records, and reads map, size, flags and slot from their arguments.
//!
//! The records of a ring have no type, and those of a perf buffer no exact size. But before a program calls
//! `bpf_ringbuf_reserve` or `bpf_perf_event_output`, it loads the map and the size into registers, mostly as constants:
//!
//! ```text
//!     r1 = events ll                          the map
//!     w2 = 24                                 the size in bytes
//!     w3 = 0
//!     call bpf_ringbuf_reserve                its line of source, if BTF has it, may name the type
//! ```
//!
//! So registers are interpreted through each straight-line part of a function. At the target of a jump all of them
//! become unknown. Nothing is guessed.
//!
//! The registers also hold the flags of a commit to a ring: `BPF_RB_NO_WAKEUP` does not wake the reader. And they hold
//! the slot of a perf event array: the kernel refuses a slot whose event counts on another CPU
//! (`kernel/trace/bpf_trace.c`, `__bpf_perf_event_output`).

mod code;
mod registers;

use std::collections::HashSet;

use cutaway::{Helper, Instruction, Object, instruction::opcode};

pub(crate) use self::code::Code;
use self::registers::{RegValue, Registers, helper};

/// A call that submits a record, or reserves one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SubmitSite {
    /// The map's name.
    pub(super) map: String,
    /// Size in bytes; `None` if it is not a constant.
    pub(super) size: Option<u32>,
    /// The line of source of the call; empty if the object has no line info.
    pub(super) line: String,
    /// The map whose value is submitted, if it was looked up just before.
    pub(super) value_of: Option<String>,
}

/// A call that commits a record to a ring and does not wake the reader, or may not wake it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NoWakeup {
    /// The ring's name; `None` if unknown.
    pub(super) map: Option<String>,
    /// True if the flags are a constant with `BPF_RB_NO_WAKEUP`; false if they are not a constant.
    pub(super) certain: bool,
}

/// `BPF_RB_NO_WAKEUP` (`include/uapi/linux/bpf.h`).
const NO_WAKEUP: i64 = 1;

/// `BPF_F_INDEX_MASK`, and its value `BPF_F_CURRENT_CPU`: the lower half of the flags (`include/uapi/linux/bpf.h`).
const CURRENT_CPU: u32 = u32::MAX;

/// Finds the call sites in all functions of an object.
pub(super) fn of(object: &Object) -> SubmitSites {
    let mut sites = SubmitSites::default();
    for function in object.functions() {
        sites.add(&Code::from(&function));
    }
    sites
}

/// The call sites of an object.
#[derive(Debug, Default)]
pub(crate) struct SubmitSites {
    /// The calls that submit records to a known map.
    pub(crate) submits: Vec<SubmitSite>,
    /// The calls that do not wake a ring's reader, or may not wake it.
    pub(super) no_wakeups: Vec<NoWakeup>,
    /// The constant slots of perf event arrays that programs use, each with the array's name.
    slots: Vec<(String, u32)>,
}

impl SubmitSites {
    /// Adds the call sites in a function.
    pub(crate) fn add(&mut self, function: &Code) {
        in_function(function, self);
    }

    /// Returns the constant slot of the perf event array `map` that a program uses on every CPU. `None` if all programs
    /// use the slot of their CPU, or one that is not a constant.
    pub(super) fn slot_on(&self, map: &str) -> Option<u32> {
        self.slots.iter().find(|(name, _)| name == map).map(|(_, slot)| *slot)
    }

    /// Returns a sentence on the calls that do not wake the reader of the ring `map`; `None` if there is no such call.
    pub(super) fn no_wakeup_on(&self, map: &str) -> Option<&'static str> {
        let mine = || self.no_wakeups.iter().filter(|call| call.map.as_deref().is_none_or(|name| name == map));
        match (mine().next(), mine().any(|call| call.certain)) {
            (None, _) => None,
            (_, true) => Some("a program sends with BPF_RB_NO_WAKEUP, which wakes no reader"),
            (_, false) => {
                Some("a program computes its flags, and may send with BPF_RB_NO_WAKEUP, which wakes no reader")
            }
        }
    }
}

/// `BPF_JMP32 | BPF_JA`, whose distance is in the immediate.
const LONG_JUMP: u8 = opcode::JMP32 | opcode::JA;
const EXIT: u8 = opcode::JMP | opcode::EXIT;

/// Adds the call sites in a function to `sites`.
fn in_function(function: &Code, sites: &mut SubmitSites) {
    let code: Vec<(usize, Instruction)> = by_slot(&function.instructions);
    let jump_targets: HashSet<usize> =
        code.iter().filter_map(|(slot, instruction)| target(*slot, instruction)).collect();
    let mut registers = Registers::unknown();
    for (slot, instruction) in &code {
        if jump_targets.contains(slot) {
            registers = Registers::unknown();
        }
        if let Some(Arguments { map, size, data }) = helper(instruction).and_then(arguments)
            && let RegValue::Symbol(map) = registers.get(map)
        {
            let size = match registers.get(size) {
                RegValue::Number(size) => u32::try_from(size).ok(),
                _ => None,
            };
            let value_of = match data.map(|data| registers.get(data)) {
                Some(RegValue::Value(map)) => Some(map.to_owned()),
                _ => None,
            };
            let line = function.lines.iter().rev().find(|(start, _)| start <= slot).map(|(_, text)| text.clone());
            sites.submits.push(SubmitSite { map: map.to_owned(), size, line: line.unwrap_or_default(), value_of });
        }
        if let Some((map, flags)) = helper(instruction).and_then(output_registers)
            && let (RegValue::Symbol(map), RegValue::Number(flags)) = (registers.get(map), registers.get(flags))
            && let Ok(slot) = u32::try_from(flags & i64::from(CURRENT_CPU))
            && slot != CURRENT_CPU
        {
            sites.slots.push((map.to_owned(), slot));
        }
        if let Some((ring, flags)) = helper(instruction).and_then(commit_registers) {
            let map = match registers.get(ring) {
                RegValue::Symbol(map) | RegValue::Record(map) => Some(map.to_owned()),
                _ => None,
            };
            match registers.get(flags) {
                RegValue::Number(flags) if flags & NO_WAKEUP == 0 => {}
                flags => sites.no_wakeups.push(NoWakeup { map, certain: matches!(flags, RegValue::Number(_)) }),
            }
        }
        registers.step(*slot, instruction, function);
    }
}

/// Returns whether a function of the object calls one of these helpers.
pub(super) fn calls(object: &Object, helpers: &[Helper]) -> bool {
    let is_call = |instruction: &Instruction| helper(instruction).is_some_and(|helper| helpers.contains(&helper));
    object.functions().any(|function| function.instructions.iter().any(is_call))
}

/// Returns each instruction with its slot. Omits the second slots of 64-bit loads.
fn by_slot(instructions: &[Instruction]) -> Vec<(usize, Instruction)> {
    let mut code = Vec::new();
    let mut slot = 0;
    while let Some(&instruction) = instructions.get(slot) {
        code.push((slot, instruction));
        slot += instruction.slots();
    }
    code
}

/// Returns the slot that a jump at `slot` goes to; `None` for another instruction.
fn target(slot: usize, instruction: &Instruction) -> Option<usize> {
    let distance = match (instruction.code, instruction.class()) {
        (opcode::JMP_CALL | EXIT, _) => return None,
        (LONG_JUMP, _) => isize::try_from(instruction.imm).ok()?,
        (_, opcode::JMP | opcode::JMP32) => isize::from(instruction.offset),
        _ => return None,
    };
    (slot + 1).checked_add_signed(distance)
}

/// The registers that hold the arguments of a helper that submits a record.
struct Arguments {
    map: u8,
    size: u8,
    /// The address of the record; `None` if the program writes the record later.
    data: Option<u8>,
}

fn arguments(helper: Helper) -> Option<Arguments> {
    match helper {
        Helper::bpf_ringbuf_reserve | Helper::bpf_ringbuf_reserve_dynptr => {
            Some(Arguments { map: 1, size: 2, data: None })
        }
        Helper::bpf_ringbuf_output => Some(Arguments { map: 1, size: 3, data: Some(2) }),
        Helper::bpf_perf_event_output | Helper::bpf_skb_output | Helper::bpf_xdp_output => {
            Some(Arguments { map: 2, size: 5, data: Some(4) })
        }
        _ => None,
    }
}

/// Returns the registers that hold the perf event array, and the flags with the slot.
fn output_registers(helper: Helper) -> Option<(u8, u8)> {
    let sends = matches!(helper, Helper::bpf_perf_event_output | Helper::bpf_skb_output | Helper::bpf_xdp_output);
    sends.then_some((2, 3))
}

/// Returns the registers that hold the record or the ring, and the flags, of a helper that commits to a ring.
fn commit_registers(helper: Helper) -> Option<(u8, u8)> {
    match helper {
        Helper::bpf_ringbuf_output => Some((1, 4)),
        Helper::bpf_ringbuf_submit
        | Helper::bpf_ringbuf_discard
        | Helper::bpf_ringbuf_submit_dynptr
        | Helper::bpf_ringbuf_discard_dynptr => Some((1, 2)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use cutaway_programs::{getaddrinfo::Transport, prelude::*};

    use super::*;

    #[test]
    fn sizes_are_read_from_the_instructions() {
        for transport in [Transport::PerfStack, Transport::PerfHeap, Transport::Ring] {
            let object = Object::parse(&transport.object().unwrap()).unwrap();
            let sent = of(&object).submits;
            let size = u32::try_from(transport.event_size()).unwrap();
            assert!(
                !sent.is_empty() && sent.iter().all(|sent| sent.map == "events" && sent.size == Some(size)),
                "{transport}: {sent:?}"
            );
        }
    }

    #[test]
    fn submit_site_has_its_line_of_source() {
        let object = include_bytes!("../../../tests/corpus/events/named.o");
        let sent = of(&Object::parse(object).unwrap()).submits;
        assert!(
            matches!(sent.as_slice(), [sent] if sent.size == Some(8) && sent.line.contains("sizeof(struct one)")),
            "{sent:?}"
        );
    }

    #[test]
    fn computed_size_is_unknown() {
        let object = include_bytes!("../../../tests/corpus/events/lengths.o");
        let sizes: Vec<_> = of(&Object::parse(object).unwrap()).submits.iter().map(|sent| sent.size).collect();
        assert_eq!(sizes, [Some(8), Some(16), None]);
    }

    /// Returns the call sites of an object whose only program commits a record with these flags.
    fn commit_with(flags: impl FnOnce(&mut Assembler)) -> SubmitSites {
        let mut object = ObjectBuilder::new("GPL");
        let ring = object.map("rb", MapDef::new(MapType::RINGBUF).max_entries(4096));
        object.map("other", MapDef::new(MapType::RINGBUF).max_entries(4096));
        let mut asm = Assembler::new();
        let full = asm.label("full");
        asm.load_map(R1, ring);
        asm.mov(R2, 8);
        asm.mov(R3, 0);
        asm.call(Helper::bpf_ringbuf_reserve);
        asm.jump_if(Eq, R0, 0, full);
        asm.mov(R1, R0);
        flags(&mut asm);
        asm.call(Helper::bpf_ringbuf_submit);
        asm.bind(full);
        asm.mov(R0, 0);
        asm.exit();
        object.program("raw_tracepoint/sys_enter", "sends", asm);
        of(&Object::parse(&object.write().unwrap()).unwrap())
    }

    #[test]
    fn no_wakeup_flag_is_found() {
        let forced = commit_with(|asm| asm.mov(R2, 2)); // BPF_RB_FORCE_WAKEUP
        assert_eq!((forced.no_wakeups.as_slice(), forced.no_wakeup_on("rb")), (&[][..], None));
        let certain = commit_with(|asm| asm.mov(R2, 1));
        assert_eq!(certain.no_wakeups, [NoWakeup { map: Some("rb".to_owned()), certain: true }]);
        assert!(certain.no_wakeup_on("rb").unwrap().starts_with("a program sends with BPF_RB_NO_WAKEUP"));
        assert_eq!(certain.no_wakeup_on("other"), None);
        let possible = commit_with(|asm| asm.load(DW, R2, R10, -8));
        assert_eq!(possible.no_wakeups, [NoWakeup { map: Some("rb".to_owned()), certain: false }]);
        assert!(possible.no_wakeup_on("rb").unwrap().starts_with("a program computes its flags"));
    }

    #[test]
    fn constant_slot_is_found() {
        let slot = |flags: fn(&mut Assembler)| {
            let mut object = ObjectBuilder::new("GPL");
            let definition = MapDef::new(MapType::PERF_EVENT_ARRAY).key_size(4).value_size(4);
            let events = object.map("events", definition);
            let mut asm = Assembler::new();
            asm.store(DW, R10, -8, 0);
            asm.load_map(R2, events);
            flags(&mut asm);
            asm.mov(R4, R10);
            asm.add(R4, -8);
            asm.mov(R5, 8);
            asm.call(Helper::bpf_perf_event_output);
            asm.mov(R0, 0);
            asm.exit();
            object.program("raw_tracepoint/sys_enter", "sends", asm);
            let sites = of(&Object::parse(&object.write().unwrap()).unwrap());
            assert_eq!(sites.slot_on("other"), None);
            sites.slot_on("events")
        };
        assert_eq!(slot(|asm| asm.mov(R3, 1)), Some(1));
        // BPF_F_CURRENT_CPU: 32 bits, and sign-extended.
        assert_eq!(slot(|asm| asm.mov(W3, -1)), None);
        assert_eq!(slot(|asm| asm.mov(R3, -1)), None);
        // Not a constant: usually the id of the current CPU.
        assert_eq!(slot(|asm| asm.load(DW, R3, R10, -8)), None);
    }

    #[test]
    fn submitted_map_value_is_found() {
        let mut object = ObjectBuilder::new("GPL");
        let events = object.map("events", MapDef::new(MapType::PERF_EVENT_ARRAY).key_size(4).value_size(4));
        let heap = object.map("heap", MapDef::new(MapType::PERCPU_ARRAY).key_size(4).value_size(600).max_entries(1));
        let mut asm = Assembler::new();
        let none = asm.label("none");
        asm.mov(R6, R1);
        asm.store(W, R10, -4, 0);
        asm.load_map(R1, heap);
        asm.mov(R2, R10);
        asm.add(R2, -4);
        asm.call(Helper::bpf_map_lookup_elem);
        asm.jump_if(Eq, R0, 0, none);
        asm.mov(R4, R0);
        asm.mov(R1, R6);
        asm.load_map(R2, events);
        asm.mov(W3, -1);
        asm.mov(R5, 600);
        asm.call(Helper::bpf_perf_event_output);
        asm.bind(none);
        asm.mov(R0, 0);
        asm.exit();
        object.program("raw_tracepoint/sys_enter", "sends", asm);
        let sent = of(&Object::parse(&object.write().unwrap()).unwrap()).submits;
        let expected = |sent: &SubmitSite| sent.size == Some(600) && sent.value_of.as_deref() == Some("heap");
        assert!(matches!(sent.as_slice(), [sent] if sent.map == "events" && expected(sent)), "{sent:?}");
    }
}
