//! Finds the map that each call site passes.
use crate::{Object, elf::Location, instrument::code::by_slot};
use cutaway_sys::Helper;
pub(in crate::instrument) struct Call {
    pub function: usize,
    pub slot: usize,
    pub helper: Helper,
    pub map: Option<usize>,
}
pub(in crate::instrument) fn maps_of_calls(object: &Object) -> Vec<Call> {
    let mut calls = Vec::new();
    for (index, ((section, address), function)) in object.function_table().iter().enumerate() {
        let mut last = [None; 11];
        for (slot, insn) in by_slot(&function.instructions) {
            if insn.is_load_imm64() {
                last[insn.dst() as usize] = object
                    .elf()
                    .reference(*section, address + slot as u64 * 8)
                    .and_then(|(n, _)| object.maps().iter().position(|m| m.location == Location::Symbol(n)));
            }
            if insn.is_call()
                && insn.src() == 0
                && let Some(helper) = Helper::from_id(insn.imm)
            {
                let r = match helper {
                    Helper::bpf_ringbuf_reserve | Helper::bpf_ringbuf_output | Helper::bpf_ringbuf_reserve_dynptr => 1,
                    Helper::bpf_perf_event_output | Helper::bpf_skb_output | Helper::bpf_xdp_output => 2,
                    _ => continue,
                };
                calls.push(Call { function: index, slot, helper, map: last[r] });
            }
        }
    }
    calls
}
