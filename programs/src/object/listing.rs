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

use std::fmt::{self, Display, Formatter, Write as _};

use cutaway_sys::Helper;

use super::ObjectBuilder;
use crate::{
    asm::{Code, Reference, Statement},
    error::Error,
    source::Source,
};

impl ObjectBuilder {
    /// All functions as text: the Rust lines, the instructions, and what they refer to by name.
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

/// A function, its sources, and the object that knows the names of what it refers to.
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
