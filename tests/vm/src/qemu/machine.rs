//! The hardware of a guest, its files on the host, and QEMU's command line.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::accelerator::Accelerator;
use crate::arch::Arch;

/// Runs all CPUs of a guest in turn on one thread. With a thread for each, a CPU sometimes executes an instruction that
/// another has just rewritten. The kernel rewrites its code whenever a tracepoint is enabled, and then crashes
/// (`Oops: int3`).
const EMULATION: &str = "tcg,thread=single";

/// The kernel's command line.
///
/// - An oops or lockup panics at once, with its trace on the console, and a panic ends QEMU (`panic=-1` reboots,
///   `-no-reboot` exits).
/// - The CPU's mitigations are slow in emulation, and a throw-away guest does not need them.
/// - Expedited RCU keeps grace periods short (a probe that is removed, a map that is freed).
const KERNEL_LINE: &str =
    "panic=-1 oops=panic softlockup_panic=1 mitigations=off random.trust_cpu=on rcupdate.rcu_expedited=1";

/// Words of the kernel's command line that only an emulated machine gets. QEMU before 8.0 translates code for the
/// virtual address where it runs. If each process has its own random addresses, the whole of a test binary and its
/// libraries is translated anew for each test: nine tenths of its time.
const EMULATED: &str = "norandmaps";

/// The hardware of a guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// The architecture.
    pub arch: Arch,
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
    /// The socket of the console, if the machine has no NMI: a hung guest answers only to input.
    pub(crate) keyboard: PathBuf,
    /// The socket for the state of a saved guest, which is then restored and does not boot.
    pub(crate) incoming: Option<PathBuf>,
    /// QEMU's stderr.
    pub(crate) complaints: PathBuf,
}

impl Machine {
    pub(super) fn arguments(&self, files: &Files, accelerator: Accelerator) -> Vec<OsString> {
        let arch = self.arch;
        let console = format!("console={}", arch.console());
        let emulated = (accelerator == Accelerator::Tcg).then(|| [EMULATED, arch.emulated_words()]);
        let words = self.append.iter().map(String::as_str);
        let own = [console.as_str(), KERNEL_LINE, arch.kernel_words()];
        let all = own.into_iter().chain(emulated.into_iter().flatten()).filter(|words| !words.is_empty()).chain(words);
        let line = all.collect::<Vec<_>>().join(" ");
        // A comma ends an option's value; QEMU reads two commas as one.
        let escaped = |path: &Path| path.display().to_string().replace(',', ",,");
        let mut all: Vec<OsString> =
            ["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none"].map(OsString::from).into();
        let mut option = |name: &str, value: OsString| all.extend([OsString::from(name), value]);
        option("-machine", arch.machine().into());
        let accel = match accelerator {
            Accelerator::Kvm => "kvm",
            Accelerator::Tcg => EMULATION,
        };
        option("-accel", accel.into());
        option("-cpu", if accelerator == Accelerator::Kvm { "host" } else { arch.cpu() }.into());
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
        let console = if arch.has_nmi() {
            format!("file,id=console,path={},append={append}", escaped(&files.console))
        } else {
            let (log, socket) = (escaped(&files.console), escaped(&files.keyboard));
            format!("socket,id=console,path={socket},server=on,wait=off,logfile={log},logappend={append}")
        };
        option("-chardev", console.into());
        option("-serial", "chardev:console".into());
        option("-chardev", "stdio,id=results,signal=off".into());
        let (name, value) = arch.channel_option();
        option(name, value.into());
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

    fn line(arch: Arch, accelerator: Accelerator) -> Vec<String> {
        let machine = Machine { arch, cpus: 2, max_cpus: 4, memory_mib: 256, append: vec!["quiet".into()] };
        let files = Files {
            kernel: "/k".into(),
            initramfs: "/i".into(),
            console: "/a,b/console".into(),
            monitor: "/m".into(),
            keyboard: "/t".into(),
            complaints: "/c".into(),
            incoming: None,
        };
        let words = machine.arguments(&files, accelerator);
        words.iter().map(|word| word.to_string_lossy().into_owned()).collect()
    }

    fn after<'l>(line: &'l [String], name: &str) -> &'l str {
        line.iter().skip_while(|word| *word != name).nth(1).unwrap()
    }

    #[test]
    fn only_an_emulated_machine_spares_the_emulator() {
        for arch in Arch::ALL {
            let real = line(arch, Accelerator::Kvm);
            assert_eq!(after(&real, "-cpu"), "host");
            assert!(!after(&real, "-append").contains("norandmaps"), "only an emulator is slow with random addresses");
            let emulated = line(arch, Accelerator::Tcg);
            assert_eq!(after(&emulated, "-cpu"), arch.cpu());
            assert!(after(&emulated, "-append").contains(" norandmaps "));
        }
        let of_both = |name| {
            let of = |arch| after(&line(arch, Accelerator::Tcg), name).to_owned();
            (of(Arch::X86_64), of(Arch::Aarch64))
        };
        let (x86, arm) = of_both("-cpu");
        assert!(x86.contains("erms=off") && !arm.contains("erms"), "QEMU refuses an unknown feature");
        let (x86, arm) = of_both("-append");
        assert!(x86.contains("no_timer_check") && !arm.contains("no_timer_check"));
    }

    #[test]
    fn command_line_of_one_guest() {
        let line = line(Arch::X86_64, Accelerator::Tcg);
        let after = |name: &str| after(&line, name);
        assert_eq!(after("-smp"), "cpus=2,maxcpus=4");
        assert_eq!(after("-m"), "256M");
        assert!(after("-append").starts_with("console=ttyS0 ") && after("-append").ends_with(" quiet"));
        assert!(line.contains(&"file,id=console,path=/a,,b/console,append=off".to_owned()));
        assert!(line.contains(&"-no-reboot".to_owned()));
    }

    #[test]
    fn console_without_an_nmi_takes_input() {
        let line = line(Arch::Aarch64, Accelerator::Tcg);
        let console = "socket,id=console,path=/t,server=on,wait=off,logfile=/a,,b/console,logappend=off";
        assert!(line.contains(&console.to_owned()), "{line:?}");
        assert!(line.contains(&"pci-serial,chardev=results".to_owned()), "{line:?}");
    }
}
