//! Process 1 of the guest: the same executable as the command, started by the kernel as `/init`.
//!
//! It mounts the file systems that tests expect, waits for its orders and runs each test in a process of its own. It
//! reports to the host over the result channel, and powers off. It never returns and never fails silently: errors
//! before the channel is open go to the console, all others are notes on the channel.

mod channel;
mod harness;
mod leftovers;
mod loopback;
mod modules;
mod mounts;
mod orders;
mod process;
mod shell;
mod stacks;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use channel::Channel;
pub(crate) use harness::LISTING;

use crate::coverage;
use crate::orders::{Orders, Task};
use crate::plan::{INIT, Plan, RESULTS};
use crate::protocol::Message;

/// Runs a guest's process 1 and never returns, if this process is one. Otherwise does nothing.
pub fn run_if_init() {
    if is_init() {
        main();
    }
    if let Some(code) = shell::run_if_named() {
        std::process::exit(code);
    }
}

fn is_init() -> bool {
    std::process::id() == 1 && Path::new(INIT).exists()
}

/// Runs process 1 from start to power-off.
fn main() -> ! {
    let complaints = mounts::all();
    match Channel::open() {
        Ok(channel) => {
            // Without the last message the host knows that the results are incomplete.
            if work(&channel, complaints) {
                channel.send(&Message::Done, b"");
            }
            channel.drain();
        }
        Err(error) => eprintln!("cutaway-vm: cannot open the result channel {}: {error}", channel::path()),
    }
    power_off()
}

/// Waits for orders and executes them; returns false if none arrive.
fn work(channel: &Channel, mut complaints: Vec<String>) -> bool {
    if let Err(error) = loopback::up() {
        complaints.push(format!("cannot bring up the loopback interface: {error}"));
    }
    let loaded = modules::load();
    let mut from_host = match channel.reader() {
        Ok(reader) => reader,
        Err(error) => {
            eprintln!("cutaway-vm: cannot read {}: {error}", channel::path());
            return false;
        }
    };
    let Orders { plan, task, .. } = match orders::take(channel, &mut from_host) {
        Ok(orders) => {
            complaints.extend(orders::wake(&orders));
            orders
        }
        Err(error) => {
            eprintln!("cutaway-vm: cannot read the orders on {}: {error}", channel::path());
            return false;
        }
    };
    channel.send(&hello(), b"");
    channel.beat();
    // Only now: a saved guest is restored many times, and each run reports them.
    for complaint in complaints {
        channel.note(complaint);
    }
    if let Err(why) = loaded {
        channel.send(&Message::Unable { why }, b"");
        return false;
    }
    let environment = environment(&plan);
    if let Some(directory) = plan.environment.get(coverage::VARIABLE)
        && let Err(error) = open_directory(Path::new(directory))
    {
        channel.note(format!("cannot create {directory}, so there is no coverage: {error}"));
    }
    let lines = shell::Lines::read(from_host);
    if let Task::Shell(shell) = &task {
        shell::run(channel, &lines, shell, &environment);
        leftovers::Sent::default().send_new(channel);
        return true;
    }
    let mut leftovers = leftovers::Sent::default();
    for index in 0..plan.binaries.len() {
        harness::run(
            &harness::Guest { channel, plan: &plan, lines: &lines },
            index,
            &task,
            &environment,
            &mut leftovers,
        );
    }
    true
}

/// Creates a directory that processes of every user can write to: a test may drop its privileges.
fn open_directory(path: &Path) -> std::io::Result<()> {
    fs::create_dir_all(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o1777))
}

/// Returns the environment of every process.
fn environment(plan: &Plan) -> BTreeMap<String, String> {
    let mut environment = BTreeMap::from([
        ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
        ("HOME", "/root"),
        ("USER", "root"),
        ("LANG", "C.UTF-8"),
        ("TMPDIR", "/tmp"),
        ("RUST_BACKTRACE", "1"),
        ("CUTAWAY_VM", "1"),
        ("CUTAWAY_VM_RESULTS", RESULTS),
    ])
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .collect::<BTreeMap<_, _>>();
    environment.insert("CUTAWAY_VM_KERNEL".to_owned(), release());
    environment.extend(plan.environment.clone());
    environment
}

fn release() -> String {
    rustix::system::uname().release().to_string_lossy().into_owned()
}

fn hello() -> Message {
    let memory_kib = fs::read_to_string("/proc/meminfo")
        .ok()
        .and_then(|text| {
            text.lines().find_map(|line| line.strip_prefix("MemTotal:")?.split_whitespace().next()?.parse().ok())
        })
        .unwrap_or(0);
    let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    Message::Hello { release: release(), cpus: u32::try_from(cpus).unwrap_or(u32::MAX), memory_kib }
}

fn power_off() -> ! {
    rustix::fs::sync();
    if let Err(error) = rustix::system::reboot(rustix::system::RebootCommand::PowerOff) {
        eprintln!("cutaway-vm: cannot power off: {error}");
    }
    // Returning would panic the kernel, which is no fault of a test. The host has its own time limit.
    loop {
        std::thread::park();
    }
}
