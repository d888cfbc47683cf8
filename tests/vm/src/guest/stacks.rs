//! The kernel stacks of the threads of a hanging test: proc(5)'s `wchan`, `syscall` and `stack`.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

/// The largest number of threads whose stacks are read.
const MAX_THREADS: usize = 64;

/// Returns one paragraph for every thread of every process, except process 1 and kernel threads.
pub(super) fn all() -> String {
    let mut text = String::new();
    let mut threads = 0;
    for process in numbered("/proc") {
        let folder = Path::new("/proc").join(process.to_string());
        // Kernel threads have no executable.
        if process == 1 || fs::read_link(folder.join("exe")).is_err() {
            continue;
        }
        let command = fs::read(folder.join("cmdline")).unwrap_or_default();
        let command = String::from_utf8_lossy(&command).replace('\0', " ");
        let _ = writeln!(text, "process {process}: {}", command.trim());
        for thread in numbered(folder.join("task")) {
            threads += 1;
            if threads > MAX_THREADS {
                text.push_str("  (more threads omitted)\n");
                return text;
            }
            let folder = folder.join("task").join(thread.to_string());
            let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap_or_default();
            let state = read("status")
                .lines()
                .find_map(|line| Some(line.strip_prefix("State:")?.trim().to_owned()))
                .unwrap_or_default();
            let _ =
                writeln!(text, "  thread {thread} {} {state}, syscall {}", read("comm").trim(), read("syscall").trim());
            for line in read("stack").lines() {
                let _ = writeln!(text, "    {line}");
            }
        }
    }
    text
}

fn numbered(folder: impl AsRef<Path>) -> Vec<u32> {
    let mut numbers: Vec<u32> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    numbers.sort_unstable();
    numbers
}
