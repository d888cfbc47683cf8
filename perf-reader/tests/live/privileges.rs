//! Tests the errors without privileges: one clear line each.

use libtest_mimic::Completion;
use perf_reader::{Buffer, Error, Options};

use crate::bpf::Sender;
use crate::harness::{Test, test};
use crate::{bytes, live};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        live!(memlock_limit_is_an_error),
        test!(missing_privileges_are_an_error),
        live!(missing_cpu_is_an_error),
        live!(size_must_be_a_power_of_two_of_pages),
    ]
}

pub(crate) const CAP_IPC_LOCK: u32 = 14;

/// Runs `f` in a thread that keeps only those effective capabilities of this process whose bits are set in `keep`.
pub(crate) fn with_capabilities<T: Send>(keep: u64, f: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        scope
            .spawn(|| {
                /// `_LINUX_CAPABILITY_VERSION_3`.
                const VERSION: u32 = 0x2008_0522;
                let header = [VERSION, 0];
                // effective, permitted, inheritable: low words, then high words.
                let mut sets = [[0_u32; 3]; 2];
                // SAFETY: header and data are as long as this version requires.
                let got = unsafe { libc::syscall(libc::SYS_capget, header.as_ptr(), sets.as_mut_ptr()) };
                assert_eq!(got, 0);
                for (word, set) in sets.iter_mut().enumerate() {
                    set[0] &= (keep >> (32 * word)) as u32;
                    set[1] = set[0];
                    set[2] = 0;
                }
                // SAFETY: as above. Capabilities are a thread's own.
                let done = unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), sets.as_ptr()) };
                assert_eq!(done, 0);
                f()
            })
            .join()
            .unwrap()
    })
}

fn number(path: &str) -> Option<i64> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// Requests far more than a user may lock, without the capability that lifts the limit. The error says how many bytes
/// fit, and they do.
fn memlock_limit_is_an_error(_: &Sender) {
    with_capabilities(!(1 << CAP_IPC_LOCK), || {
        if number("/proc/sys/kernel/perf_event_paranoid") < Some(0) {
            panic!("a perf_event_paranoid below 0 lifts the limit: set it to 0 or more for this test");
        }
        let asked = 1 << 30;
        let error = Buffer::open(0, asked, &Options::new()).unwrap_err();
        let Error::LockedMemory { cpu: 0, bytes, fit, mlock_kb: Some(_), .. } = error else {
            panic!("{error}");
        };
        assert_eq!(bytes, u64::from(asked));
        assert!(fit.is_power_of_two() && fit < bytes, "{fit}");
        let line = error.to_string();
        for part in [
            "1073741824 bytes",
            "CPU 0",
            "EPERM",
            &format!("{fit} bytes would fit"),
            "perf_event_mlock_kb",
            "RLIMIT_MEMLOCK",
        ] {
            assert!(line.contains(part), "{part:?} is not in {line:?}");
        }
        assert!(!line.contains('\n'));
        drop(Buffer::open(0, fit.try_into().unwrap(), &Options::new()).unwrap());
    });
}

/// Needs no privileges, but a kernel that requires some.
fn missing_privileges_are_an_error() -> Completion {
    if number("/proc/sys/kernel/perf_event_paranoid") < Some(1) {
        return Completion::ignored_with("perf_event_paranoid is below 1: no privileges are needed");
    }
    with_capabilities(0, || {
        let error = Buffer::open(0, bytes(1), &Options::new()).unwrap_err();
        assert!(matches!(error, Error::Denied { cpu: 0, .. }), "{error:?}");
        let line = error.to_string();
        for part in ["CPU 0", "EACCES", "CAP_PERFMON", "perf_event_paranoid"] {
            assert!(line.contains(part), "{part:?} is not in {line:?}");
        }
    });
    Completion::Completed
}

fn missing_cpu_is_an_error(_: &Sender) {
    for cpu in [100_000, u32::MAX >> 1] {
        let error = Buffer::open(cpu, bytes(1), &Options::new()).unwrap_err();
        assert!(matches!(error, Error::Offline { cpu: c, .. } if c == cpu), "{error:?}");
        assert!(error.to_string().contains("is offline or does not exist"), "{error}");
    }
}

fn size_must_be_a_power_of_two_of_pages(_: &Sender) {
    for (pages, below, above) in [(3, 2, 4), (1000, 512, 1024)] {
        let error = Buffer::open(0, bytes(pages), &Options::new()).unwrap_err();
        let advice = format!("give {} or {}", bytes(below), bytes(above));
        assert!(error.to_string().ends_with(&advice), "{error}");
    }
}
