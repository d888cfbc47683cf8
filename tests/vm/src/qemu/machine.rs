//! The hardware of a guest, its files on the host, and QEMU's command line.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::accelerator::Accelerator;

/// QEMU's emulator for this machine's own architecture: no other can run this machine's test binaries.
pub(crate) const PROGRAM: &str = concat!("qemu-system-", "x86_64");
/// How to install it.
pub(crate) const ADVICE: &str = "install QEMU's system emulator (Debian, Ubuntu: apt-get install qemu-system-x86; Fedora: dnf install qemu-system-x86-core)";

/// Runs all CPUs of a guest in turn on one thread. With a thread for each, a CPU sometimes executes an instruction that
/// another has just rewritten. The kernel rewrites its code whenever a tracepoint is enabled, and then crashes
/// (`Oops: int3`).
const EMULATION: &str = "tcg,thread=single";

/// The kernel's command line.
///
/// - An oops or lockup panics at once, with its trace on the console, and a panic ends QEMU (`panic=-1` reboots,
///   `-no-reboot` exits).
/// - The CPU's mitigations are slow in emulation, and a throw-away guest does not need them.
/// - The emulated TSC is as good as the emulator's own clock. On a busy host the kernel's watchdog would mark it
///   unstable, and then use a far slower clock, or wait for the other CPUs forever.
/// - Expedited RCU keeps grace periods short (a probe that is removed, a map that is freed).
const KERNEL_LINE: &str = "console=ttyS0 panic=-1 oops=panic softlockup_panic=1 unknown_nmi_panic mitigations=off random.trust_cpu=on tsc=reliable rcupdate.rcu_expedited=1";

/// Words of the kernel's command line that only an emulated machine gets.
///
/// - QEMU before 8.0 translates code for the virtual address where it runs. If each process has its own random
///   addresses, the whole of a test binary and its libraries is translated anew for each test: nine tenths of its time.
/// - A host that is busy at the wrong moment lets the kernel's test of its timer fail, and the boot panics.
const EMULATED: &str = "norandmaps no_timer_check";

/// The emulated CPU: all that QEMU can emulate, except what makes a guest slower.
///
/// - `erms` and `fsrm` tell the kernel and the C library that `rep stosb` and `rep movsb` are fast. QEMU executes them
///   byte by byte. Without the two, they copy and clear memory by words: tests that load objects take half the time.
/// - `la57` adds a level of page tables, which each miss of the emulated TLB has to walk.
const EMULATED_CPU: &str = "max,erms=off,fsrm=off,la57=off";

/// The hardware of a guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// CPUs present at boot, at least 1.
    pub cpus: u32,
    /// Possible CPUs (`/sys/devices/system/cpu/possible`), at least `cpus`.
    pub max_cpus: u32,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// Words appended to the kernel's command line.
    pub append: Vec<String>,
}

/// The files of one guest on the host.
#[derive(Debug, Clone)]
pub(crate) struct Files {
    pub(crate) kernel: PathBuf,
    pub(crate) initramfs: PathBuf,
    pub(crate) console: PathBuf,
    pub(crate) monitor: PathBuf,
    /// The socket for the state of a saved guest, which is then restored and does not boot.
    pub(crate) incoming: Option<PathBuf>,
    /// QEMU's stderr.
    pub(crate) complaints: PathBuf,
}

impl Machine {
    pub(super) fn arguments(&self, files: &Files, accelerator: Accelerator) -> Vec<OsString> {
        let emulated = (accelerator == Accelerator::Tcg).then_some(EMULATED);
        let words = self.append.iter().map(String::as_str);
        let line = [KERNEL_LINE].into_iter().chain(emulated).chain(words).collect::<Vec<_>>().join(" ");
        // A comma ends an option's value; QEMU reads two commas as one.
        let escaped = |path: &Path| path.display().to_string().replace(',', ",,");
        let mut all: Vec<OsString> =
            ["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none"].map(OsString::from).into();
        let mut option = |name: &str, value: OsString| all.extend([OsString::from(name), value]);
        option("-machine", "pc".into());
        let accel = match accelerator {
            Accelerator::Kvm => "kvm",
            Accelerator::Tcg => EMULATION,
        };
        option("-accel", accel.into());
        option("-cpu", if accelerator == Accelerator::Kvm { "host" } else { EMULATED_CPU }.into());
        option("-smp", format!("cpus={},maxcpus={}", self.cpus, self.max_cpus.max(self.cpus)).into());
        option("-m", format!("{}M", self.memory_mib).into());
        let append = match &files.incoming {
            // The kernel and its files are in the saved memory. It stays paused (`-S`) until its state is complete.
            Some(socket) => {
                option("-incoming", format!("unix:{}", socket.display()).into());
                "on"
            }
            None => {
                option("-kernel", files.kernel.clone().into());
                option("-initrd", files.initramfs.clone().into());
                option("-append", line.into());
                "off"
            }
        };
        option("-chardev", format!("file,id=console,path={},append={append}", escaped(&files.console)).into());
        option("-serial", "chardev:console".into());
        option("-chardev", "stdio,id=results,signal=off".into());
        option("-serial", "chardev:results".into());
        option("-qmp", format!("unix:{},server=on,wait=off", escaped(&files.monitor)).into());
        if files.incoming.is_some() {
            all.push("-S".into());
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_line_of_one_guest() {
        let machine = Machine { cpus: 2, max_cpus: 4, memory_mib: 256, append: vec!["quiet".into()] };
        let files = Files {
            kernel: "/k".into(),
            initramfs: "/i".into(),
            console: "/a,b/console".into(),
            monitor: "/m".into(),
            complaints: "/c".into(),
            incoming: None,
        };
        let line: Vec<String> = machine
            .arguments(&files, Accelerator::Tcg)
            .iter()
            .map(|word| word.to_string_lossy().into_owned())
            .collect();
        let after = |name: &str| line.iter().skip_while(|word| *word != name).nth(1).unwrap();
        assert_eq!(after("-smp"), "cpus=2,maxcpus=4");
        assert_eq!(after("-m"), "256M");
        assert!(after("-append").ends_with(" quiet"));
        assert!(line.contains(&"file,id=console,path=/a,,b/console,append=off".to_owned()));
        assert!(line.contains(&"-no-reboot".to_owned()));
    }
}
