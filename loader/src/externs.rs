//! Externs: what a program takes from the kernel it is going to run in, by name.
//!
//! ```text
//!     extern int LINUX_KERNEL_VERSION __kconfig;                 how the kernel was built: a constant          config.rs
//!     extern bool CONFIG_X __kconfig __weak;
//!     extern const struct rq runqueues __ksym;                   a variable of the kernel's, with its type     ksyms.rs
//!     extern const void bpf_prog_active __ksym;                  an address of the kernel's, of unknown type   kallsyms.rs
//!     struct task_struct *bpf_task_acquire(…) __ksym;            a function of the kernel's                    ksyms.rs
//! ```
//!
//! The file says of each that it is undefined, and its BTF says what it should be: it is listed in the section `.kconfig` or
//! `.ksyms`, which exist in BTF alone. One that is *weak* may be missing: it is then 0, and a call of it is refused only
//! where the program can reach it. One that is not is missed by the program that uses it, when that is linked.
//!
//! The rules are libbpf's (`tools/lib/bpf/libbpf.c`), since programs rely on them.

#[cfg(feature = "externs")]
mod config;
#[cfg(feature = "externs")]
mod gzip;
#[cfg(feature = "externs")]
mod kallsyms;
#[cfg(feature = "externs")]
mod ksyms;
#[cfg(not(feature = "externs"))]
mod left_out;
#[cfg(feature = "externs")]
mod reading;

use std::os::fd::OwnedFd;

#[cfg(feature = "externs")]
use self::config::Slot;
#[cfg(not(feature = "externs"))]
use self::left_out::Slot;
#[cfg(not(feature = "externs"))]
pub(crate) use self::left_out::{Ksyms, read, resolve};
#[cfg(feature = "externs")]
pub(crate) use self::{
    ksyms::Ksyms,
    reading::{read, resolve},
};
use crate::{gate::READS_EXTERNS, object::Contents, sorted::Sorted};

/// What a program takes from the kernel by name.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Extern {
    /// Its name, e.g. `CONFIG_HZ` or `bpf_task_acquire`.
    pub name: String,
    /// It may be missing.
    pub weak: bool,
    /// What it is.
    pub kind: ExternKind,
    /// Its place in the symbol table.
    symbol: usize,
    /// The number of its type in the object's BTF: of a variable's type without `const` and its like, of a function's
    /// prototype.
    type_id: u32,
    /// Where in the section `.kconfig` it lies, and how it is written there.
    slot: Option<Slot>,
}

/// What an extern is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExternKind {
    /// A constant out of the kernel's configuration (`__kconfig`), or about the kernel (`LINUX_…`).
    Config,
    /// A variable of the kernel's, with a type (`__ksym`; Linux 5.10, in modules 5.12).
    Variable,
    /// An address in the kernel, without a type (`extern void … __ksym`).
    Address,
    /// A function of the kernel's that programs may call (a kfunc; Linux 5.13, in modules 5.16).
    Function,
}

impl ExternKind {
    /// What it is called in a sentence.
    fn text(self) -> &'static str {
        match self {
            Self::Config => "constant",
            Self::Variable => "variable",
            Self::Address => "symbol",
            Self::Function => "function",
        }
    }
}

/// What stands for an extern in the instructions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    /// A place in the section `.kconfig`.
    Place(u32),
    /// The number of a variable or function in BTF: the kernel's, or that of the module with this place in
    /// [`Resolved::modules`].
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
pub(crate) struct Resolved {
    /// By place in the symbol table; in the order of their coming until all of them have been found.
    values: Vec<(usize, Value)>,
    /// What is in the section `.kconfig`.
    pub(crate) config: Option<Contents>,
    /// The BTF of the modules that have some of them.
    pub(crate) modules: Vec<OwnedFd>,
    /// The names of those that are missing, in the order of the numbers of calls.
    missing: Vec<String>,
}

/// The number of the first function that does not exist, for calls of weak externs: "bad extern". What CO-RE uses for the
/// same purpose lies far below.
const NO_SUCH_FUNCTION: i32 = 0x7bad_0000;

/// The section of constants, which is a map by this name.
pub(crate) const KCONFIG: &str = ".kconfig";
/// The section of the kernel's variables and functions.
pub(crate) const KSYMS: &str = ".ksyms";

/// How many bytes the section of constants has; 0 if there is none.
pub(crate) fn config_size(externs: &[Extern]) -> u32 {
    externs.iter().filter_map(config_place).map(|(offset, size)| offset.saturating_add(size)).max().unwrap_or(0)
}

/// Where in the section of constants this one lies, and how many bytes it has, if it is a constant.
pub(crate) fn config_place(known: &Extern) -> Option<(u32, u32)> {
    known.slot.as_ref().map(Slot::place)
}

/// Where in the section of constants each of them lies, by name.
pub(crate) fn config_offsets(externs: &[Extern]) -> Sorted<&[u8], u32> {
    // Of several of one name the first counts, and the table finds the last.
    let externs = externs.iter().rev();
    Sorted::of(externs.filter_map(|known| Some((known.name.as_bytes(), config_place(known)?.0))))
}

impl Extern {
    /// What was found for it.
    pub(crate) fn found(&self, resolved: &Resolved) -> ExternFound {
        match resolved.value(self.symbol) {
            Some(Value::Place(_)) => {
                let place = config_place(self).map(|(offset, size)| (offset as usize, size as usize));
                let contents = resolved.config.as_ref().map(|contents| contents.whole(0)).unwrap_or_default();
                let bytes = place.and_then(|(offset, size)| contents.get(offset..)?.get(..size));
                ExternFound::Constant(bytes.unwrap_or_default().to_vec())
            }
            Some(&Value::Type { id, module }) => ExternFound::Type { id, in_module: module.is_some() },
            Some(&Value::Address(address)) => ExternFound::Address(address),
            Some(Value::Missing { .. }) => ExternFound::Missing,
            Some(Value::Refused(why)) => ExternFound::Refused(why.clone()),
            None => ExternFound::Refused(format!("nobody has looked for `{}`", self.name)),
        }
    }

    /// That it is missing or not what the program takes it for, and the program cannot do without it.
    fn refused(&self, why: &str) -> Value {
        Value::Refused(format!("it needs the kernel's {} `{}`: {why}", self.kind.text(), self.name))
    }
}

impl Resolved {
    /// What `value` says of each extern, found in these modules.
    #[cfg(test)]
    pub(crate) fn all(externs: &[Extern], modules: Vec<OwnedFd>, value: impl Fn(&Extern) -> Value) -> Self {
        let values = externs.iter().map(|known| (known.symbol, value(known))).collect();
        let mut resolved = Self { values, modules, ..Self::default() };
        resolved.settle();
        resolved
    }

    /// What stands for the symbol of this place; `None` if it is no extern.
    pub(crate) fn value(&self, symbol: usize) -> Option<&Value> {
        let place = self.values.binary_search_by_key(&symbol, |(known, _)| *known).ok()?;
        self.values.get(place).map(|(_, value)| value)
    }

    /// Sorts what was found, once there is no more to come.
    #[cfg(any(test, feature = "externs"))]
    fn settle(&mut self) {
        crate::sorted::sort(&mut self.values, |(one, _), (other, _)| one.cmp(other));
    }

    /// Takes down what was found for an extern, or why nothing was.
    fn set(&mut self, known: &Extern, value: Result<Value, String>) {
        let value = value.unwrap_or_else(|why| {
            if known.weak {
                log::debug!("the extern `{}` is weak, and stays 0: {why}", known.name);
                let number = i32::try_from(self.missing.len()).unwrap_or(0);
                self.missing.push(known.name.clone());
                Value::Missing { call: NO_SUCH_FUNCTION.saturating_add(number & 0xffff) }
            } else {
                known.refused(&why)
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
