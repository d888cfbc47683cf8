//! A function as text, for people.
//!
//! ```text
//! uretprobe/getaddrinfo: leave
//! ; src/leave.rs:12: asm.mov(R6, R1); // the context survives calls
//!     0: r6 = r1
//! done:
//!     1: exit
//! ```
//!
//! Instructions are numbered by slot, as the verifier numbers them.

use std::fmt::{self, Display, Formatter};

use cutaway_sys::Helper;

use crate::{
    asm::{Code, Reference, Statement},
    object::ObjectBuilder,
    source::Source,
};

/// A function, its sources, and the object that knows the names of what it refers to.
pub(crate) struct Listing<'a> {
    pub(crate) section: &'a str,
    pub(crate) name: &'a str,
    pub(crate) code: &'a Code,
    pub(crate) sources: &'a [Source],
    pub(crate) names: &'a ObjectBuilder,
}

impl Display for Listing<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", self.section, self.name)?;
        let mut last = None;
        for (slot, statement, labels) in self.code.labelled() {
            for label in labels {
                writeln!(f, "{label}:")?;
            }
            let (file, line) = (statement.at.file(), statement.at.line());
            let source = self.sources.iter().find(|source| source.file == file);
            let text = source.and_then(|source| source.line(line));
            if let Some(text) = text.filter(|_| last != Some((file, line))) {
                writeln!(f, "; {file}:{line}: {text}")?;
            }
            last = Some((file, line));
            write!(f, "{slot:5}: {}", statement.text())?;
            if let Some(name) = self.name_of(statement) {
                write!(f, " <{name}>")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

impl Listing<'_> {
    /// The name of what an instruction refers to: a label, a helper, a map.
    fn name_of(&self, statement: &Statement) -> Option<&str> {
        let instruction = &statement.instruction;
        match statement.reference {
            Some(Reference::Jump(label) | Reference::LongJump(label)) => Some(label.name),
            Some(reference) => self.names.name_of(reference),
            None if instruction.is_call() => Helper::from_id(instruction.imm).map(Helper::name),
            None => None,
        }
    }
}
