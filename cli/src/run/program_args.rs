//! The options that select, prepare and attach programs, of `cutaway run` and `cutaway cover`.

use std::{ffi::OsString, path::PathBuf};

use clap::Args;
use cutaway::{BpfToken, LoadOptions};

use crate::{
    args::{count, pid, scaled},
    error::CliError,
};

/// The options for the programs of an object.
#[derive(Debug, Args)]
pub(crate) struct ProgramArgs {
    /// Run only this program (repeatable)
    ///
    /// Default: every program whose section does not begin with `?`. With
    /// --program, a program runs even if its section begins with `?`.
    #[arg(verbatim_doc_comment)]
    #[arg(long = "program", value_name = "NAME")]
    pub(crate) programs: Vec<String>,

    /// Attach the program NAME to TARGET (repeatable)
    ///
    /// TARGET is written as after the slash in SEC("type/TARGET"). For
    /// programs of these types it is something else:
    ///
    ///   XDP, traffic control, netkit
    ///                              a network interface
    ///   cgroup                     the path of a cgroup
    ///   sk_lookup, flow_dissector  the path of a network namespace
    ///
    /// For uprobes:
    ///
    ///   LIBRARY:SYMBOL, LIBRARY:SYMBOL+OFFSET
    ///   LIBRARY:ADDRESS         hexadecimal, as nm prints it
    ///   LIBRARY:SYMBOL@ADDRESS  if several functions have that name
    ///
    /// For USDT probes: LIBRARY:PROVIDER:NAME
    ///
    /// A LIBRARY that is a path is passed to the kernel unchanged.
    ///
    /// A name is looked up first among the files in cutaway's own memory
    /// (/proc/self/maps). After that, cutaway searches as the dynamic loader
    /// (ld.so) does. If the name has no `.so`, cutaway also searches PATH.
    ///
    /// With --pid, cutaway searches among the files in the memory of process
    /// PID (/proc/PID/maps). It uses the LD_LIBRARY_PATH, the PATH and the
    /// root directory of that process.
    ///
    /// LIBRARY and SYMBOL may contain colons. cutaway tries the text before
    /// each colon, the longest first. LIBRARY is the first text that is an
    /// existing file, or the name of a library that cutaway can find.
    #[arg(verbatim_doc_comment)]
    #[arg(long = "attach", value_name = "NAME=TARGET", value_parser = pair)]
    pub(crate) targets: Vec<String>,

    /// Load the function NAME as a program of SECTION
    ///
    /// For a function whose own section names no program type. SECTION is
    /// written as in SEC("SECTION"), such as
    /// tracepoint/syscalls/sys_enter_openat. Repeatable.
    #[arg(verbatim_doc_comment)]
    #[arg(long = "section", value_name = "NAME=SECTION", value_parser = pair)]
    pub(crate) sections: Vec<String>,

    /// Interface for XDP, tc and netkit programs
    ///
    /// Such a program is skipped if neither --interface nor --attach names
    /// its interface.
    #[arg(verbatim_doc_comment)]
    #[arg(long, value_name = "NAME")]
    pub(crate) interface: Option<String>,

    /// Directory of the cgroup for cgroup programs
    ///
    /// Such a program is skipped if neither --cgroup nor --attach names its
    /// cgroup.
    #[arg(verbatim_doc_comment)]
    #[arg(long, value_name = "PATH")]
    pub(crate) cgroup: Option<String>,

    /// Frequency of perf_event programs [default: 99]
    ///
    /// In Hz. On each CPU, the perf event cpu-clock runs the program at this
    /// frequency. With --pid, the program runs only while process PID runs.
    #[arg(verbatim_doc_comment)]
    #[arg(long, value_name = "HZ", value_parser = count)]
    pub(crate) frequency: Option<u64>,

    /// Attach to this process only; exit when it exits
    ///
    /// Restricts uprobes, USDT probes and perf events. From Linux 6.1, also
    /// restricts programs of SEC("iter/task"), SEC("iter/task_file") and
    /// SEC("iter/task_vma").
    ///
    /// --pid does not restrict programs of other types. cutaway prints the
    /// names of these programs on stderr. If --pid can restrict none of the
    /// programs, cutaway fails. --pid and COMMAND exclude each other.
    #[arg(verbatim_doc_comment)]
    #[arg(long, short, value_name = "PID", conflicts_with = "command", value_parser = pid)]
    pub(crate) pid: Option<u32>,

    /// Set a global variable before loading
    ///
    /// Repeatable. The type of the variable determines the form of VALUE:
    ///
    ///   integer        42, -1, 0xff or 'x'
    ///   enumeration    an enumerator's name, or a number
    ///   bool           true or false
    ///   float, double  1.5
    ///   array of char  the text
    ///   other array    1,2,3 (the other elements are 0)
    ///   __be16         443 (a number in network byte order)
    ///   in6_addr       ::1 (also in_addr and __be32: 127.0.0.1)
    ///   any type       hex:0a0b (its bytes)
    ///
    /// NAME can be a part of a variable: config.level, table[1][2]. The other
    /// parts keep their values.
    #[arg(verbatim_doc_comment)]
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = pair)]
    pub(crate) settings: Vec<String>,

    /// Load with the BPF token of this BPF file system
    ///
    /// For a user namespace to which a privileged process has delegated
    /// commands and types, by the mount options delegate_cmds and others.
    /// An empty PATH uses no token. Needs Linux 6.9.
    ///
    /// Default: if the kernel refuses a request in a user namespace, the
    /// token of $LIBBPF_BPF_TOKEN_PATH or of /sys/fs/bpf.
    #[arg(verbatim_doc_comment)]
    #[arg(long, value_name = "PATH")]
    pub(crate) token: Option<OsString>,

    /// Set the number of elements of a map (repeatable)
    ///
    /// For a ring, N is its size in bytes. N may have a suffix for powers of
    /// 1024: 64K, 4M, 1G.
    ///
    /// Required for a hash, array or similar map if its max_entries is 0 in
    /// the object.
    #[arg(verbatim_doc_comment)]
    #[arg(long = "max-entries", value_name = "MAP=N", value_parser = entries)]
    pub(crate) max_entries: Vec<String>,

    /// Apply CO-RE relocations against this BTF
    ///
    /// For kernels without /sys/kernel/btf/vmlinux. FILE has the types of
    /// the running kernel: a copy of that file, a .btf file of BTFHub or
    /// bpftool, or an ELF file such as vmlinux. Default: the running
    /// kernel's BTF. Attach targets, externs and struct_ops still need the
    /// kernel's own BTF.
    #[arg(verbatim_doc_comment)]
    #[arg(long, value_name = "FILE")]
    pub(crate) btf: Option<PathBuf>,
}

impl ProgramArgs {
    /// Returns each option, and whether it is given.
    pub(crate) fn given(&self) -> [(&'static str, bool); 11] {
        [
            ("--program", !self.programs.is_empty()),
            ("--attach", !self.targets.is_empty()),
            ("--section", !self.sections.is_empty()),
            ("--interface", self.interface.is_some()),
            ("--cgroup", self.cgroup.is_some()),
            ("--frequency", self.frequency.is_some()),
            ("--pid", self.pid.is_some()),
            ("--token", self.token.is_some()),
            ("--set", !self.settings.is_empty()),
            ("--max-entries", !self.max_entries.is_empty()),
            ("--btf", self.btf.is_some()),
        ]
    }
}

/// The token of `--token`.
pub(crate) enum TokenChoice {
    /// The loader finds one.
    Automatic,
    Given(BpfToken),
    Off,
}

impl TokenChoice {
    /// Creates the token.
    pub(crate) fn of(arguments: &ProgramArgs) -> Result<Self, CliError> {
        Ok(match &arguments.token {
            None => Self::Automatic,
            Some(path) if path.is_empty() => Self::Off,
            Some(path) => Self::Given(BpfToken::from_bpffs(path)?),
        })
    }

    /// Returns the options for a load.
    pub(crate) fn load_options(&self) -> LoadOptions<'_> {
        let mut options = LoadOptions::new();
        match self {
            Self::Automatic => {}
            Self::Given(token) => {
                options.token(token);
            }
            Self::Off => {
                options.no_token();
            }
        }
        options
    }
}

/// Checks the form `NAME=VALUE`.
fn pair(text: &str) -> Result<String, String> {
    match text.split_once('=') {
        Some((name, _)) if !name.is_empty() => Ok(text.to_owned()),
        _ => Err("expected NAME=VALUE".to_owned()),
    }
}

/// Checks the form `MAP=N`.
fn entries(text: &str) -> Result<String, String> {
    let number = text.split_once('=').filter(|(name, _)| !name.is_empty()).map(|(_, number)| number);
    match scaled(number.ok_or("expected MAP=N")?) {
        Some(1..=u32::MAX) => Ok(text.to_owned()),
        Some(0) | None => Err(format!("N must be a number from 1 to {}, such as 1000 or 64K", u32::MAX)),
    }
}

/// Splits each `NAME=VALUE`. clap has checked the form.
pub(super) fn pairs(options: &[String]) -> impl Iterator<Item = (&str, &str)> {
    options.iter().map(|option| option.split_once('=').unwrap_or((option, "")))
}
