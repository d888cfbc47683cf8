//! The options of the command line.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Parser;

use crate::accel::Choice;
use crate::arch::Arch;
use crate::compat;
use crate::kernel::Request;
use crate::modules;
use crate::slice::Slice;

/// Run test binaries as root on chosen kernels, in throw-away virtual machines
///
/// Without BINARY, builds the workspace of the current directory and runs its
/// integration tests. With BINARY, runs BINARY once. Exception: a Rust test
/// harness, the program that `cargo test` builds, runs once for each test, each
/// time in a new process.
///
/// If the following variable is set, Cargo starts test binaries with cutaway-vm.
/// Plain `cargo test` then runs the tests in a guest (a virtual machine).
/// CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER="cutaway-vm --kernel 6.1 --"
///
/// Exit status: 0 if everything passed; 1 if anything failed or could not be
/// done; 2 for wrong usage; 3 if no kernel was named and none of the default
/// kernels is available; 130 if interrupted. If BINARY runs once, exactly one
/// kernel was named, and the guest ends cleanly, the exit status is BINARY's.
#[derive(Debug, Parser)]
#[command(
    name = "cutaway-vm",
    version,
    args_override_self = true,
    args_conflicts_with_subcommands = true,
    verbatim_doc_comment
)]
pub struct Args {
    /// Kernel version or `newest` (repeatable)
    ///
    /// A version is 5.10 or 6.12.107, for example. The tests run on every
    /// kernel that is named.
    ///
    /// Default without --image: 5.10, 6.1, 6.12 and newest.
    #[arg(long = "kernel", value_name = "VERSION", verbatim_doc_comment)]
    pub(super) kernels: Vec<Request>,
    /// File of a kernel image (repeatable)
    ///
    /// A bzImage for x86_64, an Image for aarch64, of any distribution.
    #[arg(long = "image", value_name = "FILE")]
    pub(super) images: Vec<PathBuf>,
    /// Architecture of the guests: x86_64, aarch64
    ///
    /// Default: that of BINARY, or else this machine's. Without BINARY, the
    /// workspace is built for it. Guests of another architecture are
    /// emulated.
    #[arg(long, value_name = "ARCH", value_enum, hide_possible_values = true, verbatim_doc_comment)]
    pub(super) arch: Option<Arch>,
    /// Directory with another architecture's libraries
    ///
    /// The guest has its files at /. Default: packages of the distribution,
    /// through apt.
    #[arg(long, value_name = "DIR", verbatim_doc_comment)]
    pub(super) sysroot: Option<PathBuf>,
    /// Number of CPUs of each guest
    ///
    /// From 1 to 255.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=255))]
    pub(super) cpus: u32,
    /// Maximum number of CPUs of each guest
    ///
    /// From 1 to 255. Default: the value of --cpus. A guest boots with the
    /// number of CPUs in --cpus. The others are absent at boot, but the
    /// guest's kernel lists them in /sys/devices/system/cpu/possible.
    #[arg(verbatim_doc_comment)]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=255))]
    pub(super) max_cpus: Option<u32>,
    /// Memory of each guest in MiB, at least 64
    ///
    /// Default: 512, or more if the files in the guest need it.
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u64).range(64..))]
    pub(super) memory: Option<u64>,
    /// Time limit of each guest in seconds
    #[arg(long, value_name = "SECS", default_value_t = 900, value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) timeout: u64,
    /// Time limit of each test in seconds
    #[arg(long, value_name = "SECS", default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) test_timeout: u64,
    /// Seconds of silence that mean a hang
    ///
    /// A guest sends a message every second. If no message comes for SECS
    /// seconds, the guest counts as hung and is ended. SECS is at least 5.
    /// While a guest boots, --boot-timeout applies.
    #[arg(verbatim_doc_comment)]
    #[arg(long, value_name = "SECS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(5..))]
    pub(super) hang_timeout: u64,
    /// Seconds without progress that end a boot
    ///
    /// Until its first message, a guest makes progress if its console grows.
    /// Default: 90, or --hang-timeout if that is larger.
    #[arg(long, value_name = "SECS", value_parser = clap::value_parser!(u64).range(5..), verbatim_doc_comment)]
    pub(super) boot_timeout: Option<u64>,
    /// Accelerator: auto (default), kvm, tcg (emulation)
    ///
    /// auto: KVM where it works, software emulation elsewhere
    /// kvm:  KVM, or an error if it does not work
    /// tcg:  software emulation
    #[arg(
        long,
        value_enum,
        default_value_t,
        hide_default_value = true,
        hide_possible_values = true,
        verbatim_doc_comment
    )]
    pub(super) accel: Choice,
    /// Kernels to run at the same time
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(super) parallel: usize,
    /// Number of guests per kernel
    ///
    /// The tests of a kernel are divided among its guests, which run at the
    /// same time. Under software emulation each guest uses one CPU of this
    /// machine.
    #[arg(verbatim_doc_comment)]
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..))]
    pub(super) guests: u8,
    /// Give each test a guest of its own
    ///
    /// A test that breaks its kernel then fails alone. Under software
    /// emulation the guests are restored from a saved one. With --guests N,
    /// N tests run at the same time.
    #[arg(long, verbatim_doc_comment)]
    pub(super) fresh: bool,
    /// Boot each guest instead of restoring a saved one
    ///
    /// Default: under software emulation, and with BINARY or --fresh, a
    /// booted guest is saved in the cache, and later runs with the same files
    /// restore it. `cutaway-vm saved` lists the saved guests.
    #[arg(long, verbatim_doc_comment)]
    pub(super) no_saved: bool,
    /// Limit of all saved guests in MiB
    ///
    /// A run that saves a guest then removes the least recently used ones,
    /// and those that no run has used for a week.
    #[arg(long, value_name = "MIB", default_value_t = 4096, verbatim_doc_comment)]
    pub(super) saved_limit: u64,
    /// Run only the tests of shard K of N
    ///
    /// For N machines that divide the tests among them. A hash of the test's
    /// name decides: each test is in one shard, the same on every kernel, and
    /// a new test moves no other. BINARY must be a test harness.
    #[arg(long, value_name = "K/N", verbatim_doc_comment)]
    pub(super) shard: Option<Slice>,
    /// Keep each guest's files
    ///
    /// The files are the console log, QEMU's messages, the initramfs, and the
    /// files that the tests write to $CUTAWAY_VM_RESULTS. Without --results,
    /// prints the path of the files.
    #[arg(long, verbatim_doc_comment)]
    pub(super) keep: bool,
    /// Directory for console logs and the tests' files
    ///
    /// DIR gets a directory for each kernel. The tests' files are the files
    /// that the tests write to $CUTAWAY_VM_RESULTS.
    #[arg(long, value_name = "DIR", verbatim_doc_comment)]
    pub(super) results: Option<PathBuf>,
    /// Collect BPF coverage of the tests' processes
    ///
    /// Sets CUTAWAY_COVERAGE in the guests. A process that loads BPF objects
    /// with the crate cutaway then leaves reports of the source lines that
    /// ran. DIR/KERNEL gets these reports, in the format of lcov, and
    /// DIR/all.info gets all of them, merged.
    #[arg(long, value_name = "DIR", verbatim_doc_comment)]
    pub(super) coverage: Option<PathBuf>,
    /// Write a JUnit XML report
    #[arg(long, value_name = "FILE")]
    pub(super) junit: Option<PathBuf>,
    /// Copy a file, directory or program into the guest
    ///
    /// If PATH is a name without a slash, cutaway-vm also searches for a
    /// program of that name, as a shell does. The copy has the same path in
    /// the guest. Repeatable.
    #[arg(long, value_name = "PATH", verbatim_doc_comment)]
    pub(super) bring: Vec<PathBuf>,
    /// Load a kernel module before the tests (repeatable)
    ///
    /// The module and those that it depends on come from the kernel's
    /// package. Parameters follow the name: --module "dummy numdummies=2". A
    /// module that is built into the kernel is accepted.
    #[arg(long = "module", value_name = "NAME", verbatim_doc_comment)]
    pub(super) modules: Vec<modules::Request>,
    /// Directory of the modules of the kernels in --image
    ///
    /// DIR is a directory like /lib/modules/RELEASE, with files .ko, .ko.xz
    /// or .ko.zst. Default: this machine's /lib/modules/RELEASE.
    #[arg(long = "modules", value_name = "DIR", verbatim_doc_comment)]
    pub(super) modules_directory: Option<PathBuf>,
    /// Open a shell in the guest instead of running tests
    ///
    /// The guest has the files of a run: BINARY or, in a workspace, its test
    /// binaries. The end of the shell ends the guest, and its exit status is
    /// the command's. Ctrl-] three times within a second ends the guest too.
    /// If stdin is not a terminal, the shell reads its commands from there.
    /// Needs exactly one kernel.
    #[arg(long, conflicts_with_all = ["coverage", "fresh", "junit", "shard"], verbatim_doc_comment)]
    pub(super) shell: bool,
    /// Open a shell in the guest after each failed test
    ///
    /// The shell sees what the test left behind, apart from its processes.
    /// The end of the shell continues the run. Needs a terminal and one
    /// kernel.
    #[arg(long, conflicts_with_all = ["fresh", "guests", "shell"], verbatim_doc_comment)]
    pub(super) shell_on_failure: bool,
    /// Set an environment variable (repeatable)
    ///
    /// Without VALUE, the guest gets this machine's value.
    #[arg(long, value_name = "NAME[=VALUE]")]
    pub(super) env: Vec<String>,
    /// Append to the kernel command line (repeatable)
    #[arg(long, value_name = "WORD")]
    pub(super) append: Vec<String>,
    /// Exclude a package or a test binary (repeatable)
    ///
    /// PACKAGE is not built. PACKAGE::TEST and PACKAGE::* (all test binaries
    /// of PACKAGE) are built, but do not run. So nothing is built again if
    /// `cargo test --workspace` has run before: without a package, Cargo may
    /// build its dependencies with other features.
    #[arg(long, value_name = "PACKAGE", help_heading = WITHOUT_BINARY, verbatim_doc_comment)]
    pub(super) exclude: Vec<String>,
    /// Argument for `cargo test --no-run` (repeatable)
    #[arg(long, value_name = "ARG", allow_hyphen_values = true, help_heading = WITHOUT_BINARY)]
    pub(super) cargo_arg: Vec<String>,
    /// Run only tests with TEXT in the name (repeatable)
    #[arg(long, value_name = "TEXT", help_heading = WITHOUT_BINARY)]
    pub(super) filter: Vec<String>,
    /// Skip tests with TEXT in the name (repeatable)
    #[arg(long, value_name = "TEXT", help_heading = WITHOUT_BINARY)]
    pub(super) skip: Vec<String>,
    /// Run the unit tests too
    #[arg(long, help_heading = WITHOUT_BINARY)]
    pub(super) unit_tests: bool,
    /// Bytes of output kept per test
    ///
    /// Keeps the first BYTES bytes of the output, and the last 16 KiB of the
    /// rest. Drops the bytes between them.
    #[arg(long, value_name = "BYTES", default_value_t = 4 << 20, verbatim_doc_comment)]
    pub(super) output_limit: u64,
    /// Keep debug sections of the guest's executables
    ///
    /// They are large. Backtraces need them to show source lines.
    #[arg(long)]
    pub(super) debug_info: bool,
    /// Run BINARY once even if it is a test harness
    #[arg(long)]
    pub(super) plain: bool,
    /// Query the archives of kernel packages now
    ///
    /// Default: query them if the last query was a week ago or more.
    #[arg(long)]
    pub(super) refresh: bool,
    /// Another action than a run
    #[command(subcommand)]
    pub(super) action: Option<Action>,
    /// Binary to run, and its arguments
    #[arg(last = true, value_name = "BINARY ARGS")]
    pub(super) command: Vec<OsString>,
}

/// Another action than a run.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Action {
    // Its description is that of its arguments.
    Compat(compat::Args),
    /// Print cargo's variables for an architecture
    ///
    /// They are lines for a shell: the linker, its options, and this program as
    /// the runner. Without them, `cargo test --target` needs a C toolchain.
    #[command(verbatim_doc_comment)]
    Env {
        /// The architecture: x86_64, aarch64
        #[arg(long, value_name = "ARCH", value_enum, hide_possible_values = true)]
        arch: Arch,
        /// Directory with another architecture's libraries
        #[arg(long, value_name = "DIR")]
        sysroot: Option<PathBuf>,
    },
    /// List the saved guests, or remove them
    Saved {
        /// Remove the saved guests that no run uses
        #[arg(long)]
        clear: bool,
    },
    /// Merge the JUnit reports of several machines into one verdict
    ///
    /// The reports are those of --junit: of all shards of a run (--shard), of
    /// runs on different kernels, or both. Prints the table and the failures,
    /// as one run does.
    ///
    /// Exit status: 0 if every test passed and no shard is missing; 1 if not,
    /// or if the reports do not belong together; 2 for wrong usage; 3 if no
    /// kernel was named and none of the default kernels was available.
    #[command(verbatim_doc_comment)]
    MergeJunit {
        /// JUnit reports
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// Write the merged report
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
        /// Kernel that must be in a report (repeatable)
        ///
        /// VERSION is written as in the --kernel of the runs. A kernel whose
        /// machines all failed leaves no report.
        #[arg(long = "kernel", value_name = "VERSION", verbatim_doc_comment)]
        kernels: Vec<String>,
    },
}

/// The heading of the options that have no meaning for a BINARY.
const WITHOUT_BINARY: &str = "Options without BINARY";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compat_is_listed_and_takes_its_own_options_only() {
        let parse = |words: &str| Args::try_parse_from(words.split(' '));
        let help = parse("cutaway-vm --help").unwrap_err().to_string();
        assert!(help.contains("\n  compat       Load BPF objects on chosen kernels"), "{help}");
        assert!(help.lines().all(|line| line.chars().count() <= 80), "{help}");
        let own = parse("cutaway-vm compat --help").unwrap_err().to_string();
        assert!(own.contains("\nUsage: cutaway-vm compat [OPTIONS] <OBJECT>...\n"), "{own}");
        let action = parse("cutaway-vm compat --kernel 6.1 a.o").unwrap().action;
        assert!(matches!(action, Some(Action::Compat(_))), "{action:?}");
        // Nothing would read an option before it.
        assert!(parse("cutaway-vm --kernel 6.1 compat a.o").is_err());
    }
}
