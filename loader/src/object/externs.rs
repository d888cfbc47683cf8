//! Externs: what a program takes from the kernel it is going to run in, by name.
//!
//! ```text
//!     extern int LINUX_KERNEL_VERSION __kconfig;                 how the kernel was built: a constant          resolve/kconfig.rs
//!     extern bool CONFIG_X __kconfig __weak;
//!     extern const struct rq runqueues __ksym;                   a variable of the kernel's, with its type     resolve/ksyms.rs
//!     extern const void bpf_prog_active __ksym;                  an address of the kernel's, of unknown type   resolve/kallsyms.rs
//!     struct task_struct *bpf_task_acquire(…) __ksym;            a function of the kernel's                    resolve/ksyms.rs
//! ```
//!
//! The file says of each that it is undefined, and its BTF says what it should be: it is listed in the section
//! `.kconfig` or `.ksyms`, which exist in BTF alone. One that is *weak* may be missing: it is then 0, and a call of it
//! is refused only where the program can reach it. One that is not is missed by the program that uses it, when that is
//! linked.
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

/// What a program takes from the kernel by name.
#[doc(alias("__ksym", "__kconfig", "extern_desc"))]
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Extern {
    /// Its name, e.g. `CONFIG_HZ` or `bpf_task_acquire`.
    pub name: String,
    /// It may be missing.
    pub weak: bool,
    /// What it is.
    pub kind: ExternKind,
    /// Its index in the symbol table.
    pub(crate) symbol: SymbolIndex,
    /// The id of its type in the object's BTF: of a variable's type without `const` and its like, of a function's
    /// prototype.
    pub(crate) type_id: u32,
    /// Where in the section `.kconfig` it lies, and how it is written there.
    pub(crate) slot: Option<Slot>,
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
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Config => "constant",
            Self::Variable => "variable",
            Self::Address => "symbol",
            Self::Function => "function",
        }
    }
}

/// The section of constants, which is a map by this name.
pub(crate) const KCONFIG: &str = ".kconfig";
/// The section of the kernel's variables and functions.
pub(crate) const KSYMS: &str = ".ksyms";

/// How many bytes the section of constants has; 0 if there is none.
pub(crate) fn config_size(externs: &[Extern]) -> u32 {
    externs.iter().filter_map(config_location).map(|(offset, size)| offset.saturating_add(size)).max().unwrap_or(0)
}

/// Where in the section of constants this one lies, and how many bytes it has, if it is a constant.
pub(crate) fn config_location(known: &Extern) -> Option<(u32, u32)> {
    known.slot.as_ref().map(Slot::location)
}

/// Where in the section of constants each of them lies, by name.
pub(crate) fn config_offsets(externs: &[Extern]) -> Sorted<&[u8], u32> {
    // Of several of one name the first counts, and the table finds the last.
    let externs = externs.iter().rev();
    Sorted::of(externs.filter_map(|known| Some((known.name.as_bytes(), config_location(known)?.0))))
}

#[cfg(feature = "externs")]
/// All externs of the object, in the order of its symbols.
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
    let behind = btf.resolve(ty.referred()).ok_or_else(|| broken("has a type that leads in a circle"))?;
    let (kind, slot) = match (ty.kind(), is_config) {
        (Kind::Var, true) => {
            let slot = Slot::of(btf, behind).ok_or_else(|| {
                broken(
                    "is of a type that no constant of the kernel's has: bool, char, integers, enum libbpf_tristate \
                        and arrays of char are those that can be",
                )
            })?;
            (ExternKind::Config, Some(slot))
        }
        (Kind::Var, false) if behind.kind() == Kind::Void => (ExternKind::Address, None),
        (Kind::Var, false) => (ExternKind::Variable, None),
        (Kind::Func, false) => (ExternKind::Function, None),
        _ => return Err(broken("is neither a variable nor a function of the kernel's")),
    };
    Ok(Extern { name, weak, kind, symbol, type_id: behind.id(), slot })
}

#[cfg(not(feature = "externs"))]
/// Where in the section of constants one lies: nowhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Slot {}

#[cfg(not(feature = "externs"))]
impl Slot {
    pub(crate) fn location(&self) -> (u32, u32) {
        match *self {}
    }
}

#[cfg(not(feature = "externs"))]
/// All externs of the object, by their names alone.
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
