//! Whether a held thread can have called anything in a file since it mapped it.

use std::fs;

use super::maps::Mapping;

/// Where a thread is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    /// It has not returned from the system call that mapped the file.
    Mapping,
    /// It has.
    Later,
    /// It does not stand still yet.
    Running,
    /// It has ended.
    Gone,
}

/// Reads where the thread is, from `/proc/TID/syscall` (proc(5), `fs/proc/base.c`).
pub(crate) fn of(tid: u32, mapping: &Mapping) -> Moment {
    match fs::read_to_string(format!("/proc/{tid}/syscall")) {
        Ok(text) => read(&text, mapping),
        Err(_) if fs::exists(format!("/proc/{tid}")).unwrap_or(true) => Moment::Later,
        Err(_) => Moment::Gone,
    }
}

/// `NUMBER ARGUMENT … STACK PROGRAM`, `-1 STACK PROGRAM` outside of a system call, or `running`.
fn read(text: &str, mapping: &Mapping) -> Moment {
    /// `PROT_EXEC`
    const EXECUTE: u64 = 4;
    /// `MAP_FIXED`
    const FIXED: u64 = 0x10;
    let mut words = text.split_whitespace();
    let number: libc::c_long = match words.next() {
        Some("running") => return Moment::Running,
        Some(number) => number.parse().unwrap_or(-1),
        None => return Moment::Gone,
    };
    let arguments: Vec<u64> = words.filter_map(|word| u64::from_str_radix(word.strip_prefix("0x")?, 16).ok()).collect();
    let argument = |number: usize| arguments.get(number).copied().unwrap_or(0);
    let is_it = match number {
        libc::SYS_mmap => {
            // Where it is to be is known: then it is not another file's part of the same offset.
            let is_elsewhere = argument(3) & FIXED != 0 && argument(0) != mapping.start;
            argument(2) & EXECUTE != 0 && argument(5) == mapping.offset && !is_elsewhere
        }
        libc::SYS_mprotect => {
            let covered = argument(0)..argument(0).saturating_add(argument(1));
            argument(2) & EXECUTE != 0 && covered.contains(&mapping.start)
        }
        libc::SYS_execve | libc::SYS_execveat => true,
        // On 64-bit Arm a thread that has stopped for a tracer has forgotten its system call
        // (`arch/arm64/kernel/signal.c`, `forget_syscall`): to be held at all has to do.
        _ => cfg!(target_arch = "aarch64") && number == -1,
    };
    if is_it { Moment::Mapping } else { Moment::Later }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::libraries::maps::Key;

    #[test]
    fn a_thread_is_known_to_be_in_the_call_that_mapped() {
        let key = Key { major: 0, minor: 0, inode: 1 };
        let mapping = Mapping { key, start: 0x7000, end: 0x9000, offset: 0x2000, path: String::new() };
        let call =
            |number: libc::c_long, arguments: &str| read(&format!("{number} {arguments} 0x7ffc 0x7f01\n"), &mapping);
        let mmap = libc::SYS_mmap;
        assert_eq!(call(mmap, "0x7000 0x1800 0x5 0x812 0x3 0x2000"), Moment::Mapping);
        // Of another part, and one that is not to be executed.
        assert_eq!(call(mmap, "0x9000 0x1800 0x5 0x812 0x3 0x4000"), Moment::Later);
        assert_eq!(call(mmap, "0x7000 0x1800 0x1 0x812 0x3 0x2000"), Moment::Later);
        // Of another file, at the same offset; and one where the kernel chooses the address.
        assert_eq!(call(mmap, "0xa000 0x1800 0x5 0x812 0x3 0x2000"), Moment::Later);
        assert_eq!(call(mmap, "0x0 0x1800 0x5 0x802 0x3 0x2000"), Moment::Mapping);
        assert_eq!(call(libc::SYS_mprotect, "0x6000 0x2000 0x5 0x0 0x0 0x0"), Moment::Mapping);
        assert_eq!(call(libc::SYS_mprotect, "0x9000 0x2000 0x5 0x0 0x0 0x0"), Moment::Later);
        assert_eq!(call(libc::SYS_execve, "0x1 0x2 0x3 0x0 0x0 0x0"), Moment::Mapping);
        assert_eq!(call(libc::SYS_read, "0x1 0x2 0x3 0x0 0x0 0x0"), Moment::Later);
        assert_eq!(read("running\n", &mapping), Moment::Running);
        if cfg!(target_arch = "x86_64") {
            assert_eq!(read("-1 0x7ffc 0x7f01\n", &mapping), Moment::Later);
        }
        assert_eq!(of(u32::MAX, &mapping), Moment::Gone);
        // The main thread waits for this one, or runs another test.
        assert!(matches!(of(std::process::id(), &mapping), Moment::Later | Moment::Running));
    }
}
