//! Selects the records to print: by `--filter` and `--only-command`.
//!
//! A record that neither option can judge is not printed, and counted: its type is unknown, it is too short, or it has
//! no process id.

use std::collections::BTreeMap;

use cutaway::btf::{Btf, Value};

use super::{
    command_tree::CommandTree,
    filter::{Enumerators, Filter, Verdict, Wrong},
    record_type::Records,
    type_choice::{Choice, Shape},
};
use crate::{diagnostics, error::CliError};

/// The members that have a process id, by convention. Beside a `tgid`, a `pid` is the id of a thread, as in the kernel.
const PID_MEMBERS: [&str; 2] = ["tgid", "pid"];

/// The options that select records.
pub(super) struct Selection<'a> {
    filter: Option<&'a Filter>,
    /// The enumerators of each BTF that records are decoded by, by its address.
    enumerators: BTreeMap<*const Btf<'a>, Enumerators>,
    tree: Option<&'a CommandTree>,
    /// Records that were judged, and those of them that are printed.
    judged: u64,
    printed: u64,
    /// Records that the filter cannot judge, and records without a process id.
    unknown: u64,
    without_pid: u64,
}

impl<'a> Selection<'a> {
    /// Makes the selection, and checks the filter against the types that records are known to have.
    pub(super) fn new(
        filter: Option<&'a Filter>,
        tree: Option<&'a CommandTree>,
        sources: &[Records<'a>],
    ) -> Result<Self, CliError> {
        let mut selection =
            Self { filter, enumerators: BTreeMap::new(), tree, judged: 0, printed: 0, unknown: 0, without_pid: 0 };
        selection.check_filter(sources)?;
        selection.check_pids(sources)?;
        Ok(selection)
    }

    /// Checks the filter: it must fit a type, and the other types may only lack a name in it.
    fn check_filter(&mut self, sources: &[Records<'a>]) -> Result<(), CliError> {
        let Some(filter) = self.filter else { return Ok(()) };
        let (mut fits, mut lacking): (bool, Vec<(String, Wrong)>) = (false, Vec::new());
        for records in sources {
            for shape in records.known_shapes() {
                let zeros = vec![0; shape.size];
                match filter.check(&shape.btf.value(shape.id, &zeros), self.enumerators_of(shape.btf)) {
                    Ok(()) => fits = true,
                    Err(wrong) if wrong.unknown_name => {
                        lacking.push((format!("`{}` ({})", records.map(), shape.name()), wrong));
                    }
                    Err(wrong) => return Err(error(&wrong)),
                }
            }
        }
        let are_known = sources.iter().all(Records::are_known);
        match lacking.first() {
            Some((_, wrong)) if !fits && are_known => return Err(error(wrong)),
            _ if !fits => diagnostics::say(
                "--filter: not all types of the records are known yet; a record of an unknown type is not printed",
            ),
            _ => {}
        }
        for (records, wrong) in &lacking {
            diagnostics::say(&format!("--filter: no record of {records} is printed: {}", wrong.why));
        }
        Ok(())
    }

    /// Checks that records have a process id.
    fn check_pids(&self, sources: &[Records<'a>]) -> Result<(), CliError> {
        if self.tree.is_none() {
            return Ok(());
        }
        let has_pid = |shape: &Shape<'a>| pid(&shape.btf.value(shape.id, &vec![0; shape.size])).is_some();
        let lacks =
            |records: &&Records<'a>| records.are_known() && !records.known_shapes().any(|shape| has_pid(&shape));
        let without: Vec<_> = sources.iter().filter(lacks).map(|records| format!("`{}`", records.map())).collect();
        if without.len() == sources.len() {
            return Err(CliError::new(
                "--only-command: no record has a process id: a member `pid` or `tgid` that is an integer; drop \
                 --only-command, or use --filter",
            ));
        }
        for map in without {
            diagnostics::say(&format!(
                "--only-command: no record of {map} is printed: it has no member `pid` or `tgid`"
            ));
        }
        Ok(())
    }

    /// Returns whether a record is printed.
    pub(super) fn admits(&mut self, bytes: &[u8], records: &Records<'a>) -> Result<bool, CliError> {
        if !self.is_active() {
            return Ok(true);
        }
        self.judged += 1;
        let (choice, size) = records.of(bytes.len());
        let bytes = bytes.get(..size).unwrap_or(bytes);
        let Choice::Known(shape, _) = choice else {
            self.unknown += u64::from(self.filter.is_some());
            self.without_pid += u64::from(self.tree.is_some() && self.filter.is_none());
            return Ok(false);
        };
        let (value, _) = shape.read(bytes);
        if let Some(filter) = self.filter {
            match filter.verdict(&value, self.enumerators_of(shape.btf)) {
                Verdict::Matches => {}
                Verdict::Differs => return Ok(false),
                Verdict::Unknown => {
                    self.unknown += 1;
                    return Ok(false);
                }
            }
        }
        if let Some(tree) = self.tree {
            let Some(pid) = pid(&value) else {
                self.without_pid += 1;
                return Ok(false);
            };
            if !tree.contains(pid)? {
                return Ok(false);
            }
        }
        self.printed += 1;
        Ok(true)
    }

    /// Returns whether an option selects records.
    pub(super) fn is_active(&self) -> bool {
        self.filter.is_some() || self.tree.is_some()
    }

    /// Returns whether every record was judged, and no process of COMMAND is missing.
    pub(super) fn has_judged_all(&self) -> bool {
        let followed = self.tree.map(CommandTree::not_followed).is_none_or(|missing| matches!(missing, Ok(0)));
        self.unknown == 0 && self.without_pid == 0 && followed
    }

    /// Returns a sentence about the records that are not printed; `None` if no option selects records.
    pub(super) fn sentence(&self) -> Option<String> {
        if !self.is_active() {
            return None;
        }
        let mut sentence = format!("printed {} of {} records", self.printed, self.judged);
        for (count, what) in [
            (self.unknown, "cannot be judged by --filter: the type is unknown, or has no such member or value"),
            (self.without_pid, "have no process id for --only-command"),
        ] {
            if count > 0 {
                sentence.push_str(&format!("; {count} {what}"));
            }
        }
        match self.tree.map(CommandTree::not_followed) {
            None | Some(Ok(0)) => {}
            Some(Ok(count)) => sentence.push_str(&format!(
                "; the records of {count} or more processes of COMMAND are missing: the set of them was full"
            )),
            Some(Err(error)) => {
                sentence.push_str(&format!("; it is unknown whether processes of COMMAND are missing: {error}"));
            }
        }
        Some(sentence)
    }

    /// Returns the enumerators of this BTF, which are collected once.
    fn enumerators_of(&mut self, btf: &'a Btf<'a>) -> &Enumerators {
        self.enumerators.entry(std::ptr::from_ref(btf)).or_insert_with(|| Enumerators::of(btf))
    }
}

/// Returns the process id of a record, by the name of the member. A member of the record comes before those of nested
/// structures.
pub(super) fn pid(record: &Value<'_>) -> Option<u32> {
    let Value::Struct(fields) = record else { return None };
    let number = |value: &Value<'_>| match value {
        Value::Unsigned(pid) => u32::try_from(*pid).ok(),
        Value::Signed(pid) => u32::try_from(*pid).ok(),
        _ => None,
    };
    let named = |name: &&str| number(&fields.iter().find(|(known, _)| known == name)?.1);
    PID_MEMBERS.iter().find_map(named).or_else(|| fields.iter().find_map(|(_, value)| pid(value)))
}

fn error(wrong: &Wrong) -> CliError {
    CliError::new(format!("--filter: {wrong}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn process_id_is_found_by_name() {
        let of = |fields| pid(&Value::Struct(fields));
        let nested = |name: &'static str, pid| Value::Struct(vec![(name.into(), Value::Unsigned(pid))]);
        assert_eq!(of(vec![("tgid".into(), Value::Signed(5)), ("pid".into(), Value::Unsigned(6))]), Some(5));
        assert_eq!(of(vec![("pid".into(), Value::Unsigned(6)), ("tgid".into(), Value::Signed(5))]), Some(5));
        assert_eq!(of(vec![("call".into(), nested("pid", 7)), ("tgid".into(), Value::Signed(5))]), Some(5));
        assert_eq!(of(vec![("other".into(), nested("id", 7)), ("call".into(), nested("tgid", 8))]), Some(8));
        assert_eq!(of(vec![("pid".into(), Value::Text(b"1"))]), None);
        assert_eq!(of(vec![("pid".into(), Value::Signed(-1)), ("call".into(), nested("id", 7))]), None);
    }
}
