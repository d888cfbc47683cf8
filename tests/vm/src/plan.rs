//! What the host asks of the guest: a JSON file in the initramfs.
//!
//! All paths are the guest's, and they are the host's as well: a binary lies in the guest where it lay on the host, so
//! that paths compiled into it (`env!("CARGO_BIN_EXE_…")`, `env!("CARGO_MANIFEST_DIR")`) hold.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Where the plan lies in the guest.
pub const PLAN: &str = "/cutaway-vm/plan.json";
/// Where tests may leave files for the host; also in `CUTAWAY_VM_RESULTS`.
pub const RESULTS: &str = "/results";

/// All that one guest has to do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// In this order.
    pub binaries: Vec<Binary>,
    /// Environment of every process, on top of the guest's own.
    pub environment: BTreeMap<String, String>,
    /// Seconds that one test may take before it is traced and killed.
    pub test_seconds: u64,
    /// Bytes of output kept of one test; what exceeds them is counted and dropped.
    pub output_limit: u64,
}

/// One executable and how to run it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Binary {
    /// The name that reports use, such as `mmap-ring::live`.
    pub label: String,
    /// Absolute path.
    pub path: String,
    /// The working directory; made if it is not there.
    pub directory: String,
    /// The caller's arguments.
    pub arguments: Vec<String>,
    /// It holds a test harness: list its tests and run each in a process of its own. Otherwise run it once.
    pub harness: bool,
    /// Environment of this binary's processes, on top of the plan's.
    pub environment: BTreeMap<String, String>,
    /// Libraries it names that the host does not have; for the error message.
    pub missing: Vec<String>,
}
