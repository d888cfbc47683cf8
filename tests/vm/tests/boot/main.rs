//! The command on real guests. By default one guest is booted. The sick guests take minutes and run on request:
//! `cargo test -p cutaway-vm --test boot -- --include-ignored`.
//!
//! This one binary has both roles, like the command: on the host it starts guests, and in a guest (`CUTAWAY_VM` is set)
//! it is the test binary that they run.
//!
//! Without QEMU or without a kernel every test here is ignored, with the reason.

mod arm;
mod guest;
mod hardware;
mod modules;
mod output;
mod shell;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use cutaway_vm::kernel::{Request, obtain};
use cutaway_vm::{Arch, Cache};
use libtest_mimic::{Arguments, Completion, Failed, Trial};

type Ran = Result<(), Failed>;
type Test = fn() -> Ran;

fn main() {
    let mut arguments = Arguments::from_args();
    if std::env::var_os("CUTAWAY_VM").is_some() {
        return guest::main(&arguments);
    }
    // Every guest has two CPUs: several guests at a time would starve each other.
    arguments.test_threads = arguments.test_threads.or(Some(1));
    let tests: [(&str, Test); 28] = [
        ("healthy", healthy),
        ("sick::panic", panic),
        ("sick::hang", hang),
        ("sick::starve", starve),
        ("sick::power_off", power_off),
        ("sick::missing_library", missing_library),
        ("sick::megabyte", megabyte),
        ("sick::deluge", output::deluge),
        ("modules::of_the_package_are_loaded", modules::of_the_package),
        ("modules::compressed_ones_are_loaded", modules::compressed),
        ("modules::of_a_given_image_are_loaded", modules::of_a_given_image),
        ("modules::unusable_ones_are_named", modules::unusable),
        ("shell::on_a_terminal", shell::on_a_terminal),
        ("shell::reads_a_pipe", shell::reads_a_pipe),
        ("shell::ends", shell::ends),
        ("shell::on_failure", shell::on_failure),
        ("sick::disk", disk),
        ("sick::processes", processes),
        ("sick::liars", liars),
        ("sick::glutton", glutton),
        ("shared::by_two_guests", shared),
        ("shared::by_two_machines", two_machines),
        ("sick::interrupted", interrupted),
        ("sick::killed", killed),
        ("skips::are_judged", skips_are_judged),
        ("skips::on_every_kernel", skips_on_every_kernel),
        ("hardware::four_cpus", hardware::four_cpus),
        ("hardware::one_cpu_and_little_memory", hardware::one_cpu_and_little_memory),
    ];
    let trials = tests.map(|(name, test)| {
        let able = move || match lacking() {
            Some(reason) => Ok(Completion::ignored_with(reason)),
            None => test().map(|()| Completion::Completed),
        };
        Trial::ignorable_test(name, able).with_ignored_flag(name != "healthy")
    });
    libtest_mimic::run(&arguments, trials.into_iter().chain(arm::trials()).collect()).exit();
}

/// The kernel of most of these tests.
const KERNEL: &str = "6.1";

/// Returns the reason why no guest can run here.
fn lacking() -> Option<String> {
    if Command::new("qemu-system-x86_64").arg("--version").output().is_err() {
        return Some("QEMU is not installed (apt-get install qemu-system-x86)".to_owned());
    }
    let request: Request = KERNEL.parse().ok()?;
    let kernel = Cache::open().and_then(|cache| obtain(&request, Arch::OWN, &cache, false));
    kernel.err().map(|error| format!("no kernel is available: {error}"))
}

fn command() -> Command {
    Command::new(env!("CARGO_BIN_EXE_cutaway-vm"))
}

/// The result of a command that has ended.
struct Done {
    code: Option<i32>,
    text: String,
    took: Duration,
}

impl Done {
    fn says(&self, part: &str) -> Ran {
        if self.text.contains(part) { Ok(()) } else { Err(format!("{part:?} is not in\n{}", self.text).into()) }
    }

    fn left(&self, code: i32) -> Ran {
        if self.code == Some(code) {
            Ok(())
        } else {
            Err(format!("exited with {:?}, not {code}\n{}", self.code, self.text).into())
        }
    }

    fn within(&self, seconds: u64) -> Ran {
        if self.took < Duration::from_secs(seconds) {
            Ok(())
        } else {
            Err(format!("took {:?}\n{}", self.took, self.text).into())
        }
    }
}

fn run(options: &[&str], binary: &Path, arguments: &[&str]) -> Result<Done, Failed> {
    let started = Instant::now();
    let output = command().args(options).arg("--").arg(binary).args(arguments).stdin(Stdio::null()).output()?;
    let Output { status, stdout, stderr } = output;
    let text = format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    Ok(Done { code: status.code(), text, took: started.elapsed() })
}

fn on(kernel: &str, more: &[&str], tests: &[&str]) -> Result<Done, Failed> {
    let mut options = vec!["--kernel", kernel];
    options.extend(more);
    run(&options, &std::env::current_exe()?, tests)
}

fn sick(name: &str, more: &[&str]) -> Result<Done, Failed> {
    on(KERNEL, more, &["--ignored", "--exact", name])
}

/// The guests of a test: their kernel, and the binary that they run, whose architecture they have.
struct Place {
    kernel: &'static str,
    binary: PathBuf,
}

impl Place {
    fn own() -> Result<Self, Failed> {
        Ok(Self { kernel: KERNEL, binary: std::env::current_exe()? })
    }

    fn run(&self, more: &[&str], tests: &[&str]) -> Result<Done, Failed> {
        run(&[&["--kernel", self.kernel][..], more].concat(), &self.binary, tests)
    }

    fn sick(&self, name: &str, more: &[&str]) -> Result<Done, Failed> {
        self.run(more, &["--ignored", "--exact", name])
    }
}

fn healthy() -> Ran {
    healthy_on(&Place::own()?)
}

/// Checks the environment of a test, and the files that it leaves.
fn healthy_on(place: &Place) -> Ran {
    let kernel = place.kernel;
    let folder = tempfile::tempdir()?;
    let junit = folder.path().join("junit.xml");
    let results = folder.path().join("results");
    let coverage = folder.path().join("coverage");
    let (junit_path, results_path) = (junit.display().to_string(), results.display().to_string());
    let coverage_path = coverage.display().to_string();
    let options = [
        "--bring",
        "getent",
        "--env",
        "EXPECT_CPUS=2",
        "--env",
        "EXPECT_MEMORY_MIB=512",
        "--junit",
        &junit_path,
        "--results",
        &results_path,
        "--coverage",
        &coverage_path,
    ];
    let done = place.run(&options, &[])?;
    done.left(0)?;
    for name in ["mounts", "loopback", "resolver", "program", "results", "cpus", "hotplug", "memory"] {
        done.says(&format!("test boot {name} ... ok"))?;
    }
    done.says("test boot needs_the_future ... ignored, needs 99.0: a kernel of the future")?;
    done.says("test boot sick::panic ... ignored")?;
    done.says("vm result: ok")?;
    let files = results.join(kernel).join("files/figures");
    assert_eq!(fs::read(files.join("empty"))?, b"");
    assert_eq!(fs::read(files.join("large"))?, vec![b'x'; (1 << 20) + 1]);
    assert!(fs::read_to_string(files.join("kernel"))?.starts_with(kernel));
    assert!(!results.join(kernel).join("files/coverage").exists(), "the reports are moved");
    let report = fs::read_to_string(coverage.join(kernel).join("cutaway-1-0.info"))?;
    assert!(report.ends_with("DA:1,1\nDA:2,0\nend_of_record\n"), "{report}");
    assert!(fs::read_to_string(coverage.join("all.info"))?.contains("DA:1,1\nDA:2,0\nLF:2\nLH:1\n"));
    assert!(
        fs::read_to_string(results.join(kernel).join("console.log"))?.contains(&format!("Linux version {kernel}."))
    );
    let report = fs::read_to_string(&junit)?;
    assert!(report.contains(r#"failures="0" errors="0""#) && report.contains(r#"name="hotplug""#), "{report}");
    Ok(())
}

fn panic() -> Ran {
    panic_on(&Place::own()?)
}

fn panic_on(place: &Place) -> Ran {
    let done = place.sick("sick::panic", &[])?;
    done.left(1)?;
    done.within(60)?;
    done.says("test boot sick::panic ... GUEST DIED").or_else(|_| done.says("the guest died during this test"))?;
    done.says("about to panic")?;
    done.says("Kernel panic - not syncing: sysrq triggered crash")?;
    done.says("sysrq_handle_crash")
}

fn hang() -> Ran {
    hang_on(&Place::own()?)
}

fn hang_on(place: &Place) -> Ran {
    let done = place.sick("sick::hang", &["--test-timeout", "5"])?;
    done.left(1)?;
    done.within(60)?;
    done.says("test boot sick::hang ... TIMED OUT (5.")?;
    done.says("about to sleep")?;
    // The trace has the kernel function that the sleeping thread is in.
    done.says("nanosleep")?;
    // The time limit of the guest ends it too, if the test's limit does not.
    let done = place.sick("sick::hang", &["--timeout", "20"])?;
    done.left(1)?;
    done.within(40)?;
    done.says("the time limit of the guest was exceeded")
}

fn starve() -> Ran {
    starve_on(&Place::own()?, "NMI")
}

/// Checks a starved guest. `reason` is the kernel's own for the panic that the alarm causes.
fn starve_on(place: &Place, reason: &str) -> Ran {
    let done = place.sick("sick::starve", &["--hang-timeout", "15"])?;
    done.left(1)?;
    done.within(90)?;
    done.says("the guest hung; asked for its stacks, it printed: ")?;
    done.says(&format!("Kernel panic - not syncing: {reason}"))?;
    done.says("about to starve")
}

fn power_off() -> Ran {
    power_off_on(&Place::own()?)
}

/// Checks that a guest which ends without its last message is no success.
fn power_off_on(place: &Place) -> Ran {
    let done = place.sick("sick::power_off", &[])?;
    done.left(1)?;
    done.within(60)?;
    done.says("the guest died during this test").or_else(|_| done.says("GUEST DIED"))?;
    done.says("about to power off")?;
    done.says("without a reason; its console ends with:")
}

fn missing_library() -> Ran {
    let folder = tempfile::tempdir()?;
    let broken = folder.path().join("broken");
    let mut bytes = fs::read(std::env::current_exe()?)?;
    let name = b"libgcc_s.so.1";
    let offset = bytes.windows(name.len()).position(|window| window == name).ok_or("libgcc_s is not needed")?;
    bytes.get_mut(offset + 3..offset + 6).ok_or("cut off")?.copy_from_slice(b"odd");
    fs::write(&broken, bytes)?;
    fs::set_permissions(&broken, fs::metadata(std::env::current_exe()?)?.permissions())?;
    let done = run(&["--kernel", KERNEL], &broken, &[])?;
    done.left(1)?;
    done.within(60)?;
    done.says("error while loading shared libraries: libodd_s.so.1")?;
    done.says("exit status 127 (it needs libodd_s.so.1, which the host lacks too)")
}

fn megabyte() -> Ran {
    let folder = tempfile::tempdir()?;
    let junit = folder.path().join("junit.xml");
    let done = on(KERNEL, &["--junit", &junit.display().to_string()], &["--ignored", "megabyte"])?;
    done.left(0)?;
    done.within(60)?;
    done.says("test boot sick::megabyte ... ok")?;
    let kept = fs::read_to_string(&junit)?.matches('m').count();
    assert!(kept >= 1024 * 1023, "only {kept} bytes of a megabyte arrived");
    // Beyond the limit only the end is kept, with the harness's verdict.
    let done = sick("sick::flood", &[])?;
    done.left(0)?;
    done.within(90)?;
    done.says("test boot sick::flood ... ok")
}

fn disk() -> Ran {
    let done = sick("sick::disk", &[])?;
    done.left(1)?;
    done.within(60)?;
    done.says("full after 1")?;
    done.says("No space left on device")?;
    done.says("0 passed, 0 skipped, 1 failed")
}

fn processes() -> Ran {
    let early = sick("sick::early", &[])?;
    early.left(1)?;
    early.says("exited with status 0 before the harness reported")?;
    let abort = sick("sick::abort", &[])?;
    abort.left(1)?;
    abort.says("killed by signal 6 (SIGABRT)")?;
    let daemon = sick("sick::daemon", &[])?;
    daemon.left(0)?;
    daemon.within(60)?;
    daemon.says("test boot sick::daemon ... ok")
}

/// Checks failures that look like a success, or like a valid skip.
fn liars() -> Ran {
    for test in ["boot", "sick::other_harness"] {
        let done = sick(test, &[])?;
        done.left(1)?;
        done.says("exited with status 0 before the harness reported")?;
    }
    let done = sick("sick::caught", &[])?;
    done.left(1)?;
    done.says("test boot sick::caught ... FAILED")
}

fn glutton() -> Ran {
    let done = on(KERNEL, &[], &["--ignored", "--exact", "sick::glutton", "--skip", "nothing"])?;
    done.left(1)?;
    done.within(90)?;
    done.says("killed by signal 9")?;
    done.says("0 passed, 0 skipped, 1 failed")
}

/// Checks that two guests share the tests. The crash of one is reported, and does not affect the other.
fn shared() -> Ran {
    let folder = tempfile::tempdir()?;
    let junit = folder.path().join("junit.xml");
    let junit_path = junit.display().to_string();
    let options = ["--guests", "2", "--test-timeout", "10", "--junit", &junit_path];
    let done =
        on(KERNEL, &options, &["--include-ignored", "loopback", "mounts", "resolver", "sick::abort", "sick::panic"])?;
    done.left(1)?;
    done.says("test boot mounts ... ok")?;
    done.says("test boot resolver ... ok")?;
    done.says("killed by signal 6 (SIGABRT)")?;
    done.says("the guest died during this test")?;
    let report = fs::read_to_string(&junit)?;
    assert!(report.contains(r#"name="guest on 6.1""#) && report.contains("sysrq triggered crash"), "{report}");
    Ok(())
}

/// Checks that two machines run each test once, also if each has two guests, and that a plain program is refused.
fn two_machines() -> Ran {
    let names = ["loopback", "mounts", "resolver", "cpus", "memory"];
    let mut lines = Vec::new();
    for shard in ["1/2", "2/2"] {
        let options = ["--shard", shard, "--guests", "2", "--env", "EXPECT_CPUS=2", "--env", "EXPECT_MEMORY_MIB=512"];
        let done = on(KERNEL, &[&options[..], &["--bring", "getent"]].concat(), &names)?;
        done.left(0)?;
        done.says(&format!("vm result of shard {shard}: ok"))?;
        lines.extend(done.text.lines().filter(|line| line.starts_with("test boot ")).map(str::to_owned));
    }
    for name in names {
        let own: Vec<_> = lines.iter().filter(|line| line.starts_with(&format!("test boot {name} ..."))).collect();
        assert!(own.len() == 1 && own.iter().all(|line| line.contains("... ok")), "{name}: {lines:#?}");
    }
    assert_eq!(lines.len(), names.len(), "{lines:#?}");
    let done = run(&["--kernel", KERNEL, "--shard", "1/2"], Path::new("true"), &[])?;
    done.left(1)?;
    done.says("runs once: omit --shard")
}

/// Returns the process id of the QEMU that a command has started, once there is one.
fn qemu_of(parent: u32) -> Option<u32> {
    let limit = Instant::now() + Duration::from_secs(60);
    while Instant::now() < limit {
        for entry in fs::read_dir("/proc").ok()?.flatten() {
            let Some(process) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
            let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
            let Some((start, rest)) = stat.rsplit_once(") ") else { continue };
            let is_child = rest.split(' ').nth(1).is_some_and(|word| word == parent.to_string());
            if is_child && start.contains("(qemu-system") {
                return Some(process);
            }
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    None
}

/// Sends a signal to a command that waits for a hanging guest. Returns its exit code.
fn ended_by(signal: i32) -> Result<Option<i32>, Failed> {
    let mut child = command()
        .args(["--kernel", KERNEL, "--"])
        .arg(std::env::current_exe()?)
        .args(["--ignored", "--exact", "sick::hang"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let qemu = qemu_of(child.id()).ok_or("no QEMU was started")?;
    std::thread::sleep(Duration::from_secs(1));
    let started = Instant::now();
    let process = rustix::process::Pid::from_child(&child);
    let signal = rustix::process::Signal::from_named_raw(signal).ok_or("no such signal")?;
    rustix::process::kill_process(process, signal)?;
    let status = child.wait()?;
    while Path::new("/proc").join(qemu.to_string()).join("exe").read_link().is_ok() {
        if started.elapsed() > Duration::from_secs(5) {
            return Err(format!("QEMU {qemu} is still there").into());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(status.code())
}

fn interrupted() -> Ran {
    assert_eq!(ended_by(libc::SIGINT)?, Some(130));
    Ok(())
}

fn killed() -> Ran {
    assert_eq!(ended_by(libc::SIGKILL)?, None);
    Ok(())
}

fn skips_are_judged() -> Ran {
    let done = on("5.10", &[], &["--ignored", "--exact", "sick::needs_the_past"])?;
    done.left(1)?;
    done.says("skipped with the reason \"needs 5.8: the ring buffer\", but this kernel is 5.10.")?;
    let done = on("5.10", &[], &["--exact", "needs_the_future"])?;
    done.left(0)?;
    done.says("test boot needs_the_future ... ignored, needs 99.0")?;
    let done = on("5.10", &[], &["--ignored", "--exact", "sick::panics_for_the_future"])?;
    done.left(0)?;
    done.says("test boot sick::panics_for_the_future ... ignored, needs 99.0")
}

fn skips_on_every_kernel() -> Ran {
    let done = on("5.10", &["--kernel", KERNEL], &["--exact", "needs_the_future"])?;
    done.left(1)?;
    done.says("FAILED boot needs_the_future: skipped on every kernel of the matrix")?;
    done.says("vm result: FAILED")?;
    let done = on("5.10", &["--kernel", KERNEL], &["--exact", "loopback"])?;
    done.left(0)?;
    done.says("vm result: ok")
}
