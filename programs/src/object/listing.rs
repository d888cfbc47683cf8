//! Prints functions as text.
//!
//! ```text
//! uretprobe/getaddrinfo: leave
//! ; src/leave.rs:12: asm.mov(R6, R1); // the context survives calls
//!     0: r6 = r1
//! done:
//!     1: exit
//! ```
//!
//! The index in front of an instruction is its slot, as in the verifier's log.

use std::fmt::{self, Display, Formatter, Write as _};

use cutaway_sys::Helper;

use super::ObjectBuilder;
use crate::{
    asm::{Code, Reference, Statement},
    error::Error,
    source::Source,
};

impl ObjectBuilder {
    /// Returns all functions as text: the Rust lines, the instructions, and the names of their references.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    pub fn listing(&self) -> Result<String, Error> {
        self.check()?;
        let mut text = String::new();
        for function in &self.functions {
            let code = function.item.code.as_ref().map_err(Clone::clone)?;
            let listing = Listing {
                section: function.item.section(),
                name: &function.name,
                code,
                sources: &self.sources,
                names: self,
            };
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{listing}");
        }
        Ok(text)
    }

    fn name_of(&self, reference: crate::asm::Reference) -> Option<&str> {
        use crate::asm::Reference::*;
        match reference {
            Map(map) => self.maps.get(map.index).map(|map| map.name.as_str()),
            Variable(variable) => {
                let variable = self.variables.get(variable.index);
                variable.map(|variable| variable.name.as_str())
            }
            Call(function) | Function(function) => {
                let function = self.functions.get(function.index);
                function.map(|function| function.name.as_str())
            }
            Jump(_) | LongJump(_) => None,
        }
    }
}

/// A function, its sources, and the object that knows the names of its references.
struct Listing<'a> {
    section: &'a str,
    name: &'a str,
    code: &'a Code,
    sources: &'a [Source],
    names: &'a ObjectBuilder,
}

impl Display for Listing<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", self.section, self.name)?;
        let mut last = None;
        for (slot, statement, labels) in self.code.labeled() {
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
    /// Returns the name of an instruction's reference: a label, a helper, a map, a variable or a function.
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
