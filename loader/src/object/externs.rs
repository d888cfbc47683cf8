//! Externs: variables, functions and constants that a program takes from the running kernel by name.
//!
//! ```text
//!     extern int LINUX_KERNEL_VERSION __kconfig;            a constant of the build               resolve/kconfig.rs
//!     extern bool CONFIG_X __kconfig __weak;                the same
//!     extern const struct rq runqueues __ksym;              a variable, with its type             resolve/ksyms.rs
//!     extern const void bpf_prog_active __ksym;             an address, of unknown type           resolve/kallsyms.rs
//!     struct task_struct *bpf_task_acquire(…) __ksym;       a function                            resolve/ksyms.rs
//! ```
//!
//! In the file, each is an undefined symbol. The object's BTF lists it in the section `.kconfig` or `.ksyms`, which
//! exist only in BTF, and gives its type. A *weak* extern may be missing. It is then 0, and the kernel refuses a call
//! of it only if the program can reach the call. If another extern is missing, linking a program that uses it fails.
//!
//! The rules are libbpf's (`tools/lib/bpf/libbpf.c`), since programs rely on them.

#[cfg(feature = "externs")]
use super::kconfig::{self, Slot};
#[cfg(feature = "externs")]
use crate::btf::{Kind, Type};
use crate::{
    Error,
    btf::Btf,
    elf::{Elf, SymbolIndex},
    sorted::Sorted,
};

/// A symbol that a program takes from the kernel by name.
#[doc(alias("__ksym", "__kconfig", "extern_desc"))]
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Extern {
    /// Its name, e.g. `CONFIG_HZ` or `bpf_task_acquire`.
    pub name: String,
    /// Whether it may be missing.
    pub weak: bool,
    /// Its kind.
    pub kind: ExternKind,
    /// Its index in the symbol table.
    pub(crate) symbol: SymbolIndex,
    /// Its type id in the object's BTF: for a variable, its type without qualifiers (`const` and the like); for a
    /// function, its prototype.
    pub(crate) type_id: u32,
    /// Its offset, size and format in the section `.kconfig`, for a constant.
    pub(crate) slot: Option<Slot>,
}

/// The kind of an extern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExternKind {
    /// A constant of the kernel's configuration (`__kconfig`), or about the kernel (`LINUX_…`).
    Config,
    /// A variable of the kernel, with a type (`__ksym`; Linux 5.10, in modules 5.12).
    Variable,
    /// An address in the kernel, without a type (`extern void … __ksym`).
    Address,
    /// A function of the kernel that programs may call (a kfunc; Linux 5.13, in modules 5.16).
    Function,
}

impl ExternKind {
    /// Returns the noun for it in messages.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Config => "constant",
            Self::Variable => "variable",
            Self::Address => "symbol",
            Self::Function => "function",
        }
    }
}

/// The section of configuration constants, and the name of its map.
pub(crate) const KCONFIG: &str = ".kconfig";
/// The section of the kernel's variables and functions.
pub(crate) const KSYMS: &str = ".ksyms";

/// Returns the size in bytes of the section `.kconfig`; 0 if there is none.
pub(crate) fn config_size(externs: &[Extern]) -> u32 {
    externs.iter().filter_map(config_location).map(|(offset, size)| offset.saturating_add(size)).max().unwrap_or(0)
}

/// Returns the offset and size in bytes of a constant in the section `.kconfig`; `None` if the extern is no constant.
pub(crate) fn config_location(known: &Extern) -> Option<(u32, u32)> {
    known.slot.as_ref().map(Slot::location)
}

/// Returns the offsets of all constants in the section `.kconfig`, by name.
pub(crate) fn config_offsets(externs: &[Extern]) -> Sorted<&[u8], u32> {
    // If several have the same name the first counts, but the table finds the last.
    let externs = externs.iter().rev();
    Sorted::of(externs.filter_map(|known| Some((known.name.as_bytes(), config_location(known)?.0))))
}

#[cfg(feature = "externs")]
/// Reads all externs of the object, in the order of its symbols.
pub(crate) fn read(elf: &Elf, btf: Option<&Btf<'_>>) -> Result<Vec<Extern>, Error> {
    let Some(btf) = btf else { return Ok(Vec::new()) };
    let [constants, symbols] = [KCONFIG, KSYMS].map(|section| btf.listed(section));
    let mut externs = Vec::new();
    for (symbol, import) in elf.imports() {
        // Not in .kconfig or .ksyms: left unresolved here; linking a program that uses it fails.
        let (is_config, ty) = match (constants.get(import.name.as_bytes()), symbols.get(import.name.as_bytes())) {
            (Some(ty), _) => (true, *ty),
            (None, Some(ty)) => (false, *ty),
            (None, None) => continue,
        };
        externs.push(one(btf, import.name.clone(), symbol, import.weak, is_config, ty)?);
    }
    kconfig::lay_out(externs.iter_mut().filter_map(|known| Some((&known.name, known.slot.as_mut()?))))?;
    Ok(externs)
}

#[cfg(feature = "externs")]
fn one(
    btf: &Btf<'_>,
    name: String,
    symbol: SymbolIndex,
    weak: bool,
    is_config: bool,
    ty: Type<'_>,
) -> Result<Extern, Error> {
    let broken = |why: &str| Error::Object { why: format!("the extern `{name}` {why}") };
    let behind = btf.resolve(ty.referred()).ok_or_else(|| broken("has a circular type"))?;
    let (kind, slot) = match (ty.kind(), is_config) {
        (Kind::Var, true) => {
            let slot = Slot::of(btf, behind).ok_or_else(|| {
                broken(
                    "has a type that no constant has: it must be bool, char, an integer, enum libbpf_tristate or an array of char",
                )
            })?;
            (ExternKind::Config, Some(slot))
        }
        (Kind::Var, false) if behind.kind() == Kind::Void => (ExternKind::Address, None),
        (Kind::Var, false) => (ExternKind::Variable, None),
        (Kind::Func, false) => (ExternKind::Function, None),
        _ => return Err(broken("is neither a variable nor a function of the kernel")),
    };
    Ok(Extern { name, weak, kind, symbol, type_id: behind.id(), slot })
}

#[cfg(not(feature = "externs"))]
/// The format of a constant. Without the feature there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Slot {}

#[cfg(not(feature = "externs"))]
impl Slot {
    pub(crate) fn location(&self) -> (u32, u32) {
        match *self {}
    }
}

#[cfg(not(feature = "externs"))]
/// Reads all externs of the object, only their names.
pub(crate) fn read(elf: &Elf, btf: Option<&Btf<'_>>) -> Result<Vec<Extern>, Error> {
    let Some(btf) = btf else { return Ok(Vec::new()) };
    let listed = [KCONFIG, KSYMS].map(|section| btf.listed(section));
    let imports =
        elf.imports().filter(|(_, import)| listed.iter().any(|list| list.get(import.name.as_bytes()).is_some()));
    let externs = imports.map(|(symbol, import)| Extern {
        name: import.name.clone(),
        weak: import.weak,
        kind: ExternKind::Config,
        symbol,
        type_id: 0,
        slot: None,
    });
    Ok(externs.collect())
}
