//! The guest's tests: healthy ones, and some that end or block the machine they run on.

use std::fs;
use std::io::{ErrorKind, Write};
use std::net::{TcpListener, TcpStream, ToSocketAddrs};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use libtest_mimic::{Arguments, Completion, Failed, Trial};

type Ran = Result<Completion, Failed>;

/// A test of a guest.
type Test = fn() -> Ran;

/// Run by default.
const HEALTHY: [(&str, Test); 10] = [
    ("mounts", mounts),
    ("loopback", loopback),
    ("resolver", resolver),
    ("program", program),
    ("results", results),
    ("cpus", cpus),
    ("hotplug", hotplug),
    ("memory", memory),
    ("modules", modules),
    ("needs_the_future", || Ok(Completion::ignored_with("needs 99.0: a kernel of the future"))),
];

/// Run by name with `--ignored` only.
const SICK: [(&str, Test); 17] = [
    ("sick::megabyte", megabyte),
    ("sick::flood", flood),
    ("sick::deluge", deluge),
    ("sick::disk", disk),
    ("sick::daemon", daemon),
    ("sick::early", || std::process::exit(0)),
    ("sick::abort", || std::process::abort()),
    // Has the name of its binary, as a plain program does.
    ("boot", || std::process::exit(0)),
    ("sick::other_harness", other_harness),
    ("sick::glutton", glutton),
    ("sick::caught", caught),
    ("sick::hang", hang),
    ("sick::starve", starve),
    ("sick::panic", panic),
    ("sick::power_off", power_off),
    ("sick::needs_the_past", || Ok(Completion::ignored_with("needs 5.8: the ring buffer"))),
    ("sick::panics_for_the_future", || failed_at_run_time("needs 99.0: a kernel of the future")),
];

pub(crate) fn main(arguments: &Arguments) {
    let healthy = HEALTHY.map(|(name, test)| Trial::ignorable_test(name, test));
    let sick = SICK.map(|(name, test)| Trial::ignorable_test(name, test).with_ignored_flag(true));
    libtest_mimic::run(arguments, healthy.into_iter().chain(sick).collect()).exit();
}

fn passed() -> Ran {
    Ok(Completion::Completed)
}

fn failed(why: impl Into<String>) -> Ran {
    Err(Failed::from(why.into()))
}

/// Fails as a plain `#[test]` does, which cannot ignore itself at run time.
fn failed_at_run_time(words: &str) -> Ran {
    assert!(words.is_empty(), "{words}");
    passed()
}

fn mounts() -> Ran {
    let mounts = fs::read_to_string("/proc/mounts")?;
    for expected in
        ["/sys/fs/bpf bpf", "/sys/kernel/tracing tracefs", "/sys/fs/cgroup cgroup2", "/tmp tmpfs", "/dev devtmpfs"]
    {
        if !mounts.contains(expected) {
            return failed(format!("{expected:?} is not among\n{mounts}"));
        }
    }
    if !Path::new("/sys/kernel/btf/vmlinux").exists() {
        return failed("the kernel has no BTF");
    }
    passed()
}

fn loopback() -> Ran {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    TcpStream::connect(listener.local_addr()?)?;
    listener.accept()?;
    TcpListener::bind("[::1]:0")?;
    passed()
}

fn resolver() -> Ran {
    match ("localhost", 80).to_socket_addrs()?.next() {
        Some(address) if address.ip().is_loopback() => passed(),
        other => failed(format!("localhost is {other:?}")),
    }
}

/// Runs a host program, added by `--bring`, with its own libraries.
fn program() -> Ran {
    let output = Command::new("getent").args(["hosts", "localhost"]).output();
    match output {
        Ok(output) if output.status.success() && output.stdout.ends_with(b"localhost ip6-localhost ip6-loopback\n") => {
            passed()
        }
        other => failed(format!("getent: {other:?}")),
    }
}

fn results() -> Ran {
    let folder = Path::new(&std::env::var("CUTAWAY_VM_RESULTS")?).join("figures");
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("empty"), "")?;
    fs::write(folder.join("large"), vec![b'x'; (1 << 20) + 1])?;
    fs::write(folder.join("kernel"), fs::read("/proc/sys/kernel/osrelease")?)?;
    if let Ok(folder) = std::env::var("CUTAWAY_COVERAGE") {
        // As the crate `cutaway` writes it.
        fs::write(Path::new(&folder).join("cutaway-1-0.info"), "TN:\nSF:a.c\nDA:1,1\nDA:2,0\nend_of_record\n")?;
    }
    passed()
}

fn expected(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn cpus() -> Ran {
    let Some(expected) = expected("EXPECT_CPUS") else { return Ok(Completion::ignored_with("EXPECT_CPUS is not set")) };
    let online = fs::read_to_string("/sys/devices/system/cpu/online")?;
    let wanted = if expected == 1 { "0".to_owned() } else { format!("0-{}", expected - 1) };
    if online.trim() == wanted { passed() } else { failed(format!("online are {online}, not {wanted}")) }
}

/// Takes the last CPU offline and brings it back.
fn hotplug() -> Ran {
    let last = std::thread::available_parallelism()?.get() - 1;
    if last == 0 {
        return Ok(Completion::ignored_with("needs two CPUs"));
    }
    let switch = format!("/sys/devices/system/cpu/cpu{last}/online");
    for (value, expected) in [("0", last), ("1", last + 1)] {
        fs::write(&switch, value)?;
        let found = std::thread::available_parallelism()?.get();
        let online = fs::read_to_string("/proc/cpuinfo")?.matches("processor\t").count();
        if online != expected {
            return failed(format!("{online} CPUs are online ({found} usable) after {value} > {switch}"));
        }
    }
    passed()
}

fn memory() -> Ran {
    let Some(expected) = expected("EXPECT_MEMORY_MIB") else {
        return Ok(Completion::ignored_with("EXPECT_MEMORY_MIB is not set"));
    };
    let about = fs::read_to_string("/proc/meminfo")?;
    let total: u64 = about.split_whitespace().nth(1).unwrap_or_default().parse()?;
    if (expected * 6 / 10..=expected).contains(&(total >> 10)) {
        passed()
    } else {
        failed(format!("{total} KiB in all"))
    }
}

/// Checks that the modules are loaded, and that the kernel has their types.
fn modules() -> Ran {
    let Ok(names) = std::env::var("EXPECT_MODULES") else {
        return Ok(Completion::ignored_with("EXPECT_MODULES is not set"));
    };
    for name in names.split(',') {
        for place in ["/sys/module", "/sys/kernel/btf"] {
            if !Path::new(place).join(name).exists() {
                return failed(format!("{name} is not in {place}"));
            }
        }
    }
    passed()
}

fn megabyte() -> Ran {
    let line = format!("{}\n", "m".repeat(1023));
    let mut out = std::io::stdout().lock();
    for _ in 0..1024 {
        out.write_all(line.as_bytes())?;
    }
    passed()
}

/// Prints more than is kept.
fn flood() -> Ran {
    for _ in 0..8 {
        megabyte()?;
    }
    passed()
}

/// Prints far more than a host should hold.
fn deluge() -> Ran {
    let piece = "d".repeat(1 << 20);
    let mut out = std::io::stdout().lock();
    for _ in 0..expected("DELUGE_MIB").unwrap_or(64) {
        out.write_all(piece.as_bytes())?;
    }
    passed()
}

/// Fills `/tmp`, and fails like a test that does not expect ENOSPC.
fn disk() -> Ran {
    let mut file = fs::File::create("/tmp/everything")?;
    let piece = vec![0; 1 << 20];
    for _ in 0..1 << 20 {
        match file.write_all(&piece) {
            Err(error) if error.kind() == ErrorKind::StorageFull => {
                println!("full after {} MiB", file.metadata()?.len() >> 20);
                return Err(error.into());
            }
            other => other?,
        }
    }
    failed("the disk holds a terabyte")
}

/// Leaves a process behind that keeps the output open.
fn daemon() -> Ran {
    Command::new(std::env::current_exe()?).args(["--exact", "sick::hang", "--ignored"]).spawn()?;
    passed()
}

/// Prints the success of another harness, and exits before its own has reported anything.
fn other_harness() -> Ran {
    Command::new(std::env::current_exe()?).args(["--exact", "loopback"]).status()?;
    std::process::exit(0);
}

/// Allocates more memory than the guest has.
fn glutton() -> Ran {
    let mut all = Vec::new();
    loop {
        all.push(std::hint::black_box(vec![1_u8; 16 << 20]));
    }
}

/// Fails, but not because of its first panic, which it caught.
fn caught() -> Ran {
    let first = std::panic::catch_unwind(|| failed_at_run_time("needs 99.0: a kernel of the future"));
    assert!(first.is_ok(), "the panic was not caught");
    passed()
}

fn hang() -> Ran {
    println!("about to sleep");
    loop {
        std::thread::sleep(Duration::from_secs(3600));
    }
}

/// Spins on every CPU at a priority that starves every other process, process 1 included.
fn starve() -> Ran {
    fs::write("/proc/sys/kernel/sched_rt_runtime_us", "-1")?;
    println!("about to starve");
    std::thread::sleep(Duration::from_secs(2));
    let threads = std::thread::available_parallelism()?.get();
    let spinners: Vec<_> = (0..threads).map(|_| std::thread::spawn(spin)).collect();
    for spinner in spinners {
        let _ = spinner.join();
    }
    failed("the starvation ended")
}

fn spin() {
    #![expect(unsafe_code, reason = "sched_setscheduler(2) has no safe wrapper here")]
    let parameters = libc::sched_param { sched_priority: 99 };
    // SAFETY: the pointer is to a live, initialized parameter; 0 means this thread.
    let answer = unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const parameters) };
    assert_eq!(answer, 0, "{}", std::io::Error::last_os_error());
    loop {
        std::hint::spin_loop();
    }
}

fn panic() -> Ran {
    println!("about to panic");
    // The output takes a moment to leave the guest: it goes through a pipe, and its reader needs the CPU.
    std::thread::sleep(Duration::from_secs(2));
    fs::write("/proc/sysrq-trigger", "c")?;
    failed("the kernel survived")
}

/// Ends the machine without a panic, and without a message.
fn power_off() -> Ran {
    println!("about to power off");
    std::thread::sleep(Duration::from_secs(2));
    fs::write("/proc/sysrq-trigger", "o")?;
    std::thread::sleep(Duration::from_secs(30));
    failed("the machine is still there")
}
