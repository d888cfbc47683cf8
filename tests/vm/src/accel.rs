//! Selects an accelerator that works on this machine.
//!
//! `/dev/kvm` is no proof: under a hypervisor it may exist, open and create machines, and yet hang in the firmware. So
//! a canary guest is booted, and the result is cached until the machine or QEMU changes.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::arch::Arch;
use crate::base::Source;
use crate::cache::Cache;
use crate::error::{Error, Result};
use crate::kernel::Kernel;
use crate::orders::Task;
use crate::prepare;
use crate::qemu::{Accelerator, Machine};
use crate::report::End;
use crate::run::{Limits, Run, Start};
use crate::shard::Shard;
use crate::tool::Tool;

const KEPT_AS: &str = "accelerator.json";
/// With working KVM a guest boots within two seconds.
const CANARY_SECONDS: u64 = 15;

/// The accelerator that the user requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Choice {
    /// KVM where it works, software emulation elsewhere
    #[default]
    Auto,
    /// KVM, or an error if it does not work
    Kvm,
    /// Software emulation
    Tcg,
}

/// The selected accelerator, and the reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// The accelerator to use.
    pub accelerator: Accelerator,
    /// The reason, in one line.
    pub reason: String,
}

/// A cached decision and the conditions it was made under.
#[derive(Serialize, Deserialize)]
struct Kept {
    circumstances: String,
    decision: Decision,
}

/// Selects the accelerator for guests of an architecture; boots `kernel` as a canary if no decision is cached.
///
/// # Errors
/// If KVM was requested and does not work, or QEMU is not installed.
pub fn decide(choice: Choice, arch: Arch, kernel: &Kernel, cache: &Cache) -> Result<Decision> {
    if choice == Choice::Tcg {
        return Ok(Decision { accelerator: Accelerator::Tcg, reason: "requested".to_owned() });
    }
    if arch.is_foreign() {
        let why = format!("this machine's CPU does not execute {arch}");
        return match choice {
            Choice::Kvm => Err(Error::NoKvm { why }),
            _ => Ok(Decision { accelerator: Accelerator::Tcg, reason: why }),
        };
    }
    let version = Tool::new(arch.emulator(), arch.advice()).args(["--version"]).output()?;
    // After another boot, the machine may have another hypervisor or other modules.
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let circumstances = format!("{} {}", version.lines().next().unwrap_or_default(), boot.trim());
    let _one_at_a_time = cache.lock("accelerator")?;
    let kept = cache.load::<Kept>(KEPT_AS).filter(|kept| kept.circumstances == circumstances && choice == Choice::Auto);
    let decision = match kept {
        Some(kept) => kept.decision,
        None => {
            let decision = canary(kernel)?;
            cache.store(KEPT_AS, &Kept { circumstances, decision: decision.clone() })?;
            decision
        }
    };
    if choice == Choice::Kvm && decision.accelerator != Accelerator::Kvm {
        return Err(Error::NoKvm { why: decision.reason });
    }
    Ok(decision)
}

fn canary(kernel: &Kernel) -> Result<Decision> {
    let tcg = |reason: String| Ok(Decision { accelerator: Accelerator::Tcg, reason });
    let device = Path::new("/dev/kvm");
    if !device.exists() {
        return tcg("/dev/kvm does not exist".to_owned());
    }
    if let Err(error) = fs::File::options().read(true).write(true).open(device) {
        return tcg(format!("cannot open /dev/kvm: {error}"));
    }
    let folder = tempfile::tempdir().map_err(Error::file("create", std::env::temp_dir()))?;
    let plan = crate::plan::Plan::default();
    let source = Source::own();
    let me = std::env::current_exe().map_err(Error::file("find", "this executable"))?;
    let initramfs = prepare::pack(&prepare::base(kernel, &source, &me, false)?, folder.path())?;
    let limit = Duration::from_secs(CANARY_SECONDS);
    let guest = Run {
        name: "canary",
        kernel,
        machine: &Machine { arch: source.arch, cpus: 1, max_cpus: 1, memory_mib: 256, append: Vec::new() },
        accelerator: Accelerator::Kvm,
        start: Start::Boot(&initramfs),
        plan: &plan,
        task: &Task::Run(Shard::WHOLE),
        limits: Limits { boot: limit, silence: limit, whole: limit },
        folder: folder.path(),
    }
    .guest(&mut |_| {})?;
    match guest.end {
        End::Clean => Ok(Decision {
            accelerator: Accelerator::Kvm,
            reason: format!("a canary guest booted in {:.1} s", guest.boot_seconds),
        }),
        End::Interrupted => Err(Error::Interrupted),
        End::OutOfTime | End::Hung(_) => {
            tcg(format!("/dev/kvm exists, but a canary guest did not boot within {CANARY_SECONDS} s"))
        }
        other => tcg(format!("/dev/kvm exists, but a canary guest failed: {}", crate::report::lines::end(&other))),
    }
}
