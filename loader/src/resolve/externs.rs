//! What a kernel has for the externs of an object.

use std::os::fd::OwnedFd;

use crate::{
    Error,
    elf::SymbolIndex,
    gate::READS_EXTERNS,
    object::{Contents, Extern, config_location},
};

/// What stands for an extern in the instructions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    /// An offset in the section `.kconfig`.
    Place(u32),
    /// The number of a variable or function in BTF: the kernel's, or that of the module with this index in
    /// [`Externs::modules`].
    Type { id: u32, module: Option<usize> },
    /// An address.
    Address(u64),
    /// It is weak, and missing. A call of it becomes one of this number, which no function has.
    Missing { call: i32 },
    /// It is missing, or is not what the program takes it for: the reason.
    Refused(String),
}

/// What was found for an extern.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExternFound {
    /// A constant: its bytes, in this machine's byte order.
    Constant(Vec<u8>),
    /// A variable or function, by its number in BTF.
    Type {
        /// The number.
        id: u32,
        /// It is a module's, not the kernel's own.
        in_module: bool,
    },
    /// Where it is in the kernel's memory.
    Address(u64),
    /// It is weak, and missing: the program sees a 0.
    Missing,
    /// No program that uses it can be loaded: why.
    Refused(String),
}

/// The externs of an object as this kernel has them.
#[derive(Debug, Default)]
pub(crate) struct Externs {
    /// By index in the symbol table; in the order of their coming until all of them have been found.
    values: Vec<(SymbolIndex, Value)>,
    /// What is in the section `.kconfig`.
    pub(crate) config: Option<Contents>,
    /// The BTF of the modules that have some of them.
    pub(crate) modules: Vec<OwnedFd>,
    /// The names of those that are missing, in the order of the numbers of calls.
    missing: Vec<String>,
}

/// The number of the first function that does not exist, for calls of weak externs: "bad extern". What CO-RE uses for
/// the same purpose lies far below.
const NO_SUCH_FUNCTION: i32 = 0x7bad_0000;

/// Returns what was found for an extern.
pub(crate) fn found(known: &Extern, externs: &Externs) -> ExternFound {
    let bug = |what| ExternFound::Refused(Error::bug(what).to_string());
    match externs.value(known.symbol) {
        Some(Value::Place(_)) => {
            let place = config_location(known).map(|(offset, size)| (offset as usize, size as usize));
            let contents = externs.config.as_ref().map(|contents| contents.whole(0)).unwrap_or_default();
            let bytes = place.and_then(|(offset, size)| contents.get(offset..)?.get(..size));
            bytes.map_or_else(
                || bug("a constant has no location in .kconfig"),
                |bytes| ExternFound::Constant(bytes.to_vec()),
            )
        }
        Some(&Value::Type { id, module }) => ExternFound::Type { id, in_module: module.is_some() },
        Some(&Value::Address(address)) => ExternFound::Address(address),
        Some(Value::Missing { .. }) => ExternFound::Missing,
        Some(Value::Refused(why)) => ExternFound::Refused(why.clone()),
        None => bug("an extern was not resolved"),
    }
}

/// That it is missing or not what the program takes it for, and the program cannot do without it.
pub(super) fn refused(known: &Extern, why: &str) -> Value {
    Value::Refused(format!("it needs the kernel's {} `{}`: {why}", known.kind.text(), known.name))
}

impl Externs {
    /// What `value` says of each extern, found in these modules.
    #[cfg(test)]
    pub(crate) fn all(externs: &[Extern], modules: Vec<OwnedFd>, value: impl Fn(&Extern) -> Value) -> Self {
        let values = externs.iter().map(|known| (known.symbol, value(known))).collect();
        let mut resolved = Self { values, modules, ..Self::default() };
        resolved.settle();
        resolved
    }

    /// What stands for the symbol of this index; `None` if it is no extern.
    pub(crate) fn value(&self, symbol: SymbolIndex) -> Option<&Value> {
        let index = self.values.binary_search_by_key(&symbol, |(known, _)| *known).ok()?;
        self.values.get(index).map(|(_, value)| value)
    }

    /// Sorts what was found, once there is no more to come.
    #[cfg(any(test, feature = "externs"))]
    pub(super) fn settle(&mut self) {
        crate::sorted::sort(&mut self.values, |(one, _), (other, _)| one.cmp(other));
    }

    /// Notes the value of an extern.
    #[cfg(feature = "externs")]
    pub(super) fn push(&mut self, known: &Extern, value: Value) {
        self.values.push((known.symbol, value));
    }

    /// Takes down what was found for an extern, or why nothing was.
    pub(super) fn set(&mut self, known: &Extern, value: Result<Value, String>) {
        let value = value.unwrap_or_else(|why| {
            if known.weak {
                log::debug!("the extern `{}` is weak, and stays 0: {why}", known.name);
                let number = i32::try_from(self.missing.len()).unwrap_or(0);
                self.missing.push(known.name.clone());
                Value::Missing { call: NO_SUCH_FUNCTION.saturating_add(number & 0xffff) }
            } else {
                refused(known, &why)
            }
        });
        self.values.push((known.symbol, value));
    }

    /// For a refused program: the function that it calls and the kernel does not have, by what the verifier said.
    pub(crate) fn missed(&self, sentence: &str) -> Option<&str> {
        if !READS_EXTERNS {
            return None;
        }
        let (_, number) = sentence.split_once("unknown#")?;
        let digits = number.split(|c: char| !c.is_ascii_digit()).next()?;
        let number = digits.parse::<i32>().ok()?.checked_sub(NO_SUCH_FUNCTION)?;
        self.missing.get(usize::try_from(number).ok()?).map(String::as_str)
    }
}
