//! Reads whether a held thread can have called a function of a file since it mapped the file.

use std::fs;

use super::maps::Mapping;

/// The state of a thread, in relation to a mapping that it made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ThreadState {
    /// It has not returned from the system call that mapped the file.
    Mapping,
    /// It has returned from that system call.
    Returned,
    /// It has not stopped yet.
    Running,
    /// It has exited.
    Exited,
}

/// Reads the state of a thread from `/proc/TID/syscall` (proc(5), `fs/proc/base.c`).
pub(crate) fn of(tid: u32, mapping: &Mapping) -> ThreadState {
    match fs::read_to_string(format!("/proc/{tid}/syscall")) {
        Ok(text) => parse(&text, mapping),
        Err(_) if fs::exists(format!("/proc/{tid}")).unwrap_or(true) => ThreadState::Returned,
        Err(_) => ThreadState::Exited,
    }
}

/// Parses `NUMBER ARGUMENT … SP PC`, `-1 SP PC` outside of a system call, or `running`.
fn parse(text: &str, mapping: &Mapping) -> ThreadState {
    /// `PROT_EXEC`
    const EXECUTE: u64 = 4;
    /// `MAP_FIXED`
    const FIXED: u64 = 0x10;
    let mut words = text.split_whitespace();
    let number: libc::c_long = match words.next() {
        Some("running") => return ThreadState::Running,
        Some(number) => number.parse().unwrap_or(-1),
        None => return ThreadState::Exited,
    };
    let arguments: Vec<u64> = words.filter_map(|word| u64::from_str_radix(word.strip_prefix("0x")?, 16).ok()).collect();
    let argument = |number: usize| arguments.get(number).copied().unwrap_or(0);
    let is_mapping = match number {
        libc::SYS_mmap => {
            // A fixed address distinguishes this mapping from one of another file at the same offset.
            let is_elsewhere = argument(3) & FIXED != 0 && argument(0) != mapping.start;
            argument(2) & EXECUTE != 0 && argument(5) == mapping.offset && !is_elsewhere
        }
        libc::SYS_mprotect => {
            let covered = argument(0)..argument(0).saturating_add(argument(1));
            argument(2) & EXECUTE != 0 && covered.contains(&mapping.start)
        }
        libc::SYS_execve | libc::SYS_execveat => true,
        // On 64-bit Arm the number of the system call is lost when a thread stops for a tracer
        // (`arch/arm64/kernel/signal.c`, `forget_syscall`). There every held thread counts as still in the call.
        _ => cfg!(target_arch = "aarch64") && number == -1,
    };
    if is_mapping { ThreadState::Mapping } else { ThreadState::Returned }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::libraries::maps::Key;

    #[test]
    fn thread_in_the_mapping_call_is_recognized() {
        let key = Key { major: 0, minor: 0, inode: 1 };
        let mapping = Mapping { key, start: 0x7000, end: 0x9000, offset: 0x2000, path: String::new() };
        let call =
            |number: libc::c_long, arguments: &str| parse(&format!("{number} {arguments} 0x7ffc 0x7f01\n"), &mapping);
        let mmap = libc::SYS_mmap;
        assert_eq!(call(mmap, "0x7000 0x1800 0x5 0x812 0x3 0x2000"), ThreadState::Mapping);
        // A mapping at another offset, and one that is not executable.
        assert_eq!(call(mmap, "0x9000 0x1800 0x5 0x812 0x3 0x4000"), ThreadState::Returned);
        assert_eq!(call(mmap, "0x7000 0x1800 0x1 0x812 0x3 0x2000"), ThreadState::Returned);
        // A mapping of another file at the same offset, and one whose address the kernel chooses.
        assert_eq!(call(mmap, "0xa000 0x1800 0x5 0x812 0x3 0x2000"), ThreadState::Returned);
        assert_eq!(call(mmap, "0x0 0x1800 0x5 0x802 0x3 0x2000"), ThreadState::Mapping);
        assert_eq!(call(libc::SYS_mprotect, "0x6000 0x2000 0x5 0x0 0x0 0x0"), ThreadState::Mapping);
        assert_eq!(call(libc::SYS_mprotect, "0x9000 0x2000 0x5 0x0 0x0 0x0"), ThreadState::Returned);
        assert_eq!(call(libc::SYS_execve, "0x1 0x2 0x3 0x0 0x0 0x0"), ThreadState::Mapping);
        assert_eq!(call(libc::SYS_read, "0x1 0x2 0x3 0x0 0x0 0x0"), ThreadState::Returned);
        assert_eq!(parse("running\n", &mapping), ThreadState::Running);
        if cfg!(target_arch = "x86_64") {
            assert_eq!(parse("-1 0x7ffc 0x7f01\n", &mapping), ThreadState::Returned);
        }
        assert_eq!(of(u32::MAX, &mapping), ThreadState::Exited);
        // The main thread waits for this one, or runs another test.
        assert!(matches!(of(std::process::id(), &mapping), ThreadState::Returned | ThreadState::Running));
    }
}
