//! The architectures of guests, and all that differs between them.

use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The architecture of a guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Arch {
    /// 64-bit x86, Debian's amd64
    #[value(name = "x86_64", alias = "amd64")]
    #[serde(rename = "x86_64")]
    X86_64,
    /// 64-bit Arm, Debian's arm64
    #[value(name = "aarch64", alias = "arm64")]
    Aarch64,
}

impl Arch {
    /// All architectures.
    pub const ALL: [Self; 2] = [Self::X86_64, Self::Aarch64];

    /// The architecture of this program.
    pub const OWN: Self = if cfg!(target_arch = "aarch64") { Self::Aarch64 } else { Self::X86_64 };

    /// Returns true if this machine cannot run its programs. (An architecture that QEMU's user emulation runs here is
    /// foreign too.)
    #[must_use]
    pub fn is_foreign(self) -> bool {
        self != Self::OWN
    }

    /// Returns the name that the kernel and Rust use.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
        }
    }

    /// Returns the name that Debian uses.
    pub(crate) fn debian(self) -> &'static str {
        match self {
            Self::X86_64 => "amd64",
            Self::Aarch64 => "arm64",
        }
    }

    /// Returns the Rust target whose programs use Debian's C library.
    #[must_use]
    pub fn target(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64-unknown-linux-gnu",
            Self::Aarch64 => "aarch64-unknown-linux-gnu",
        }
    }

    /// Returns the name of the directory in `/usr/lib` that has Debian's libraries.
    pub(crate) fn multiarch(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64-linux-gnu",
            Self::Aarch64 => "aarch64-linux-gnu",
        }
    }

    /// Returns the path of the C library's dynamic loader.
    pub(crate) fn interpreter(self) -> &'static str {
        match self {
            Self::X86_64 => "/lib64/ld-linux-x86-64.so.2",
            Self::Aarch64 => "/lib/ld-linux-aarch64.so.1",
        }
    }

    /// Returns the name of QEMU's emulator.
    pub(crate) fn emulator(self) -> &'static str {
        match self {
            Self::X86_64 => "qemu-system-x86_64",
            Self::Aarch64 => "qemu-system-aarch64",
        }
    }

    /// Returns how to install the emulator.
    pub(crate) fn advice(self) -> &'static str {
        match self {
            Self::X86_64 => {
                "install QEMU's system emulator (Debian, Ubuntu: apt-get install qemu-system-x86; Fedora: dnf install \
                 qemu-system-x86-core)"
            }
            Self::Aarch64 => {
                "install QEMU's system emulator (Debian, Ubuntu: apt-get install qemu-system-arm; Fedora: dnf install \
                 qemu-system-aarch64-core)"
            }
        }
    }

    /// Returns QEMU's machine. `virt` has the newest interrupt controller that the accelerator supports, because the
    /// oldest one serves at most eight CPUs.
    pub(crate) fn machine(self) -> &'static str {
        match self {
            Self::X86_64 => "pc",
            Self::Aarch64 => "virt,gic-version=max",
        }
    }

    /// Returns QEMU's emulated CPU: all that QEMU can emulate, except what makes a guest slower.
    ///
    /// - `erms` and `fsrm` tell the kernel and the C library that `rep stosb` and `rep movsb` are fast. QEMU executes
    ///   them byte by byte. Without the two, they copy and clear memory by words: tests that load objects take half the
    ///   time.
    /// - `la57` adds a level of page tables, which each miss of the emulated TLB has to walk.
    /// - With pointer authentication, which distributions compile into every function, a program takes twice as long.
    pub(crate) fn cpu(self) -> &'static str {
        match self {
            Self::X86_64 => "max,erms=off,fsrm=off,la57=off",
            Self::Aarch64 => "max,pauth=off",
        }
    }

    /// Returns the words of the kernel's command line that only an emulated machine of this architecture gets. A host
    /// that is busy at the wrong moment lets the x86 kernel's test of its timer fail, and the boot panics.
    pub(crate) fn emulated_words(self) -> &'static str {
        match self {
            Self::X86_64 => "no_timer_check",
            Self::Aarch64 => "",
        }
    }

    /// Returns the kernel's name of the first serial port, the console.
    pub(crate) fn console(self) -> &'static str {
        match self {
            Self::X86_64 => "ttyS0",
            Self::Aarch64 => "ttyAMA0",
        }
    }

    /// Returns the words of the kernel's command line that only this architecture has.
    ///
    /// - The emulated TSC is as good as the emulator's own clock. On a busy host the kernel's watchdog would mark it
    ///   unstable, and then use a far slower clock, or wait for the other CPUs forever.
    /// - A guest that hangs is asked for its stacks: by an NMI, or where the machine has none by SysRq.
    pub(crate) fn kernel_words(self) -> &'static str {
        match self {
            Self::X86_64 => "unknown_nmi_panic tsc=reliable",
            Self::Aarch64 => "sysrq_always_enabled",
        }
    }

    /// Returns the guest's device of the result channel. An 8250 driver is built into every packaged kernel: on x86 for
    /// the second serial port, on Arm for a port on the PCI bus, because the machine's own port has another driver.
    pub(crate) fn channel(self) -> &'static str {
        match self {
            Self::X86_64 => "/dev/ttyS1",
            Self::Aarch64 => "/dev/ttyS0",
        }
    }

    /// Returns QEMU's option for the device of the result channel: a name and a value.
    pub(crate) fn channel_option(self) -> (&'static str, &'static str) {
        match self {
            Self::X86_64 => ("-serial", "chardev:results"),
            Self::Aarch64 => ("-device", "pci-serial,chardev=results"),
        }
    }

    /// Returns true if the monitor can send the machine an NMI.
    pub(crate) fn has_nmi(self) -> bool {
        self == Self::X86_64
    }

    /// Returns true if the machine can have more possible CPUs than it boots with.
    pub(crate) fn has_absent_cpus(self) -> bool {
        self == Self::X86_64
    }

    /// Returns the flavor of Debian's kernels for virtual machines: small, with everything built in that tracing needs.
    pub(crate) fn flavor(self) -> &'static str {
        match self {
            Self::X86_64 => "cloud-amd64",
            Self::Aarch64 => "cloud-arm64",
        }
    }

    /// Returns the architecture of an ELF executable. `None` for any other file.
    #[must_use]
    pub fn of_executable(bytes: &[u8]) -> Option<Self> {
        // A 64-bit file in little-endian order; e_type: an executable or a shared object; e_machine.
        if !bytes.starts_with(b"\x7fELF\x02\x01") || !matches!(bytes.get(16..18), Some([2 | 3, 0])) {
            return None;
        }
        match bytes.get(18..20)? {
            [62, 0] => Some(Self::X86_64),
            [183, 0] => Some(Self::Aarch64),
            _ => None,
        }
    }

    /// Returns an error if a file is an executable for another architecture. A directory is accepted.
    pub(crate) fn check(self, path: &Path) -> Result<()> {
        if !path.is_file() {
            return Ok(());
        }
        match Self::of_executable(&start(path)?) {
            Some(other) if other != self => Err(Error::Unusable {
                path: path.to_path_buf(),
                why: format!("it is an executable for {other}, but the guest is {self}: use --arch {other}"),
            }),
            _ => Ok(()),
        }
    }
}

/// Returns the first bytes of a file: those that identify an ELF file.
pub(crate) fn start(path: &Path) -> Result<Vec<u8>> {
    use std::io::Read;
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(20).read_to_end(&mut bytes))
        .map_err(Error::file("read", path))?;
    Ok(bytes)
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn executables_are_identified() {
        let own = start(&std::env::current_exe().unwrap()).unwrap();
        assert_eq!(Arch::of_executable(&own), Some(Arch::OWN));
        let with = |machine: u8, kind: u8| {
            let mut bytes = own.clone();
            (bytes[16], bytes[18]) = (kind, machine);
            Arch::of_executable(&bytes)
        };
        assert_eq!(with(62, 3), Some(Arch::X86_64));
        assert_eq!(with(183, 2), Some(Arch::Aarch64));
        assert_eq!(with(247, 1), None, "a BPF object");
        assert_eq!(with(243, 3), None, "an architecture that no guest has");
        assert_eq!(Arch::of_executable(b"#!/bin/sh"), None);
    }

    #[test]
    fn executable_of_another_architecture_is_refused() {
        let me = std::env::current_exe().unwrap();
        Arch::OWN.check(&me).unwrap();
        Arch::OWN.check(&std::env::temp_dir()).unwrap();
        let other = if Arch::OWN == Arch::X86_64 { Arch::Aarch64 } else { Arch::X86_64 };
        let error = other.check(&me).unwrap_err().to_string();
        assert!(error.contains(&format!("it is an executable for {}, but the guest is {other}", Arch::OWN)), "{error}");
    }
}
