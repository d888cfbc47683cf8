//! Computes the report of an object: a line ran if one of its instructions is in a block that ran.

//!
//! Compilers give no line to some instructions, such as moves of constants at the beginning of a block. The format
//! cannot express that: an instruction without a record of its own follows the record of another instruction, perhaps
//! of another block. So the block in which a record begins decides whether the line ran.
//!
//! LLVM: `BTFDebug::beginInstruction` in `llvm/lib/Target/BPF/BTFDebug.cpp` skips instructions without a `DebugLoc`.

use std::{ops::Range, sync::Arc};

use super::{
    function::{FunctionRun, is_source},
    parts::{self, Part},
    unlined::leading_to_unlined,
    values::{CoverageReport, FileCoverage, FunctionCoverage, Run},
};
use crate::{
    Instruction,
    instrument::code::{Flow, flow},
};

impl CoverageReport {
    /// Returns the report of one run of an object with these functions.
    pub(crate) fn of<'a>(functions: impl Iterator<Item = FunctionRun<'a>>) -> Self {
        let mut report = Self::default();
        let mut all = Vec::new();
        for (number, function) in functions.enumerate() {
            report.add(number, function, &mut all);
        }
        report.files.extend(parts::lines(all));
        report.sort(Run::join);
        report
    }

    /// Adds a function, and its lines to `parts`.
    fn add(&mut self, number: usize, function: FunctionRun<'_>, parts: &mut Vec<Part>) {
        let runs = function.blocks.iter().map(|(_, ran)| run(*ran)).reduce(Run::join).unwrap_or(Run::NotMeasured);
        let coverage = |line| FunctionCoverage { name: function.name.to_owned(), line, runs };
        let Some(first) = function.lines.iter().find(|line| is_source(line)) else {
            self.functions_without_lines.push(coverage(None));
            return;
        };
        let functions = vec![coverage(Some(first.line))];
        self.files.push(FileCoverage { path: Arc::clone(&first.file), lines: Vec::new(), functions });
        let slots = Slots::of(function);
        let partial = leading_to_unlined(&function, |slot| slots.block(slot));
        let ends = function.lines.iter().skip(1).map(|line| line.slot).chain([function.instructions.len()]);
        for (line, end) in function.lines.iter().zip(ends).filter(|(line, _)| is_source(line)) {
            // Without an instruction, the line has nothing to run.
            let Some(runs) = slots.run_of(line.slot..end) else { continue };
            parts.push(Part {
                path: Arc::clone(&line.file),
                line: line.line,
                column: line.column,
                text: Some(&line.text).filter(|text| !text.is_empty()).cloned(),
                function: number,
                runs,
                is_partial: partial.contains(&line.slot),
            });
        }
    }
}

/// The slots of a function, each with its block and whether that ran. Slots in no block are not measured.
struct Slots<'a> {
    instructions: &'a [Instruction],
    blocks: Vec<(Option<usize>, Run)>,
}

impl<'a> Slots<'a> {
    fn of(function: FunctionRun<'a>) -> Self {
        let instructions = function.instructions;
        let mut blocks = vec![(None, Run::NotMeasured); instructions.len()];
        for (index, (range, ran)) in function.blocks.iter().enumerate() {
            if let Some(slots) = blocks.get_mut(range.start..range.end.min(instructions.len())) {
                slots.fill((Some(index), run(*ran)));
            }
        }
        Self { instructions, blocks }
    }

    /// Returns the block that contains this slot.
    fn block(&self, slot: usize) -> Option<usize> {
        self.blocks.get(slot)?.0
    }

    /// Returns whether the line of these slots ran. `None` if there are no slots.
    ///
    /// If the first block did not run and a later one did, the line is unknown: the compiler may have given no line to
    /// the later instructions. After a jump without a condition, other code begins.
    fn run_of(&self, slots: Range<usize>) -> Option<Run> {
        let start = slots.start;
        let slots = self.blocks.get(slots)?;
        let &(mut block, first) = slots.first()?;
        for (slot, &(next, runs)) in (start..).zip(slots).skip(1) {
            let previous = self.instructions.get(slot - 1).copied();
            if next != block
                && previous.is_some_and(|insn| matches!(flow(slot - 1, insn), Flow::Jump(_) | Flow::Exit | Flow::Table))
            {
                break;
            }
            if !first.ran() && runs != first {
                return Some(Run::NotMeasured);
            }
            block = next;
        }
        Some(first)
    }
}

fn run(ran: Option<bool>) -> Run {
    match ran {
        Some(true) => Run::Ran(1),
        Some(false) => Run::NotRun,
        None => Run::NotMeasured,
    }
}
