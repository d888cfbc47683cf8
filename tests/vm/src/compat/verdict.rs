//! The results of `compat`, in the form of its JSON.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::arch::Arch;

/// The results of a run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Report {
    pub(super) kernels: Vec<OnKernel>,
    /// The files that are not BPF objects.
    pub(super) skipped: Vec<Skipped>,
}

/// A file that was skipped.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Skipped {
    pub(super) file: PathBuf,
    pub(super) why: String,
}

/// The results on one kernel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct OnKernel {
    /// The kernel as requested.
    pub(super) kernel: String,
    /// Its architecture; the JSON of earlier versions has none.
    #[serde(default = "own")]
    pub(super) arch: Arch,
    /// `uname -r`, once it has booted.
    pub(super) release: Option<String>,
    /// Why there are no results.
    pub(super) absent: Option<String>,
    /// Whether it is a default kernel that is not available here, which is not a failure.
    #[serde(default)]
    pub(super) skipped: bool,
    /// The file with the BTF that was used in place of the kernel's own.
    #[serde(default)]
    pub(super) btf: Option<PathBuf>,
    #[serde(default)]
    pub(super) notes: Vec<String>,
    pub(super) objects: Vec<Verdict>,
}

fn own() -> Arch {
    Arch::OWN
}

impl OnKernel {
    pub(super) fn new(kernel: impl Into<String>, arch: Arch) -> Self {
        Self {
            kernel: kernel.into(),
            arch,
            release: None,
            absent: None,
            skipped: false,
            btf: None,
            notes: Vec::new(),
            objects: Vec::new(),
        }
    }

    /// Returns the name for messages: with the architecture, if it is not this machine's.
    pub(super) fn title(&self) -> String {
        if self.arch.is_foreign() { format!("{} ({})", self.kernel, self.arch) } else { self.kernel.clone() }
    }

    /// Returns true if another run's results are for the same request.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        (&self.kernel, self.arch) == (&other.kernel, other.arch)
    }
}

/// The verdict on one object.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Verdict {
    pub(super) object: String,
    /// Whether the whole object loads.
    pub(super) loads: bool,
    /// Why it does not.
    pub(super) why: Option<String>,
    /// Whether loading it ended the guest.
    #[serde(default)]
    pub(super) crashed: bool,
    pub(super) programs: Vec<Program>,
}

/// The verdict on one program; figures that the kernel does not give are `None`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Program {
    pub(super) name: String,
    pub(super) loads: bool,
    /// Why it does not, or why it was not tried.
    pub(super) why: Option<String>,
    /// Whether it was not tried; then it does not load either.
    #[serde(default)]
    pub(super) not_tried: bool,
    /// Whether loading it ended the guest.
    #[serde(default)]
    pub(super) crashed: bool,
    /// The instructions that the verifier walked.
    pub(super) instructions: Option<u64>,
    pub(super) total_states: Option<u64>,
    pub(super) peak_states: Option<u64>,
    /// The stack of each function in bytes; the first is the program itself.
    pub(super) stack: Option<Vec<u32>>,
}

impl Report {
    /// Returns true if every object loads on every kernel.
    pub(super) fn all_load(&self) -> bool {
        self.kernels.iter().filter(|on| !on.skipped).all(|on| on.absent.is_none() && on.objects.iter().all(|o| o.loads))
    }
}
