//! What a test needs of the machine, and the words by which it says that it cannot run here.
//!
//! A test that cannot run is reported as ignored when its turn comes, with the reason. `needs X.Y: …` names a kernel
//! version, and whoever runs the tests on several kernels can check that claim; `needs root: …` names privileges.

use cutaway::features::{self, Support};
use libtest_mimic::{Completion, Failed, Trial};

/// What a test may need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Needs {
    /// Nothing that not everybody has.
    Nothing,
    /// The right to load programs and attach them anywhere.
    Root,
    /// That, and ring buffers.
    Ring,
}

impl Needs {
    /// Why a test that needs this cannot run here; `None` if it can.
    pub(crate) fn obstacle(self) -> Option<String> {
        if self == Self::Nothing {
            return None;
        }
        if !privileged() {
            return Some("needs root: it loads BPF programs and attaches them for all processes".to_owned());
        }
        match (self, features::ring_buffer()) {
            (Self::Ring, Support::Needs(version)) => Some(format!("needs {version}: the ring buffer")),
            _ => None,
        }
    }
}

/// A test of this name, ignored with the reason if what it needs is not there.
pub(crate) fn trial(
    name: impl Into<String>,
    needs: Needs,
    test: impl FnOnce() -> Result<(), Failed> + Send + 'static,
) -> Trial {
    Trial::ignorable_test(name, move || match needs.obstacle() {
        Some(reason) => Ok(Completion::ignored_with(reason)),
        None => test().map(|()| Completion::Completed),
    })
}

/// Whether this process is root with root's capabilities; a container's root may have few.
fn privileged() -> bool {
    /// `CAP_SYS_ADMIN`, which includes what later got capabilities of its own.
    const CAP_SYS_ADMIN: u32 = 21;
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:")).unwrap();
    let effective = u64::from_str_radix(effective.trim(), 16).unwrap();
    effective & (1 << CAP_SYS_ADMIN) != 0
}
