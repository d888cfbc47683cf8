//! One QEMU process: its command line, its birth and its certain end.
//!
//! ```text
//!   guest                     QEMU                    here
//!   ttyS0  printk  ──────────────────────────────────> console.log
//!   ttyS1  frames  ───────────── stdout ─────────────> wire::read
//!                   monitor <──── QMP socket ────────── inject-nmi, when the guest hangs
//! ```

pub(crate) mod accel;
pub(crate) mod monitor;

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};

use crate::error::{Error, Result};
use accel::Accelerator;

/// The emulator for this machine's own architecture: the only one whose guests can run this machine's test binaries.
pub(crate) const PROGRAM: &str = concat!("qemu-system-", "x86_64");
/// What to do without it.
pub(crate) const ADVICE: &str = "install QEMU's system emulator (Debian, Ubuntu: apt-get install qemu-system-x86; Fedora: dnf install qemu-system-x86-core)";

/// All CPUs of a guest take turns on one thread. With a thread for each, one of them now and then runs an instruction that another has just
/// rewritten, and the kernel, which rewrites its code whenever a tracepoint comes into use, dies of it (`Oops: int3`).
const EMULATION: &str = "tcg,thread=single";

/// The kernel's command line. A sick guest dies at once, with its trace on the console, and a dead guest is a QEMU that ends (`panic=-1`
/// reboots, `-no-reboot` leaves); nothing in a throw-away guest needs the CPU's mitigations, which software emulation pays dearly for. The emulated TSC is as good
/// as the emulator's own clock; a kernel that watches it doubts it on a busy host, and then reads a clock that is far slower, or waits
/// for the other CPUs for ever. Whatever waits for a grace period (a probe that is removed, a map that is freed) need not wait long.
const KERNEL_LINE: &str = "console=ttyS0 panic=-1 oops=panic softlockup_panic=1 unknown_nmi_panic mitigations=off random.trust_cpu=on tsc=reliable rcupdate.rcu_expedited=1";

/// The hardware of a guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// CPUs present at boot, from 1.
    pub cpus: u32,
    /// CPUs possible (`/sys/devices/system/cpu/possible`), at least `cpus`.
    pub max_cpus: u32,
    /// Memory, MiB.
    pub memory_mib: u64,
    /// More words for the kernel's command line.
    pub append: Vec<String>,
}

/// The files of one guest on the host.
#[derive(Debug, Clone)]
pub(crate) struct Files {
    pub(crate) kernel: PathBuf,
    pub(crate) initramfs: PathBuf,
    pub(crate) console: PathBuf,
    pub(crate) monitor: PathBuf,
    /// QEMU's own complaints.
    pub(crate) complaints: PathBuf,
}

impl Machine {
    fn arguments(&self, files: &Files, accelerator: Accelerator) -> Vec<OsString> {
        let mut line = KERNEL_LINE.to_owned();
        for word in &self.append {
            line.push(' ');
            line.push_str(word);
        }
        // A comma ends an option's value; QEMU reads two as one.
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
        option("-cpu", if accelerator == Accelerator::Kvm { "host" } else { "max" }.into());
        option("-smp", format!("cpus={},maxcpus={}", self.cpus, self.max_cpus.max(self.cpus)).into());
        option("-m", format!("{}M", self.memory_mib).into());
        option("-kernel", files.kernel.clone().into());
        option("-initrd", files.initramfs.clone().into());
        option("-append", line.into());
        option("-chardev", format!("file,id=console,path={}", escaped(&files.console)).into());
        option("-serial", "chardev:console".into());
        option("-chardev", "stdio,id=results,signal=off".into());
        option("-serial", "chardev:results".into());
        option("-qmp", format!("unix:{},server=on,wait=off", escaped(&files.monitor)).into());
        all
    }
}

/// A running QEMU. It dies with this value, and with this process, however that ends.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
}

impl Running {
    /// Starts a guest and hands out its result channel.
    pub(crate) fn start(machine: &Machine, files: &Files, accelerator: Accelerator) -> Result<(Self, ChildStdout)> {
        let complaints = File::create(&files.complaints).map_err(Error::file("make", &files.complaints))?;
        let mut command = Command::new(PROGRAM);
        command
            .args(machine.arguments(files, accelerator))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(complaints)
            // Ctrl-C on the terminal is ours to handle: QEMU is not in the terminal's group.
            .process_group(0);
        die_with_parent(&mut command);
        let mut child = command.spawn().map_err(|error| match error.kind() {
            ErrorKind::NotFound => Error::NotInstalled { program: PROGRAM.to_owned(), advice: ADVICE },
            _ => Error::File { attempt: "run", path: PROGRAM.into(), source: error },
        })?;
        let channel = child.stdout.take().ok_or_else(|| Error::File {
            attempt: "read from",
            path: PROGRAM.into(),
            source: io::Error::other("its output is not piped"),
        })?;
        Ok((Self { child }, channel))
    }

    /// Whether it has ended by itself.
    pub(crate) fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.child.try_wait().map_err(Error::file("wait for", PROGRAM))
    }

    /// Ends it now.
    pub(crate) fn kill(&mut self) {
        // It may have ended by itself in between; either way it is waited for, and no zombie stays.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

/// `PR_SET_PDEATHSIG`: the kernel kills QEMU if the thread that started it dies, by `kill -9` too.
fn die_with_parent(command: &mut Command) {
    #![expect(unsafe_code, reason = "what runs between fork and exec is the caller's promise")]
    let before_exec = || Ok(rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?);
    // SAFETY: the closure runs in the forked child before exec and only makes one system call (prctl); it allocates
    // nothing, takes no lock and touches no memory of the parent's, so it is async-signal-safe.
    unsafe { command.pre_exec(before_exec) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_line_for_one_guest() {
        let machine = Machine { cpus: 2, max_cpus: 4, memory_mib: 256, append: vec!["quiet".into()] };
        let files = Files {
            kernel: "/k".into(),
            initramfs: "/i".into(),
            console: "/a,b/console".into(),
            monitor: "/m".into(),
            complaints: "/c".into(),
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
        assert!(line.contains(&"file,id=console,path=/a,,b/console".to_owned()));
        assert!(line.contains(&"-no-reboot".to_owned()));
    }
}
