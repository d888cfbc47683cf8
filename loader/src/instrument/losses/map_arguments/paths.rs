//! Follows all paths through a function, and joins the states where paths meet.

use std::collections::{BTreeMap, BTreeSet};

use cutaway_sys::Instruction;

use super::state::State;
use crate::instrument::code::{Flow, by_slot, flow};

/// Changes a state by the instruction at a slot.
pub(super) type Step<'s> = dyn FnMut(usize, Instruction, &mut State) + 's;

/// Calls `step` for each instruction that can run, with the state before it. Repeats this until no state changes, so
/// the last call for an instruction has the state of all paths to it.
///
/// States are kept at the targets of jumps only. Jumps out of the function are ignored: the verifier refuses them. If
/// the states have more values than [`MOST`], each instruction has at last a state in which nothing is known.
pub(super) fn follow(code: &[Instruction], entry: State, step: &mut Step<'_>) {
    follow_within(MOST, code, entry, step);
}

/// Limit of values in the states of a function, 24 bytes each at most. A function of 20,000 targets, each with ten
/// spilled maps, has 400,000.
const MOST: usize = 1 << 20;

/// Follows all paths with at most `room` values in the states.
pub(super) fn follow_within(room: usize, code: &[Instruction], entry: State, step: &mut Step<'_>) {
    let mut targets = BTreeMap::new();
    for (slot, insn) in by_slot(code) {
        match flow(slot, insn) {
            Flow::Jump(target) | Flow::Branch(target) => {
                if let Some(target) = usize::try_from(target).ok().filter(|target| *target < code.len()) {
                    targets.insert(target, None);
                }
            }
            // The table's jumps can lead to any instruction.
            Flow::Table => return step_alone(code, step),
            Flow::Next | Flow::Exit => {}
        }
    }
    targets.insert(0, Some(Box::new(entry)));
    let mut paths = Paths { states: targets, open: BTreeSet::from([0]), room: Some(room) };
    while let Some(first) = paths.open.pop_first() {
        paths.run(code, first, step);
        if paths.room.is_none() {
            drop(paths);
            return step_alone(code, step);
        }
    }
}

/// Calls `step` for each instruction once, with a state in which nothing is known.
fn step_alone(code: &[Instruction], step: &mut Step<'_>) {
    for (slot, insn) in by_slot(code) {
        step(slot, insn, &mut State::anything());
    }
}

struct Paths {
    /// The states at the function's start and at the targets of jumps; `None` if no path to it was found yet.
    states: BTreeMap<usize, Option<Box<State>>>,
    /// The slots whose state changed.
    open: BTreeSet<usize>,
    /// The number of values for which there is room; `None` if there was too little.
    room: Option<usize>,
}

impl Paths {
    /// Follows the path from the slot `first` to the next slot that has a state.
    fn run(&mut self, code: &[Instruction], first: usize, step: &mut Step<'_>) {
        let Some(Some(state)) = self.states.get(&first) else { return };
        let mut state = State::clone(state);
        let mut slot = first;
        while let Some(&insn) = code.get(slot) {
            step(slot, insn, &mut state);
            let flow = flow(slot, insn);
            if let Flow::Jump(target) | Flow::Branch(target) = flow
                && let Ok(target) = usize::try_from(target)
            {
                self.reach(target, &state);
            }
            if !matches!(flow, Flow::Next | Flow::Branch(_)) {
                return;
            }
            slot += insn.slots();
            if self.states.contains_key(&slot) {
                return self.reach(slot, &state);
            }
        }
    }

    /// Adds a path to a slot.
    fn reach(&mut self, slot: usize, state: &State) {
        let Some(known) = self.states.get_mut(&slot) else { return };
        let before = known.as_ref().map_or(0, |known| known.values());
        let changed = match known {
            Some(known) => known.join(state),
            None => {
                *known = Some(Box::new(state.clone()));
                true
            }
        };
        let after = known.as_ref().map_or(0, |known| known.values());
        self.room = self.room.and_then(|room| (room + before).checked_sub(after));
        if changed {
            self.open.insert(slot);
        }
    }
}
