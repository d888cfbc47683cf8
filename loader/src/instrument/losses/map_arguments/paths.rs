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
/// States are kept at the targets of jumps only. Jumps out of the function are ignored: the verifier refuses them.
pub(super) fn follow(code: &[Instruction], entry: State, step: &mut Step<'_>) {
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
    targets.insert(0, Some(entry));
    let mut paths = Paths { states: targets, open: BTreeSet::from([0]) };
    while let Some(first) = paths.open.pop_first() {
        paths.run(code, first, step);
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
    states: BTreeMap<usize, Option<State>>,
    /// The slots whose state changed.
    open: BTreeSet<usize>,
}

impl Paths {
    /// Follows the path from the slot `first` to the next slot that has a state.
    fn run(&mut self, code: &[Instruction], first: usize, step: &mut Step<'_>) {
        let Some(Some(mut state)) = self.states.get(&first).cloned() else { return };
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
        let changed = match self.states.get_mut(&slot) {
            Some(Some(known)) => known.join(state),
            Some(known) => {
                *known = Some(state.clone());
                true
            }
            None => false,
        };
        if changed {
            self.open.insert(slot);
        }
    }
}
