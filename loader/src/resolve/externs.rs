//! The values of an object's externs.

use std::os::fd::OwnedFd;

use crate::{
    Error,
    elf::SymbolIndex,
    gate::READS_EXTERNS,
    object::{Contents, Extern, config_location},
};

/// The value of an extern for linking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    /// An offset in the section `.kconfig`.
    Constant(u32),
    /// The BTF id of a variable or function: in vmlinux, or in the module with this index in [`Externs::modules`].
    Type { id: u32, module: Option<usize> },
    /// An address.
    Address(u64),
    /// A weak extern that is missing. A call of it becomes a call of the function id `call`, which no function has.
    Missing { call: i32 },
    /// The extern is missing, or is not of the type that the program declares: the reason.
    Refused(String),
}

/// The result of resolving an extern.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExternFound {
    /// The bytes of a constant, in this machine's byte order.
    Constant(Vec<u8>),
    /// The BTF id of a variable or function.
    Type {
        /// The BTF id.
        id: u32,
        /// Whether a module has it, not vmlinux.
        in_module: bool,
    },
    /// An address in the kernel's memory.
    Address(u64),
    /// The extern is weak and missing: the program reads 0.
    Missing,
    /// The reason why no program that uses the extern can be loaded.
    Refused(String),
}

/// The resolved externs of an object.
#[derive(Debug, Default)]
pub(crate) struct Externs {
    /// By index in the symbol table. Unsorted until all have been resolved.
    values: Vec<(SymbolIndex, Value)>,
    /// The contents of the section `.kconfig`.
    pub(crate) config: Option<Contents>,
    /// The fds of the BTF of modules that have some of the externs.
    pub(crate) modules: Vec<OwnedFd>,
    /// The names of missing weak externs, in the order of their call ids.
    missing: Vec<String>,
}

/// The first id for calls of missing weak externs ("bad extern"). No function has such an id. The poisoned calls of
/// CO-RE use ids far below.
const NO_SUCH_FUNCTION: i32 = 0x7bad_0000;

/// Returns the result of resolving an extern.
pub(crate) fn found(known: &Extern, externs: &Externs) -> ExternFound {
    let bug = |what| ExternFound::Refused(Error::bug(what).to_string());
    match externs.value(known.symbol) {
        Some(Value::Constant(_)) => {
            let location = config_location(known).map(|(offset, size)| (offset as usize, size as usize));
            let contents = externs.config.as_ref().map(|contents| contents.whole(0)).unwrap_or_default();
            let bytes = location.and_then(|(offset, size)| contents.get(offset..)?.get(..size));
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

/// Returns the value of an extern that is not weak, and is missing or of the wrong type.
pub(super) fn refused(known: &Extern, why: &str) -> Value {
    Value::Refused(format!("it needs the kernel's {} `{}`: {why}", known.kind.text(), known.name))
}

impl Externs {
    /// Resolves each extern to the result of `value`, with these modules.
    #[cfg(test)]
    pub(crate) fn all(externs: &[Extern], modules: Vec<OwnedFd>, value: impl Fn(&Extern) -> Value) -> Self {
        let values = externs.iter().map(|known| (known.symbol, value(known))).collect();
        let mut resolved = Self { values, modules, ..Self::default() };
        resolved.settle();
        resolved
    }

    /// Returns the value of the symbol with this index; `None` if it is no extern.
    pub(crate) fn value(&self, symbol: SymbolIndex) -> Option<&Value> {
        let index = self.values.binary_search_by_key(&symbol, |(known, _)| *known).ok()?;
        self.values.get(index).map(|(_, value)| value)
    }

    /// Sorts the values after all externs are resolved.
    #[cfg(any(test, feature = "externs"))]
    pub(super) fn settle(&mut self) {
        crate::sorted::sort(&mut self.values, |(one, _), (other, _)| one.cmp(other));
    }

    /// Adds the value of an extern.
    #[cfg(feature = "externs")]
    pub(super) fn push(&mut self, known: &Extern, value: Value) {
        self.values.push((known.symbol, value));
    }

    /// Adds the value of an extern, or handles the reason why there is none.
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

    /// Returns the missing function whose call the verifier refused in this sentence.
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
