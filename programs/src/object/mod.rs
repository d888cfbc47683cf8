//! The object: programs, functions, maps and variables under one license, written as an ELF file.
//!
//! [`ObjectBuilder`] collects them and returns handles that instructions refer to. Three modules write it: `elf.rs` the
//! sections, symbols and relocations, `maps.rs` the maps as types, `lines.rs` the Rust lines of the instructions. The
//! content is checked when the object is written, so that building needs no error handling. The first error is reported
//! with the Rust line that caused it.

mod check;
mod elf;
mod lines;
mod listing;
mod maps;

use std::panic::Location;

use crate::{
    asm::{Assembler, Code},
    btf::{Describe, Linkage, Signature, Type},
    error::{At, Error},
    handle::{FunctionRef, MapRef, Owner, VariableRef},
    instruction::ByteOrder,
    map::MapDef,
    source::Source,
    variable::Variable,
};

/// The section of functions that are not programs.
const TEXT: &str = ".text";

/// Builds an object file. See the [crate's documentation](crate) for a complete one.
#[derive(Debug)]
#[must_use = "an object that is not written does nothing"]
pub struct ObjectBuilder {
    owner: Owner,
    order: ByteOrder,
    license: String,
    sources: Vec<Source>,
    maps: Vec<Named<MapDef>>,
    variables: Vec<Named<Global>>,
    functions: Vec<Named<Function>>,
    types: Vec<Type>,
}

/// An item of the object, its name, and the Rust line that added it.
#[derive(Debug)]
struct Named<T> {
    name: String,
    at: At,
    item: T,
}

#[derive(Debug)]
struct Global {
    section: String,
    variable: Variable,
}

#[derive(Debug)]
struct Function {
    /// The program's section; `None` for a function that others call, which goes to `.text`.
    program: Option<String>,
    signature: Signature,
    linkage: Linkage,
    code: Result<Code, Error>,
}

impl ObjectBuilder {
    /// Creates an empty object under this license, in the byte order of this machine. Helpers reserved to the GPL need
    /// `GPL` or `Dual MIT/GPL`, for instance; `bpf_probe_read_user` and `bpf_perf_event_output` are among them.
    pub fn new(license: &str) -> Self {
        Self {
            owner: Owner::new(),
            order: ByteOrder::HOST,
            license: license.to_owned(),
            sources: Vec::new(),
            maps: Vec::new(),
            variables: Vec::new(),
            functions: Vec::new(),
            types: Vec::new(),
        }
    }

    /// Sets the byte order of the target machine.
    pub fn byte_order(mut self, order: ByteOrder) -> Self {
        self.order = order;
        self
    }

    /// Adds the source of a module that builds programs: `object.source(source!("leave.rs"))`. The verifier and
    /// listings then quote its lines.
    pub fn source(&mut self, source: Source) {
        self.sources.push(source);
    }

    /// Adds a map.
    #[track_caller]
    pub fn map(&mut self, name: &str, definition: MapDef) -> MapRef {
        self.maps.push(Named::new(name, definition));
        MapRef { owner: self.owner, index: self.maps.len() - 1 }
    }

    /// Adds a global variable to a section. `.rodata` is for variables that user space sets before loading; the
    /// verifier then treats them as constants. `.data` and `.bss` (all zeroes) are for variables that change. A suffix,
    /// such as `.data.counters`, makes a section, and so a map, of its own. Needs Linux 5.2.
    #[track_caller]
    pub fn variable(&mut self, section: &str, name: &str, variable: Variable) -> VariableRef {
        let section = section.to_owned();
        self.variables.push(Named::new(name, Global { section, variable }));
        VariableRef { owner: self.owner, index: self.variables.len() - 1 }
    }

    /// Adds a type that no map or variable has, so that tools find it: for instance, an event that is sent through a
    /// ring.
    pub fn describe<T: Describe>(&mut self) {
        self.types.push(T::describe());
    }

    /// Adds a program to a section. The section's name gives the attach target in libbpf's syntax:
    /// `uretprobe/libc.so.6:getaddrinfo`, `tracepoint/sched/sched_process_exec`. Several programs can share one.
    #[track_caller]
    pub fn program(&mut self, section: &str, name: &str, code: Assembler) {
        let (program, signature) = (Some(section.to_owned()), Signature::program());
        self.add(program, name, signature, Linkage::Global, code);
    }

    /// Adds a function that programs and other functions call with [`Assembler::call_function`]. The verifier checks it
    /// again for each caller, with the state of the arguments there. Needs Linux 4.16.
    #[track_caller]
    pub fn function(&mut self, name: &str, signature: Signature, code: Assembler) -> FunctionRef {
        self.add(None, name, signature, Linkage::Static, code)
    }

    /// Adds a function that is verified once for all callers, by its signature alone. Needs Linux 5.6.
    #[track_caller]
    pub fn global_function(&mut self, name: &str, signature: Signature, code: Assembler) -> FunctionRef {
        self.add(None, name, signature, Linkage::Global, code)
    }

    #[track_caller]
    fn add(
        &mut self,
        program: Option<String>,
        name: &str,
        signature: Signature,
        linkage: Linkage,
        code: Assembler,
    ) -> FunctionRef {
        let function = Function { program, signature, linkage, code: code.finish() };
        self.functions.push(Named::new(name, function));
        FunctionRef { owner: self.owner, index: self.functions.len() - 1 }
    }

    /// Returns the object file's bytes. The same object gives the same bytes.
    ///
    /// # Errors
    ///
    /// The first error, with the Rust line that caused it: see [`Error`].
    pub fn write(&self) -> Result<Vec<u8>, Error> {
        self.check()?;
        self.write_elf()
    }
}

impl Function {
    fn section(&self) -> &str {
        self.program.as_deref().unwrap_or(TEXT)
    }
}

impl<T> Named<T> {
    #[track_caller]
    fn new(name: &str, item: T) -> Self {
        Self { name: name.to_owned(), at: Location::caller(), item }
    }
}
