//! Encodes types as bytes: the `.BTF` section.
//!
//! ```text
//! ┌────────┬───────────────────────────────────────┬──────────────────────┐
//! │ header │ types, with ids from 1 in their order │ strings, each with   │
//! │        │ (0 is void)                           │ a NUL; "" is first   │
//! └────────┴───────────────────────────────────────┴──────────────────────┘
//! ```
//!
//! A type is written after the types that it refers to, and only once: equal types have one id. The same calls in the
//! same order give the same bytes.

use std::collections::HashMap;

use super::{Composite, Encoding, Signature, Type};
use crate::instruction::ByteOrder;

// The kernel's kinds, without their `BTF_KIND_` prefix.
const INT: u32 = 1;
const PTR: u32 = 2;
const ARRAY: u32 = 3;
const STRUCT: u32 = 4;
const UNION: u32 = 5;
const ENUM: u32 = 6;
const TYPEDEF: u32 = 8;
const CONST: u32 = 10;
const FUNC: u32 = 12;
const FUNC_PROTO: u32 = 13;
const VAR: u32 = 14;
const DATASEC: u32 = 15;
const ENUM64: u32 = 19;

/// The largest number of members of a type: `BTF_INFO_VLEN` has 16 bits.
const MAX_MEMBERS: usize = 0xffff;

const NO_NAME: &str = "is not a valid identifier for the kernel: use letters, digits and `_`";

/// The magic number at the start of BTF.
pub(super) const MAGIC: u16 = 0xeb9f;

/// The linkage of a function or variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Linkage {
    /// Visible in its own object only.
    Static = 0,
    /// Visible in every object.
    Global = 1,
}

/// Returns true if the kernel accepts this as an identifier: letters, digits and `_`, not starting with a digit.
pub(crate) fn is_identifier(name: &str) -> bool {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    name.starts_with(|c: char| is_word(c) && !c.is_ascii_digit()) && name.chars().all(is_word)
}

/// Collects types and strings, and writes the section.
#[derive(Debug)]
pub(crate) struct BtfWriter {
    order: ByteOrder,
    types: Vec<u8>,
    count: u32,
    known: HashMap<Type, u32>,
    signatures: HashMap<Signature, u32>,
    strings: Vec<u8>,
    offsets: HashMap<String, u32>,
    /// The first problem that BTF cannot express; `finish` returns it.
    problem: Option<String>,
}

impl BtfWriter {
    pub(crate) fn new(order: ByteOrder) -> Self {
        Self {
            order,
            types: Vec::new(),
            count: 0,
            known: HashMap::new(),
            signatures: HashMap::new(),
            strings: vec![0],
            offsets: HashMap::new(),
            problem: None,
        }
    }

    pub(crate) fn order(&self) -> ByteOrder {
        self.order
    }

    /// Returns the offset of a string, adding the string if it is new.
    pub(crate) fn string(&mut self, text: &str) -> u32 {
        if text.is_empty() {
            return 0;
        }
        if let Some(&offset) = self.offsets.get(text) {
            return offset;
        }
        let offset = self.strings.len() as u32;
        // A NUL would end the string early; no line of source has one.
        self.strings.extend(text.bytes().filter(|&byte| byte != 0));
        self.strings.push(0);
        self.offsets.insert(text.to_owned(), offset);
        offset
    }

    /// Returns the id of a type, adding it and the types it refers to if they are new.
    pub(crate) fn add(&mut self, kind: &Type) -> u32 {
        if let Type::Void = kind {
            return 0;
        }
        if let Some(&id) = self.known.get(kind) {
            return id;
        }
        let id = match kind {
            Type::Void => 0,
            Type::Int { name, bytes, encoding } => {
                self.require([1, 2, 4, 8, 16].contains(bytes), name, "has a size that integers do not have");
                let encoding: u32 = match encoding {
                    Encoding::Unsigned => 0,
                    Encoding::Signed => 1,
                    Encoding::Bool => 4,
                };
                let bits = u32::from(*bytes) * 8;
                let tail = [encoding << 24 | bits];
                self.write(name, INT, 0, u32::from(*bytes), &tail)
            }
            Type::Pointer(target) => {
                let target = self.add(target);
                self.write("", PTR, 0, target, &[])
            }
            Type::Array(element, count) => {
                let element = self.add(element);
                let index = self.add(&Type::int("__ARRAY_SIZE_TYPE__", 4, Encoding::Unsigned));
                self.write("", ARRAY, 0, 0, &[element, index, *count])
            }
            Type::Struct(composite) => self.composite(STRUCT, composite),
            Type::Union(composite) => self.composite(UNION, composite),
            Type::Enum { name, bytes, signed, values } => self.enumeration(name, *bytes, *signed, values),
            Type::Typedef(name, target) => {
                self.require(is_identifier(name), name, NO_NAME);
                let target = self.add(target);
                self.write(name, TYPEDEF, 0, target, &[])
            }
            Type::Const(target) => {
                let target = self.add(target);
                self.write("", CONST, 0, target, &[])
            }
        };
        self.known.insert(kind.clone(), id);
        id
    }

    fn composite(&mut self, kind: u32, composite: &Composite) -> u32 {
        self.require_name(&composite.name);
        let mut tail = Vec::with_capacity(composite.members.len() * 3);
        for member in &composite.members {
            self.require_name(&member.name);
            let name = self.string(&member.name);
            let id = self.add(&member.kind);
            // BTF counts in bits.
            let bits = member.offset.checked_mul(8);
            self.require(bits.is_some(), &member.name, "lies beyond 512 MiB");
            tail.extend([name, id, bits.unwrap_or_default()]);
        }
        let count = self.members(&composite.name, composite.members.len());
        self.write(&composite.name, kind, count, composite.bytes, &tail)
    }

    fn enumeration(&mut self, name: &str, bytes: u8, signed: bool, values: &[(String, i64)]) -> u32 {
        self.require_name(name);
        self.require([1, 2, 4, 8].contains(&bytes), name, "has a size that enums do not have");
        let kind = if bytes == 8 { ENUM64 } else { ENUM };
        let mut tail = Vec::with_capacity(values.len() * 3);
        for (value_name, value) in values {
            let [low, high] = [*value as u32, (*value >> 32) as u32];
            self.require(is_identifier(value_name), value_name, NO_NAME);
            tail.extend([self.string(value_name), low]);
            if kind == ENUM64 {
                tail.push(high);
            }
        }
        let count = self.members(name, values.len());
        let flag = u32::from(signed) << 31;
        self.write(name, kind, flag | count, u32::from(bytes), &tail)
    }

    /// Returns the type id of a function's prototype, adding it if it is new.
    pub(crate) fn signature(&mut self, signature: &Signature) -> u32 {
        if let Some(&id) = self.signatures.get(signature) {
            return id;
        }
        let result = self.add(&signature.result);
        let mut tail = Vec::with_capacity(signature.arguments.len() * 2);
        for (name, kind) in &signature.arguments {
            self.require(is_identifier(name), name, NO_NAME);
            tail.extend([self.string(name), self.add(kind)]);
        }
        let count = self.members("a function's prototype", signature.arguments.len());
        let id = self.write("", FUNC_PROTO, count, result, &tail);
        self.signatures.insert(signature.clone(), id);
        id
    }

    /// Adds a function and returns its type id, which `func_info` refers to.
    pub(crate) fn function(&mut self, name: &str, signature: &Signature, linkage: Linkage) -> u32 {
        let prototype = self.signature(signature);
        self.write(name, FUNC, linkage as u32, prototype, &[])
    }

    /// Adds a variable whose type has the id `kind`, and returns its type id.
    pub(crate) fn variable(&mut self, name: &str, kind: u32) -> u32 {
        self.write(name, VAR, 0, kind, &[Linkage::Global as u32])
    }

    /// Adds a section with its variables: the type id, offset and size in bytes of each.
    pub(crate) fn section(&mut self, name: &str, size: u32, variables: &[[u32; 3]]) {
        let count = self.members(name, variables.len());
        self.write(name, DATASEC, count, size, variables.as_flattened());
    }

    /// Adds the type by which `.maps` encodes a number, a pointer to an array of that length: `int (*name)[value]`.
    pub(crate) fn number(&mut self, value: u32) -> u32 {
        self.add(&Type::pointer(Type::array(Type::int("int", 4, Encoding::Signed), value)))
    }

    /// Adds a struct that defines a map in `.maps`. The members are given by name and type id; each of them is a
    /// pointer.
    pub(crate) fn definition(&mut self, members: &[(&str, u32)], bytes: u32) -> u32 {
        let mut tail = Vec::with_capacity(members.len() * 3);
        let mut offset = 0;
        for &(name, id) in members {
            tail.extend([self.string(name), id, offset]);
            offset += 64;
        }
        self.write("", STRUCT, members.len() as u32, bytes, &tail)
    }

    /// Adds an array of no elements, of pointers to a definition. `.maps` describes the inner map of a map of maps by
    /// it.
    pub(crate) fn inner(&mut self, definition: u32) -> u32 {
        let pointer = self.write("", PTR, 0, definition, &[]);
        let index = self.add(&Type::int("__ARRAY_SIZE_TYPE__", 4, Encoding::Unsigned));
        self.write("", ARRAY, 0, 0, &[pointer, index, 0])
    }

    fn members(&mut self, name: &str, count: usize) -> u32 {
        self.require(count <= MAX_MEMBERS, name, "has more than 65535 members");
        (count & MAX_MEMBERS) as u32
    }

    /// Records the problem unless `holds` is true or an earlier problem is recorded.
    fn require(&mut self, holds: bool, name: &str, problem: &str) {
        if !holds {
            self.problem.get_or_insert_with(|| format!("{name:?} {problem}"));
        }
    }

    /// Records a problem if the name is neither empty nor an identifier. Structs, unions, enums and members may be
    /// anonymous.
    fn require_name(&mut self, name: &str) {
        self.require(name.is_empty() || is_identifier(name), name, NO_NAME);
    }

    /// Writes one type: the common header, then the data of its kind.
    fn write(&mut self, name: &str, kind: u32, info: u32, size_or_type: u32, tail: &[u32]) -> u32 {
        let name = self.string(name);
        for word in [name, kind << 24 | info, size_or_type].iter().chain(tail) {
            self.types.extend(self.order.u32(*word));
        }
        self.count += 1;
        self.count
    }

    /// Returns the whole section, or the first problem that BTF cannot express.
    pub(crate) fn finish(self) -> Result<Vec<u8>, String> {
        if let Some(problem) = self.problem {
            return Err(problem);
        }
        let (Ok(types), Ok(strings)) = (u32::try_from(self.types.len()), u32::try_from(self.strings.len())) else {
            return Err("types or their names take more than 4 GiB".to_owned());
        };

        const HEADER: u32 = 24;
        let mut section = Vec::with_capacity(HEADER as usize + self.types.len() + self.strings.len());
        section.extend(self.order.u16(MAGIC));
        section.extend([1, 0]); // version, flags
        for word in [HEADER, 0, types, types, strings] {
            section.extend(self.order.u32(word));
        }
        section.extend(self.types);
        section.extend(self.strings);
        Ok(section)
    }
}
