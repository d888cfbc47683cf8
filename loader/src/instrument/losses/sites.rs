//! The call sites that send records: one counter each.

use std::{borrow::Cow, sync::Arc};

use cutaway_sys::{Helper, Instruction};

use super::map_arguments::maps_of_calls;
use crate::{Error, Object, elf::Start, resolve::Resolved};

/// A call of a helper that sends a record, or reserves one. The programs that contain its function share it.
#[derive(Debug)]
pub(in crate::instrument) struct Site {
    /// The function's start in the object.
    pub(super) function: Start,
    /// The slot of the call in the function.
    pub(super) slot: usize,
    pub(super) helper: Helper,
    /// The index of the map in [`Object::maps`]; `None` if it is not exactly one known map.
    pub(super) map: Option<usize>,
    pub(super) name: String,
    pub(super) line: Option<SourceLine>,
}

/// The source line of a call site.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SourceLine {
    /// The path of the source file, as the compiler recorded it.
    pub file: Arc<str>,
    /// The line; the first line is 1.
    pub line: u32,
    /// The text of the line, without leading and trailing space.
    pub text: Arc<str>,
}

/// The call sites of an object, sorted by function and slot.
#[derive(Debug)]
pub(in crate::instrument) struct Sites(Vec<Site>);

impl Sites {
    /// Finds the call sites in all functions of the object.
    pub(in crate::instrument) fn of(object: &Object, resolved: &Resolved) -> Result<Self, Error> {
        Ok(Self(sites(object, &resolved.code(object)?)))
    }

    pub(in crate::instrument) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn iter(&self) -> std::slice::Iter<'_, Site> {
        self.0.iter()
    }

    /// Returns the sites in a function, each with its index.
    pub(super) fn of_function(&self, function: Start) -> impl Iterator<Item = (usize, &Site)> {
        let first = self.0.partition_point(|site| site.function < function);
        let rest = self.0.get(first..).unwrap_or_default();
        (first..).zip(rest).take_while(move |(_, site)| site.function == function)
    }
}

fn sites(object: &Object, code: &[Cow<'_, [Instruction]>]) -> Vec<Site> {
    let calls = maps_of_calls(object, code);
    if calls.is_empty() {
        return Vec::new();
    }
    // `Object::functions` lists the functions in the order of the table.
    let specs: Vec<_> = object.functions().collect();
    let functions = object.function_table();
    let sites = calls.iter().filter_map(|&((function, slot), map)| {
        let index = functions.position(&function)?;
        let spec = specs.get(index)?;
        let helper = code.get(index)?.get(slot).and_then(|call| Helper::from_id(call.imm))?;
        let before = spec.lines.partition_point(|line| line.slot <= slot);
        let line = before.checked_sub(1).and_then(|index| spec.lines.get(index));
        // The compiler attributes code that belongs to no line to line 0.
        let line = line.filter(|line| line.line != 0).map(|line| SourceLine {
            file: Arc::clone(&line.file),
            line: line.line,
            text: Arc::clone(&line.text),
        });
        Some(Site { function, slot, helper, map, name: spec.name.clone(), line })
    });
    sites.collect()
}
