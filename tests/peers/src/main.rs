//! Measures this workspace's readers and those of other projects, all in one process and in turn.
//!
//! ```text
//! peers ring [--quick] [--csv FILE]        all measurements of the ring buffer
//! peers perf [--quick] [--csv FILE] [--only MEASURE]    all measurements of the perf buffers, or those whose
//!                                          names contain MEASURE (drain, stream, delivery)
//! peers load [--quick] [--csv FILE]        opening and loading of objects, by cutaway and libbpf
//! peers verify [--quick] [--csv FILE]      loading of an object that takes the verifier long, on all CPUs
//! peers corpus [--quick] [--csv FILE] [--in DIRECTORY]    opening and loading of the objects in a directory
//!                                          (default: tests/corpus)
//! peers memory [--quick] [--csv FILE] [--in DIRECTORY]    memory of opening and loading the same objects, each in
//!                                          a process of its own
//! peers gethostlatency [--quick] [--csv FILE] --cutaway FILE    a traced getaddrinfo call, by `cutaway trace` (the
//!                                          command FILE) and by a tool like bcc's gethostlatency
//! peers instructions CONSUMER [DRAINS]     a run for callgrind
//! peers perf-instructions CONSUMER [DRAINS]
//! ```
//!
//! Needs root and two idle CPUs.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

mod corpus;
mod gethostlatency;
mod kernel;
mod load;
mod memory;
mod perf;
mod ring;
mod table;
mod verify;

fn main() -> ExitCode {
    // Before this thread is pinned to one CPU, which would then seem to be the only one.
    let facts = facts();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        [buffer @ ("ring" | "perf" | "load" | "verify" | "corpus" | "memory" | "gethostlatency"), options @ ..] => {
            let quick = options.contains(&"--quick");
            let file = options.iter().position(|option| *option == "--csv");
            let mut table = table::Table::default();
            match *buffer {
                "ring" => ring::main(ring::Effort::of(quick), &mut table),
                "load" => load::main(quick, &mut table),
                "verify" => verify::main(quick, &mut table),
                "gethostlatency" => {
                    let given = options.iter().position(|option| *option == "--cutaway");
                    let Some(cutaway) = given.and_then(|at| options.get(at + 1)) else { return usage() };
                    gethostlatency::main(quick, Path::new(cutaway), &mut table);
                }
                "corpus" | "memory" => {
                    let given = options.iter().position(|option| *option == "--in");
                    let given = given.and_then(|at| options.get(at + 1).copied());
                    let own = concat!(env!("CARGO_MANIFEST_DIR"), "/../corpus");
                    let directory = Path::new(given.unwrap_or(own));
                    match *buffer {
                        "memory" => memory::main(quick, directory, &mut table),
                        _ => corpus::main(quick, directory, &mut table),
                    }
                }
                _ => {
                    let only = options.iter().position(|option| *option == "--only");
                    let only = only.and_then(|at| options.get(at + 1).copied());
                    perf::main(perf::Effort::of(quick), only, &mut table);
                }
            }
            table.print();
            if let Some(path) = file.and_then(|at| options.get(at + 1)) {
                if let Err(error) = std::fs::write(path, table.csv(&facts)) {
                    eprintln!("cannot write {path}: {error}");
                    return ExitCode::FAILURE;
                }
            }
            let met = match *buffer {
                "load" => load::verdict(&table),
                "verify" => verify::verdict(&table),
                "corpus" => corpus::verdict(&table),
                "memory" => memory::verdict(&table),
                "gethostlatency" => gethostlatency::verdict(&table),
                _ => true,
            };
            if met { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        ["memory-of", peer, path] => match memory::of(peer, path) {
            true => ExitCode::SUCCESS,
            false => ExitCode::FAILURE,
        },
        ["gethostlatency-tool", library] => {
            gethostlatency::tool::main(library);
            ExitCode::SUCCESS
        }
        ["gethostlatency-calls", calls] => {
            gethostlatency::callee(calls);
            ExitCode::SUCCESS
        }
        ["instructions", peer, drains @ ..] => {
            let drains = drains.first().and_then(|drains| drains.parse().ok()).unwrap_or(1);
            ring::instructions(peer, drains);
            ExitCode::SUCCESS
        }
        ["perf-instructions", peer, drains @ ..] => {
            let drains = drains.first().and_then(|drains| drains.parse().ok()).unwrap_or(1);
            perf::instructions(peer, drains);
            ExitCode::SUCCESS
        }
        _ => usage(),
    }
}

fn usage() -> ExitCode {
    eprintln!(
        "usage: peers (ring | perf | load | verify | corpus | memory | gethostlatency) [--quick] [--csv FILE] | peers (instructions | \
         perf-instructions) CONSUMER [DRAINS]"
    );
    ExitCode::from(2)
}

/// Returns libbpf's version.
fn libbpf() -> String {
    // SAFETY: the function takes nothing and returns a string that lives as long as the program.
    let version = unsafe { std::ffi::CStr::from_ptr(libbpf_sys::libbpf_version_string()) };
    version.to_string_lossy().trim_start_matches('v').to_owned()
}

/// Returns facts about the machine.
fn facts() -> BTreeMap<&'static str, String> {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let processor = read("/proc/cpuinfo")
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map(|(_, name)| name.to_owned());
    BTreeMap::from([
        ("kernel", read("/proc/sys/kernel/osrelease").trim().to_owned()),
        ("libbpf", libbpf()),
        ("processor", processor.unwrap_or_default()),
        ("CPUs", std::thread::available_parallelism().map_or(0, usize::from).to_string()),
    ])
}
