//! Section names: what a program is and where it wants to be attached, in libbpf's grammar.
//!
//! ```text
//!     uprobe/libc.so.6:getaddrinfo      a bare library name, looked up as the dynamic loader would
//!     uretprobe//usr/lib/x.so:f         an absolute path: the second slash is the path's own
//!     uprobe/PATH:symbol+0x10           an offset into the symbol, decimal or hexadecimal; not for return probes
//!     uprobe                            what kind it is, but not where: attached by hand
//!     uprobe.s/…                        may sleep (BPF_F_SLEEPABLE)
//!     tracepoint/task/task_newtask      category and name; "tp/" means the same
//! ```
//!
//! `include/uapi/linux/bpf.h` has the numbers; the names are what compilers' output is full of.

use std::fmt;

use crate::ProgramType;

/// What the name of a program's section says about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// The kind of program.
    pub program_type: ProgramType,
    /// `enum bpf_attach_type`; 0 for kinds that are loaded without one.
    pub expected_attach_type: u32,
    /// The program may sleep (`.s`; Linux 5.10, for uprobes 6.0).
    pub sleepable: bool,
    /// Where to attach it, if the name says so.
    pub target: Option<Target>,
}

/// A place to attach to, as a section name gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Target {
    /// A user-space function; `retprobe` if the program runs on its return.
    Uprobe {
        /// A path, or a bare library name.
        library: String,
        /// The function, with its version if one was given (`getaddrinfo@@GLIBC_2.2.5`).
        symbol: String,
        /// Bytes from the function's start.
        offset: u64,
        /// On return instead of on entry.
        retprobe: bool,
    },
    /// A tracepoint of the kernel.
    Tracepoint {
        /// The folder under `events` in tracefs, e.g. `task`.
        category: String,
        /// The tracepoint, e.g. `task_newtask`.
        name: String,
    },
    /// Something this version of the loader cannot attach by itself: the rest of the section's name.
    Other(String),
}

/// Why a section's name could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unreadable {
    UnknownKind,
    Target(&'static str),
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownKind => f.write_str("its first word names no kind of program that this loader knows"),
            Self::Target(why) => f.write_str(why),
        }
    }
}

/// One kind's row: its name in section names, its number, its attach type, whether a `.s` form exists.
struct Kind {
    name: &'static str,
    program_type: ProgramType,
    expected_attach_type: u32,
    may_sleep: bool,
}

const fn kind(name: &'static str, program_type: ProgramType, expected_attach_type: u32) -> Kind {
    Kind { name, program_type, expected_attach_type, may_sleep: false }
}

const fn sleeper(name: &'static str, program_type: ProgramType, expected_attach_type: u32) -> Kind {
    Kind { name, program_type, expected_attach_type, may_sleep: true }
}

use ProgramType as T;

const KINDS: &[Kind] = &[
    sleeper("uprobe", T::KPROBE, 0),
    sleeper("uretprobe", T::KPROBE, 0),
    kind("kprobe", T::KPROBE, 0),
    kind("kretprobe", T::KPROBE, 0),
    kind("tracepoint", T::TRACEPOINT, 0),
    kind("tp", T::TRACEPOINT, 0),
    kind("raw_tracepoint", T::RAW_TRACEPOINT, 0),
    kind("raw_tp", T::RAW_TRACEPOINT, 0),
    kind("perf_event", T::PERF_EVENT, 0),
    kind("socket", T::SOCKET_FILTER, 0),
    kind("xdp", T::XDP, 37),
    kind("classifier", T::SCHED_CLS, 0),
    kind("sockops", T::SOCK_OPS, 3),
    kind("sk_msg", T::SK_MSG, 7),
    kind("sk_lookup", T::SK_LOOKUP, 36),
];

impl Section {
    /// Reads a section's name.
    pub(crate) fn read(name: &str) -> Result<Self, Unreadable> {
        let (word, rest) = match name.split_once('/') {
            Some((word, rest)) => (word, Some(rest)),
            None => (name, None),
        };
        let (plain, sleepable) = match word.strip_suffix(".s") {
            Some(plain) => (plain, true),
            None => (word, false),
        };
        let kind = KINDS
            .iter()
            .find(|kind| kind.name == plain && (kind.may_sleep || !sleepable))
            .ok_or(Unreadable::UnknownKind)?;
        let target = match (kind.name, rest) {
            (_, None) => None,
            ("uprobe", Some(rest)) => Some(uprobe(rest, false)?),
            ("uretprobe", Some(rest)) => Some(uprobe(rest, true)?),
            ("tracepoint" | "tp", Some(rest)) => Some(tracepoint(rest)?),
            (_, Some(rest)) => Some(Target::Other(rest.to_owned())),
        };
        Ok(Self { program_type: kind.program_type, expected_attach_type: kind.expected_attach_type, sleepable, target })
    }
}

fn uprobe(rest: &str, retprobe: bool) -> Result<Target, Unreadable> {
    let (library, function) = rest
        .rsplit_once(':')
        .ok_or(Unreadable::Target("a uprobe's target is LIBRARY:SYMBOL, and there is no colon"))?;
    let (symbol, offset) = match function.split_once('+') {
        Some((symbol, offset)) => (symbol, number(offset).ok_or(Unreadable::Target("its offset is not a number"))?),
        None => (function, 0),
    };
    if library.is_empty() || symbol.is_empty() {
        return Err(Unreadable::Target("a uprobe's target is LIBRARY:SYMBOL, and one of them is empty"));
    }
    if retprobe && offset != 0 {
        return Err(Unreadable::Target("a return probe takes no offset: it hangs on the function's entry"));
    }
    Ok(Target::Uprobe { library: library.to_owned(), symbol: symbol.to_owned(), offset, retprobe })
}

fn tracepoint(rest: &str) -> Result<Target, Unreadable> {
    match rest.split_once('/') {
        Some((category, name)) if !category.is_empty() && !name.is_empty() && !name.contains('/') => {
            Ok(Target::Tracepoint { category: category.to_owned(), name: name.to_owned() })
        }
        _ => Err(Unreadable::Target("a tracepoint's target is CATEGORY/NAME")),
    }
}

fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(hexadecimal) => u64::from_str_radix(hexadecimal, 16).ok(),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(name: &str) -> Option<Target> {
        Section::read(name).unwrap().target
    }

    fn probe(library: &str, symbol: &str, offset: u64, retprobe: bool) -> Option<Target> {
        Some(Target::Uprobe { library: library.into(), symbol: symbol.into(), offset, retprobe })
    }

    #[test]
    fn uprobes_name_library_and_symbol() {
        assert_eq!(target("uprobe/libc.so.6:getaddrinfo"), probe("libc.so.6", "getaddrinfo", 0, false));
        assert_eq!(target("uretprobe//lib/x.so:f"), probe("/lib/x.so", "f", 0, true));
        assert_eq!(target("uprobe/./a:b:f+0x10"), probe("./a:b", "f", 16, false));
        assert_eq!(target("uprobe//x:f+7"), probe("/x", "f", 7, false));
        assert_eq!(target("uprobe/l:f@@V_2"), probe("l", "f@@V_2", 0, false));
        assert_eq!(target("uprobe"), None);
    }

    #[test]
    fn a_suffix_makes_it_sleepable_where_that_exists() {
        assert!(Section::read("uprobe.s/l:f").unwrap().sleepable);
        assert_eq!(Section::read("tracepoint.s/a/b"), Err(Unreadable::UnknownKind));
    }

    #[test]
    fn tracepoints_have_a_category() {
        let expected = Some(Target::Tracepoint { category: "task".into(), name: "task_newtask".into() });
        assert_eq!(target("tracepoint/task/task_newtask"), expected);
        assert_eq!(target("tp/task/task_newtask"), expected);
    }

    #[test]
    fn nonsense_is_refused() {
        for name in
            ["", "nonsense", "uprobe/x", "uprobe/:f", "uprobe/x:", "uprobe/x:f+z", "uretprobe/x:f+1", "tp/x", "tp/x/"]
        {
            assert!(Section::read(name).is_err(), "{name:?}");
        }
    }
}
