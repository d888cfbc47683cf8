//! Finds the map that each call site passes to a helper that sends records.
//!
//! The analysis follows the addresses of maps through the functions of an object before linking:
//!
//! - A 64-bit load whose relocation names a map gives the map's address.
//! - Moves copy it. Stores to the stack and loads from it keep it ([`State`]).
//! - A subprogram's parameters have the values that all of its callers pass. The parameters of programs, callbacks and
//!   exception callbacks are unknown: the kernel calls these functions.
//! - Where paths with different values join, the value is unknown.
//!
//! The result of a call is unknown, also that of a lookup in a map of maps.
//!
//! The analysis is sound for programs that the verifier accepts. The verifier accepts a register as a map only if each
//! path gives it the address by the loads, moves, stores and calls above. In particular, a helper that writes to the
//! stack leaves no address of a map there (`check_stack_range_initialized`, `check_stack_write_var_off` in
//! `kernel/bpf/verifier.c`, Linux 6.18).
//!
//! The instructions are those after CO-RE relocation: an access with a relocated offset may be one to the stack.
//!
//! The effort grows linearly with the object: a value changes at most twice, so each block is read a bounded number of
//! times for each set of parameters, and each parameter changes at most twice. The states of a function with very many
//! values take too much memory: nothing is then known of its calls.

mod paths;
mod references;
mod state;

use std::{
    borrow::Cow,
    collections::{BTreeMap, VecDeque},
};

use cutaway_sys::{Helper, Instruction, instruction::opcode};

use self::{
    references::{Called, References},
    state::{Parameters, State, Value, Writes},
};
use crate::{
    elf::Start,
    instrument::code::{by_slot, calls_back},
    object::{Functions, Object},
    sorted::Sorted,
};

/// The calls that send records, each with the index of its map in [`Object::maps`]. `None` if the call does not always
/// pass the same map, or if the map is unknown. A call is named by its function, and its slot in the function.
pub(in crate::instrument) type MapsOfCalls = Sorted<(Start, usize), Option<usize>>;

/// Finds the map of each call that sends records, in all functions of the object.
///
/// `code` has the functions' instructions as they are linked, by the functions' indices. The object must be as it is
/// loaded: the parameters of a function that becomes a program later are unknown.
pub(in crate::instrument) fn maps_of_calls(object: &Object, code: &[Cow<'_, [Instruction]>]) -> MapsOfCalls {
    let mut analysis = Analysis::of(object, code);
    while let Some(function) = analysis.open.pop_front() {
        analysis.read(function);
    }
    let functions = object.function_table();
    let calls = analysis.sites.into_iter().filter_map(|((function, slot), value)| {
        let (start, _) = functions.pair(function)?;
        let map = match value {
            Some(Value::Map(map)) => Some(map),
            _ => None,
        };
        Some(((*start, slot), map))
    });
    Sorted::in_order(calls.collect())
}

/// Returns the number of the argument register that holds the map, for a helper that sends records. `None` for another
/// helper.
pub(in crate::instrument) fn map_register(helper: Helper) -> Option<u8> {
    match helper {
        Helper::bpf_ringbuf_reserve | Helper::bpf_ringbuf_output | Helper::bpf_ringbuf_reserve_dynptr => Some(1),
        Helper::bpf_perf_event_output | Helper::bpf_skb_output | Helper::bpf_xdp_output => Some(2),
        _ => None,
    }
}

/// r10, the last register that programs can name without arguments on the stack. With them, r11 is the base of the
/// arguments beyond the fifth, of subprograms and kernel functions (`BPF_REG_PARAMS`, `include/linux/filter.h`).
const FRAME: u8 = 10;

struct Analysis<'o> {
    functions: &'o Functions,
    /// The instructions of each function, by its index.
    code: &'o [Cow<'o, [Instruction]>],
    references: References<'o>,
    /// The parameters of each function, by its index; `None` if no call of it was found yet.
    parameters: Vec<Option<Parameters>>,
    /// The functions that have to be read, because their parameters changed.
    open: VecDeque<usize>,
    is_open: Vec<bool>,
    /// The values that the call sites pass, by the function's index and the slot; `None` if no path to a site was found
    /// yet.
    sites: BTreeMap<(usize, usize), Option<Value>>,
}

impl<'o> Analysis<'o> {
    fn of(object: &'o Object, code: &'o [Cow<'o, [Instruction]>]) -> Self {
        let (functions, references) = (object.function_table(), References::of(object));
        let mut analysis = Self {
            functions,
            code,
            references,
            parameters: vec![None; functions.len()],
            open: VecDeque::new(),
            is_open: vec![false; functions.len()],
            sites: BTreeMap::new(),
        };
        let mut called = vec![false; functions.len()];
        let mut starts: Vec<_> = object.programs().iter().map(|program| program.entry).collect();
        for (index, ((start, function), code)) in functions.iter().zip(code).enumerate() {
            starts.extend(function.exception_callback.iter().flatten());
            for (slot, insn) in by_slot(code) {
                match analysis.references.call(*start, slot, insn) {
                    Some(Called::Helper(helper)) if map_register(helper).is_some() => {
                        analysis.sites.insert((index, slot), None);
                    }
                    Some(Called::Function(callee)) => {
                        if let Some(called) = called.get_mut(callee) {
                            *called = true;
                        }
                    }
                    _ => {}
                }
                if insn.is_load_imm64() {
                    starts.extend(analysis.references.function(*start, slot, insn));
                }
            }
        }
        let uncalled = called.iter().enumerate().filter(|(_, called)| !**called).map(|(index, _)| index);
        let starts: Vec<_> = starts.iter().filter_map(|start| functions.position(start)).chain(uncalled).collect();
        for function in starts {
            analysis.pass(function, [Value::Unknown; 5]);
        }
        analysis
    }

    /// Adds a call of a function with these parameters.
    fn pass(&mut self, function: usize, parameters: Parameters) {
        let Some(known) = self.parameters.get_mut(function) else { return };
        let before = *known;
        let joined = known.get_or_insert(parameters);
        for (joined, passed) in joined.iter_mut().zip(parameters) {
            *joined = joined.join(passed);
        }
        if *known != before
            && let Some(is_open) = self.is_open.get_mut(function).filter(|is_open| !**is_open)
        {
            *is_open = true;
            self.open.push_back(function);
        }
    }

    /// Follows the values through a function.
    fn read(&mut self, index: usize) {
        if let Some(is_open) = self.is_open.get_mut(index) {
            *is_open = false;
        }
        let parameters = self.parameters.get(index).copied().flatten();
        let (Some(parameters), Some(&(start, _)), Some(code)) =
            (parameters, self.functions.pair(index), self.code.get(index))
        else {
            return;
        };
        // The called function may get an address of the frame this way.
        let passes_on_stack = code.iter().any(|insn| insn.dst() > FRAME || insn.src() > FRAME);
        paths::follow(code, State::at_entry(parameters), &mut |slot, insn, state| {
            if insn.is_load_imm64() {
                let map = self.references.map(start, slot);
                state.set(insn.dst(), map.map_or(Value::Unknown, Value::Map));
            } else if is_any_call(insn) {
                let keeps_frame = self.call(index, (start, slot), insn, state);
                state.call(if keeps_frame {
                    Writes::Nothing
                } else if passes_on_stack {
                    Writes::Anywhere
                } else {
                    Writes::ByArgument
                });
            } else {
                state.step(insn);
            }
        });
    }

    /// Adds a call. Returns whether it leaves the addresses of maps in the caller's stack frame as they are.
    fn call(&mut self, index: usize, (start, slot): (Start, usize), insn: Instruction, state: &State) -> bool {
        let called = self.references.call(start, slot, insn);
        match called {
            Some(Called::Helper(helper)) => {
                let register = map_register(helper);
                if let Some((register, site)) = register.zip(self.sites.get_mut(&(index, slot))) {
                    let value = state.get(register);
                    *site = Some(site.map_or(value, |known| known.join(value)));
                }
            }
            Some(Called::Function(callee)) => self.pass(callee, state.parameters()),
            _ => {}
        }
        matches!(called, Some(Called::Helper(helper)) if !calls_back(helper))
    }
}

/// Returns whether an instruction calls something, also in forms that no kernel knows yet.
fn is_any_call(insn: Instruction) -> bool {
    insn.class() == opcode::JMP && insn.code & 0xf0 == opcode::CALL
}

#[cfg(test)]
mod tests;
