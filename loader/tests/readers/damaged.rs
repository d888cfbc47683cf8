//! Damaged objects by aya-obj: real objects with bits flipped, words replaced, sections exchanged or the end cut off.
//! Each ends in an object or in one message, within seconds and in little memory.
//!
//! The objects are tried in separate processes with 1 GiB of address space. So an abort, a stack overflow, a hang or
//! an excessive allocation is seen, with the number of the object that caused it. The number names the same object on
//! every machine.
//!
//! `CUTAWAY_DAMAGED` is the number of objects (1,000 by default; `cargo xtask damaged` tries 20,000), `CUTAWAY_SEED`
//! the number of the first. With `CUTAWAY_COMMAND`, the path of the command `cutaway`, each object is given to
//! [`COMMANDS`] instead of the library.

use std::{
    env, fs,
    io::{BufRead as _, BufReader, Write as _},
    ops::Range,
    os::unix::process::ExitStatusExt as _,
    panic,
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use cutaway::{Object, ObjectReader};
use cutaway_programs::getaddrinfo::Transport;

use crate::{
    corpus::{objects, small_kernel},
    damage::{Damage, Seed},
    way::is_read,
};

/// The maximum time for one object.
const LONGEST: Duration = Duration::from_secs(5);
/// The address space of a process, in units of 1024 bytes.
const MEMORY: u32 = 1 << 20;
/// The number of objects that one process tries.
const BATCH: u64 = 2500;
/// The commands that each object is given to, before its path; the second needs root.
const COMMANDS: [&[&str]; 2] =
    [&["inspect", "--reader", "aya-obj"], &["run", "--reader", "aya-obj", "--duration", "0.05"]];

/// Returns the objects that are damaged. aya-obj accepts all of them, so that it also gets the damaged ones.
fn seeds() -> Vec<Seed> {
    let objects = objects().into_iter().filter(|(_, bytes)| Object::parse_with(ObjectReader::AyaObj, bytes).is_ok());
    let mut seeds: Vec<_> = objects.map(|(name, bytes)| Seed::new(&name, bytes)).collect();
    seeds.extend(Transport::ALL.map(|transport| Seed::new(transport.name(), transport.object().unwrap())));
    seeds
}

/// Returns the object of this number, a kernel's BTF, and the name of the seed.
fn damaged(number: u64, seeds: &[Seed], kernel: &[u8]) -> (Vec<u8>, Vec<u8>, String) {
    let mut damage = Damage::new(number);
    let (seed, other) = (&seeds[damage.below(seeds.len())], &seeds[damage.below(seeds.len())]);
    let (mut bytes, mut kernel) = (seed.bytes.clone(), kernel.to_vec());
    match damage.below(10) {
        0 => damage.words(&mut kernel),
        1 => damage.exchange_sections(&mut bytes, seed),
        2 => {
            damage.exchange_sections(&mut bytes, seed);
            damage.anywhere(&mut bytes, seed, other);
        }
        3 if seed.section(".BTF").is_some() => damage.words(&mut bytes[seed.section(".BTF").unwrap()]),
        4 if seed.section(".BTF.ext").is_some() => damage.words(&mut bytes[seed.section(".BTF.ext").unwrap()]),
        _ => damage.anywhere(&mut bytes, seed, other),
    }
    (bytes, kernel, seed.name.clone())
}

/// The body of a separate process. It prints the number of each object before it tries the object, and the result
/// afterwards.
#[test]
#[ignore = "is the body of the other test's processes"]
fn batch() {
    let Some(range) = numbers_of_this_process() else { return };
    panic::set_hook(Box::new(|panic| {
        if !ObjectReader::is_catching_panics() {
            eprintln!("{panic}");
        }
    }));
    let (seeds, kernel) = (seeds(), small_kernel());
    let mut said = std::io::stderr();
    for number in range {
        let (bytes, kernel, name) = damaged(number, &seeds, &kernel);
        writeln!(said, "\ntry {number} {name}").unwrap();
        writeln!(said, "\nend {}", u8::from(!is_read(&bytes, &kernel))).unwrap();
    }
}

fn numbers_of_this_process() -> Option<Range<u64>> {
    let text = env::var("CUTAWAY_BATCH").ok()?;
    let (start, end) = text.split_once("..")?;
    Some(start.parse().unwrap()..end.parse().unwrap())
}

fn number(name: &str, otherwise: u64) -> u64 {
    env::var(name).map_or(otherwise, |text| text.parse().unwrap())
}

/// The number of objects for each result.
#[derive(Debug, Default)]
struct Counts {
    /// Read and linked: exit status 0.
    done: u64,
    /// Refused with a message: exit status 1.
    refused: u64,
    /// Anything else.
    faults: Vec<String>,
}

#[test]
fn damaged_objects_end_in_an_answer() {
    let (first, count) = (number("CUTAWAY_SEED", 0), number("CUTAWAY_DAMAGED", 1000));
    let mut counts = Counts::default();
    match env::var_os("CUTAWAY_COMMAND") {
        Some(command) => by_command(Path::new(&command), first..first + count, &mut counts),
        None => in_batches(first..first + count, &mut counts),
    }
    let Counts { done, refused, faults } = counts;
    eprintln!("{count} damaged objects: exit 0: {done}, exit 1: {refused}, anything else: {}", faults.len());
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert_eq!(done + refused, count);
    // The test is useful only if many objects are read and many are refused.
    assert!(count < 100 || (done * 10 > count && refused * 10 > count), "{done} read, {refused} refused");
}

/// Tries the objects in processes of [`BATCH`] objects each. After a fault another process tries the rest of the
/// batch.
fn in_batches(range: Range<u64>, counts: &mut Counts) {
    let mut start = range.start;
    while start < range.end && counts.faults.len() < 10 {
        let end = (start + BATCH).min(range.end);
        start = in_one_process(start..end, counts);
    }
}

/// Tries the objects in one process; returns the number of the first that is still to be tried.
fn in_one_process(range: Range<u64>, counts: &mut Counts) -> u64 {
    let mut command = limited(&env::current_exe().unwrap());
    command.args(["damaged::batch", "--exact", "--ignored", "--nocapture", "--test-threads=1"]);
    command.env("CUTAWAY_BATCH", format!("{}..{}", range.start, range.end));
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let (sender, receiver) = mpsc::channel();
    let reader = thread::spawn(move || lines.map_while(Result::ok).all(|line| sender.send(line).is_ok()));
    // The current object, and the lines that the process has printed since it began.
    let mut current: Option<(u64, String)> = None;
    let mut said = String::new();
    let mut next = range.start;
    let fault = loop {
        // The first object takes longer, because the process reads the seeds before it.
        let patience = if current.is_some() { LONGEST } else { LONGEST * 12 };
        match receiver.recv_timeout(patience) {
            Ok(line) if line.starts_with("try ") => {
                let (number, name) = line[4..].split_once(' ').unwrap();
                current = Some((number.parse().unwrap(), name.to_owned()));
                said.clear();
            }
            Ok(line) if line.starts_with("end ") => {
                let count = if line == "end 0" { &mut counts.done } else { &mut counts.refused };
                *count += 1;
                next = current.take().unwrap().0 + 1;
            }
            Ok(line) => said = format!("{said} {line}"),
            Err(mpsc::RecvTimeoutError::Timeout) => break Some(format!("takes longer than {LONGEST:?}")),
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                let status = child.wait().unwrap();
                let is_done = status.success() && next == range.end;
                break (!is_done).then(|| format!("ends the process: {status}"));
            }
        }
    };
    end(&mut child);
    reader.join().unwrap();
    if let Some(fault) = fault {
        let (number, name) = current.unwrap_or((next, "before it was tried".to_owned()));
        said = said.chars().take(2000).collect();
        counts.faults.push(format!("CUTAWAY_SEED={number} CUTAWAY_DAMAGED=1 ({name}) {fault}:{said}"));
        return number + 1;
    }
    range.end
}

fn end(child: &mut Child) {
    let _ = child.kill();
    child.wait().unwrap();
}

/// Returns a command with limited address space.
fn limited(program: &Path) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("ulimit -v {MEMORY} && exec \"$0\" \"$@\"")]).arg(program);
    command
}

/// Gives each object to the command, as a file.
fn by_command(cutaway: &Path, range: Range<u64>, counts: &mut Counts) {
    let (seeds, kernel) = (seeds(), small_kernel());
    let path = env::temp_dir().join(format!("cutaway-damaged-{}.o", std::process::id()));
    for number in range {
        let (bytes, _, name) = damaged(number, &seeds, &kernel);
        fs::write(&path, bytes).unwrap();
        let mut worst = Some(0);
        for arguments in &COMMANDS[..if rustix::process::geteuid().is_root() { 2 } else { 1 }] {
            let child =
                limited(cutaway).args(*arguments).arg(&path).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
            let child = child.unwrap();
            let id = child.id();
            let (sender, receiver) = mpsc::channel();
            let waiter = thread::spawn(move || sender.send(child.wait_with_output()));
            let output = match receiver.recv_timeout(LONGEST) {
                Ok(output) => output.unwrap(),
                Err(_) => {
                    let killed = Command::new("kill").args(["-9", &id.to_string()]).status();
                    assert!(killed.unwrap().success(), "{id}");
                    receiver.recv().unwrap().unwrap()
                }
            };
            waiter.join().unwrap().unwrap();
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            match output.status.code() {
                Some(0) => {}
                Some(1) if messages(&said) == 1 => {
                    worst = worst.max(Some(1));
                }
                _ => {
                    let how = output
                        .status
                        .signal()
                        .map_or_else(|| output.status.to_string(), |signal| format!("signal {signal}"));
                    counts.faults.push(format!(
                        "CUTAWAY_SEED={number} CUTAWAY_DAMAGED=1 ({name}) {}: {how}: {said}",
                        arguments.join(" ")
                    ));
                    worst = None;
                    break;
                }
            }
        }
        match worst {
            Some(0) => counts.done += 1,
            Some(_) => counts.refused += 1,
            None if counts.faults.len() >= 10 => break,
            None => {}
        }
    }
    fs::remove_file(&path).unwrap();
}

/// Returns the number of messages that the command has printed, without warnings and messages about skipped programs.
fn messages(said: &str) -> usize {
    let messages = said.lines().filter_map(|line| line.strip_prefix("cutaway: "));
    messages.filter(|message| !message.starts_with("skipped ") && !message.starts_with("warn: ")).count()
}
