//! Attach targets: the part of a section name after the slash.
//!
//! ```text
//!     uprobe/libc.so.6:getaddrinfo      a bare library name, looked up as the dynamic loader would
//!     uretprobe//usr/lib/x.so:f         an absolute path: the second slash is the path's own
//!     uprobe/PATH:symbol+0x10           an offset into the symbol, decimal or hexadecimal; not for return probes
//!     uprobe/PATH:0x1234                an address, as `nm` prints it
//!     uprobe/PATH:symbol@0x1234         one of several functions of the same name
//!     uprobe.multi/PATH:pattern*        every function that a pattern with * and ? fits
//!     usdt/PATH:provider:name           a statically defined tracepoint of a program
//!     kprobe/f+0x10, ksyscall/openat    a function of the kernel, a system call by its name
//!     tracepoint/task/task_newtask      category and name
//!     fentry/f, lsm/hook, iter/task     something that the kernel's BTF knows
//!     fentry.multi/[MODULE:]pattern*    every function that a pattern fits, in the kernel or in a module
//! ```
//!
//! Symbols may contain colons (`type:.eq.T`, `a::b`), and so may paths. A text with several is split at the last colon
//! that is not part of a `::`. This is a guess without the file system, so that parsing an object gives the same result
//! on every machine. When a program is attached, [`Target::by_files`] splits the text again, by which file exists.

/// How the text after the slash is parsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    /// There is no target.
    Nothing,
    /// `LIBRARY:SYMBOL[+OFFSET]`; a return probe if `true`.
    Uprobe(bool),
    /// `LIBRARY:PATTERN`
    UprobeMulti(bool),
    /// `LIBRARY:PROVIDER:NAME`
    Usdt,
    /// `FUNCTION[+OFFSET]`
    Kprobe(bool),
    /// `PATTERN`
    KprobeMulti(bool),
    /// `NAME` of a system call.
    Ksyscall(bool),
    /// `CATEGORY/NAME`
    Tracepoint,
    /// `NAME` of a tracepoint, without its category.
    RawTracepoint,
    /// `NAME` of a function, hook, iterator or tracepoint that the kernel's BTF has.
    BtfName,
    /// `[MODULE:]PATTERN` of functions that BTF has.
    BtfPattern,
    /// Any text: a label for people.
    Label,
}

/// An attach point, as a section name gives it.
#[doc(alias("attach_btf_id", "attach_prog_fd"))]
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Target {
    /// A user-space function.
    Uprobe {
        /// A path, or a bare library name.
        library: String,
        /// The function, optionally with its version (`getaddrinfo@@GLIBC_2.2.5`) or address (`f@0x1234`); or only an
        /// address.
        symbol: String,
        /// Bytes from the function's start.
        offset: u64,
        /// Whether it is a return probe.
        retprobe: bool,
    },
    /// All user-space functions that match a pattern.
    UprobeMulti {
        /// A path, or a bare library name.
        library: String,
        /// The pattern of function names: `*` matches any text, `?` one character.
        pattern: String,
        /// Whether it is a return probe.
        retprobe: bool,
    },
    /// A statically defined tracepoint of a user-space program.
    Usdt {
        /// A path, or a bare library name.
        library: String,
        /// The provider: the group of the tracepoint.
        provider: String,
        /// The tracepoint's name in the group.
        name: String,
    },
    /// A function of the kernel.
    Kprobe {
        /// Its symbol.
        function: String,
        /// Bytes from its start.
        offset: u64,
        /// Whether it is a return probe.
        retprobe: bool,
    },
    /// All functions of the kernel that match a pattern.
    KprobeMulti {
        /// The pattern of function names: `*` matches any text, `?` one character.
        pattern: String,
        /// Whether it is a return probe.
        retprobe: bool,
    },
    /// A system call.
    Ksyscall {
        /// Its name, e.g. `openat`, without a prefix such as `__x64_sys_`.
        name: String,
        /// Whether it is a return probe.
        retprobe: bool,
    },
    /// A tracepoint of the kernel.
    Tracepoint {
        /// The directory under `events` in tracefs, e.g. `task`.
        category: String,
        /// The tracepoint, e.g. `task_newtask`.
        name: String,
    },
    /// A tracepoint of the kernel, attached to without a perf event.
    RawTracepoint {
        /// The tracepoint, without its category.
        name: String,
    },
    /// A function, hook, iterator or tracepoint by its name in the kernel's BTF.
    Btf {
        /// The name, without the kernel's prefix of such types (`bpf_lsm_`, `btf_trace_`, `bpf_iter_`).
        name: String,
    },
    /// All functions whose names match a pattern, by their BTF: of the kernel, or of one module.
    TracingMulti {
        /// The module; `None` for the kernel itself.
        module: Option<String>,
        /// The pattern of function names: `*` matches any text, `?` one character.
        pattern: String,
    },
    /// A label: programs of this type are attached by hand.
    Label(String),
    /// A text that is no target of its type, such as `uretprobe/readline`, which names no library. Existing objects
    /// have such sections: the program is loaded, and the caller attaches it by hand.
    Unreadable {
        /// The text after the slash.
        text: String,
        /// The reason.
        why: &'static str,
    },
}

impl Target {
    /// Returns the cargo feature that attaches programs to such a target.
    #[cfg(not(all(feature = "kprobe", feature = "tracepoint", feature = "tracing", feature = "usdt")))]
    pub(crate) fn feature(&self) -> &'static str {
        match self {
            Self::Uprobe { .. } | Self::UprobeMulti { .. } => "uprobe",
            Self::Usdt { .. } => "usdt",
            Self::Kprobe { .. } | Self::KprobeMulti { .. } | Self::Ksyscall { .. } => "kprobe",
            Self::Tracepoint { .. } | Self::RawTracepoint { .. } => "tracepoint",
            Self::Btf { .. } | Self::TracingMulti { .. } | Self::Label(_) | Self::Unreadable { .. } => "tracing",
        }
    }

    /// Parses the text after the slash; `None` if there is no target.
    pub(super) fn read(reading: Reading, rest: &str) -> Option<Self> {
        Self::attach_point(reading, rest).unwrap_or_else(|why| Some(Self::Unreadable { text: rest.to_owned(), why }))
    }

    fn attach_point(reading: Reading, rest: &str) -> Result<Option<Self>, &'static str> {
        Ok(Some(match reading {
            Reading::Nothing => return Ok(None),
            Reading::Uprobe(retprobe) => uprobe(rest, retprobe)?,
            Reading::UprobeMulti(retprobe) => {
                let (library, pattern) = in_library(rest)?;
                Self::UprobeMulti { library, pattern, retprobe }
            }
            Reading::Usdt => usdt(rest)?,
            Reading::Kprobe(retprobe) => kprobe(rest, retprobe)?,
            Reading::KprobeMulti(retprobe) => Self::KprobeMulti { pattern: rest.to_owned(), retprobe },
            Reading::Ksyscall(retprobe) => Self::Ksyscall { name: rest.to_owned(), retprobe },
            Reading::Tracepoint => tracepoint(rest)?,
            Reading::RawTracepoint => Self::RawTracepoint { name: rest.to_owned() },
            Reading::BtfName => Self::Btf { name: rest.to_owned() },
            Reading::BtfPattern => tracing_multi(rest)?,
            Reading::Label => Self::Label(rest.to_owned()),
        }))
    }
}

const NO_LIBRARY: &str = "its target is LIBRARY:SYMBOL, and there is no colon, or nothing on one side of it";

fn in_library(rest: &str) -> Result<(String, String), &'static str> {
    // Each is the first of an odd number of consecutive colons: the others form `::`.
    let is_single = |(library, symbol): &(&str, &str)| {
        let colons = 1 + symbol.bytes().take_while(|&byte| byte == b':').count();
        !library.ends_with(':') && colons % 2 == 1
    };
    let found = splits(rest).find(is_single).or_else(|| splits(rest).next());
    found.map(|(library, symbol)| (library.to_owned(), symbol.to_owned())).ok_or(NO_LIBRARY)
}

/// Returns both sides of each colon, the last colon first; only if neither side is empty.
pub(crate) fn splits(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let colons = text.rmatch_indices(':');
    let sides = colons.filter_map(|(at, _)| Some((text.get(..at)?, text.get(at + 1..)?)));
    sides.filter(|(first, second)| !first.is_empty() && !second.is_empty())
}

fn uprobe(rest: &str, retprobe: bool) -> Result<Target, &'static str> {
    let (library, function) = in_library(rest)?;
    let (symbol, offset) = with_offset(&function, retprobe)?;
    Ok(Target::Uprobe { library, symbol, offset, retprobe })
}

fn kprobe(rest: &str, retprobe: bool) -> Result<Target, &'static str> {
    let (function, offset) = with_offset(rest, retprobe)?;
    Ok(Target::Kprobe { function, offset, retprobe })
}

/// Parses `SYMBOL[+OFFSET]`.
fn with_offset(function: &str, retprobe: bool) -> Result<(String, u64), &'static str> {
    let (symbol, offset) = match function.rsplit_once('+') {
        Some((symbol, offset)) => (symbol, number(offset).ok_or("its offset is not a number")?),
        None => (function, 0),
    };
    if symbol.is_empty() {
        return Err("its target names no function");
    }
    if retprobe && offset != 0 {
        return Err("a return probe takes no offset: it attaches to the function's entry");
    }
    Ok((symbol.to_owned(), offset))
}

fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(hexadecimal) => u64::from_str_radix(hexadecimal, 16).ok(),
        None => text.parse().ok(),
    }
}

fn usdt(rest: &str) -> Result<Target, &'static str> {
    const KIND: &str = "its target is LIBRARY:PROVIDER:NAME";
    let (rest, name) = rest.rsplit_once(':').ok_or(KIND)?;
    let (library, provider) = rest.rsplit_once(':').ok_or(KIND)?;
    if library.is_empty() || provider.is_empty() || name.is_empty() {
        return Err(KIND);
    }
    Ok(Target::Usdt { library: library.to_owned(), provider: provider.to_owned(), name: name.to_owned() })
}

fn tracing_multi(rest: &str) -> Result<Target, &'static str> {
    if !cfg!(feature = "tracing") {
        // Such an object is refused. Without the rest the program is smaller.
        return Ok(Target::TracingMulti { module: None, pattern: rest.to_owned() });
    }
    let (module, pattern) = match rest.split_once(':') {
        Some((module, pattern)) => (Some(module), pattern),
        None => (None, rest),
    };
    if pattern.is_empty() || module.is_some_and(str::is_empty) {
        return Err("its target is [MODULE:]PATTERN");
    }
    Ok(Target::TracingMulti { module: module.map(str::to_owned), pattern: pattern.to_owned() })
}

fn tracepoint(rest: &str) -> Result<Target, &'static str> {
    match rest.split_once('/') {
        Some((category, name)) if !category.is_empty() && !name.is_empty() && !name.contains('/') => {
            Ok(Target::Tracepoint { category: category.to_owned(), name: name.to_owned() })
        }
        _ => Err("its target is CATEGORY/NAME"),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::program_section::Section, *};

    fn target(name: &str) -> Option<Target> {
        Section::read(name).unwrap().target
    }

    fn probe(library: &str, symbol: &str, offset: u64, retprobe: bool) -> Option<Target> {
        Some(Target::Uprobe { library: library.into(), symbol: symbol.into(), offset, retprobe })
    }

    #[test]
    fn uprobes_have_library_and_symbol() {
        assert_eq!(target("uprobe/libc.so.6:getaddrinfo"), probe("libc.so.6", "getaddrinfo", 0, false));
        assert_eq!(target("uretprobe//lib/x.so:f"), probe("/lib/x.so", "f", 0, true));
        assert_eq!(target("uprobe/./a:b:f+0x10"), probe("./a:b", "f", 16, false));
        assert_eq!(target("uprobe//x:f+7"), probe("/x", "f", 7, false));
        assert_eq!(target("uprobe/l:f@@V_2"), probe("l", "f@@V_2", 0, false));
        assert_eq!(target("uprobe"), None);
    }

    #[test]
    fn symbols_may_have_colons_dots_and_addresses() {
        assert_eq!(target("uprobe//x:a::b"), probe("/x", "a::b", 0, false));
        assert_eq!(target("uprobe//x:::b+2"), probe("/x", "::b", 2, false));
        assert_eq!(target("uprobe//x:main.(*T).M"), probe("/x", "main.(*T).M", 0, false));
        assert_eq!(target("uprobe//x:0x1234"), probe("/x", "0x1234", 0, false));
        assert_eq!(target("uretprobe//x:f@0x1234"), probe("/x", "f@0x1234", 0, true));
        assert_eq!(target("uprobe//x:go.f.1@0x10+4"), probe("/x", "go.f.1@0x10", 4, false));
        assert_eq!(target("uprobe//x:f:"), probe("/x", "f:", 0, false));
    }

    #[test]
    fn other_targets_have_their_own_grammar() {
        let tracepoint = Some(Target::Tracepoint { category: "task".into(), name: "task_newtask".into() });
        assert_eq!(target("tracepoint/task/task_newtask"), tracepoint);
        assert_eq!(target("tp/task/task_newtask"), tracepoint);
        let usdt = Target::Usdt { library: "/bin/x".into(), provider: "p".into(), name: "n".into() };
        assert_eq!(target("usdt//bin/x:p:n"), Some(usdt));
        let kprobe = Target::Kprobe { function: "do_exit".into(), offset: 4, retprobe: false };
        assert_eq!(target("kprobe/do_exit+4"), Some(kprobe));
        assert_eq!(target("fentry/do_exit"), Some(Target::Btf { name: "do_exit".into() }));
        assert_eq!(target("socket/mine"), Some(Target::Label("mine".into())));
    }

    #[test]
    fn broken_targets_are_kept_as_text() {
        for name in [
            "uprobe/x",
            "uprobe/:f",
            "uprobe/x:",
            "uprobe/x:f+z",
            "uretprobe/x:f+1",
            "kretprobe/f+1",
            "tp/x",
            "tp/x/",
            "usdt/a:b",
        ] {
            let Some(Target::Unreadable { text, .. }) = target(name) else { panic!("{name:?}: {:?}", target(name)) };
            assert_eq!(Some(text.as_str()), name.split_once('/').map(|(_, text)| text));
        }
    }
}
