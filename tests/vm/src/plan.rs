//! The plan of a guest: a part of its orders.
//!
//! All paths are valid in the guest and on the host: a binary has the same path on both. So paths compiled into it
//! (`env!("CARGO_BIN_EXE_…")`, `env!("CARGO_MANIFEST_DIR")`) are valid too.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::shell::Shell;
use crate::slice::{self, Slice};

/// A file that only a guest has: its process 1 is this program.
pub const INIT: &str = "/cutaway-vm/init";
/// The directory for files that tests leave for the host; also in `CUTAWAY_VM_RESULTS`.
pub const RESULTS: &str = "/results";

/// The work of one guest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The binaries, in the order in which they run.
    pub binaries: Vec<Binary>,
    /// The environment of every process, added to the guest's own.
    pub environment: BTreeMap<String, String>,
    /// The seconds that one test may take before it is traced and killed.
    pub test_seconds: u64,
    /// The bytes of output that are kept of one test; the rest is counted and dropped.
    pub output_limit: u64,
    /// The share of this machine, if several machines divide the tests among them.
    #[serde(default)]
    pub slice: Option<Slice>,
    /// The shell to open in the guest after a failed test. The host knows which tests failed, so the guest waits for
    /// its word after each test.
    #[serde(default)]
    pub shell_on_failure: Option<Shell>,
}

impl Plan {
    /// Returns the digest of what this plan selects on any machine: the binaries' labels and arguments, without paths.
    #[must_use]
    pub fn digest(&self) -> String {
        let mut binaries: Vec<_> =
            self.binaries.iter().map(|binary| (&binary.label, &binary.arguments, binary.harness)).collect();
        binaries.sort_unstable();
        let mut hash = Sha256::new();
        for (label, arguments, harness) in binaries {
            // Counted, so that no two plans have the same bytes.
            hash.update(format!("{label}\0{}\0{harness}\0", arguments.len()));
            arguments.iter().for_each(|word| hash.update(format!("{word}\0")));
        }
        slice::hex(hash)
    }
}

/// An executable and its parameters.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Binary {
    /// The name that reports use, such as `mmap-ring::live`.
    pub label: String,
    /// The absolute path.
    pub path: String,
    /// The working directory; created if it does not exist.
    pub directory: String,
    /// The caller's arguments.
    pub arguments: Vec<String>,
    /// Whether it is a test harness: each test then runs in a process of its own. Otherwise it runs once.
    pub harness: bool,
    /// The environment of this binary's processes, added to the plan's.
    pub environment: BTreeMap<String, String>,
    /// The libraries that it needs and the host lacks; for the error message.
    pub missing: Vec<String>,
}
