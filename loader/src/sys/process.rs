//! System calls about this process and the running kernel.
#![expect(unsafe_code, reason = "the system calls themselves")]

use std::{ffi::CString, io};

use cutaway_sys::report::{check, report};

use log::kv;

/// Raises `RLIMIT_MEMLOCK` to unlimited, for kernels before 5.11, which charge maps and programs to it.
pub(crate) fn raise_memlock() -> io::Result<()> {
    let unlimited = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: `unlimited` is alive and initialized; the call only reads it.
    let value = unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const unlimited) };
    let answer = check(value);
    let arguments: [(&str, kv::Value<'_>); 3] = [
        ("resource", "RLIMIT_MEMLOCK".into()),
        ("rlim_cur", "RLIM_INFINITY".into()),
        ("rlim_max", "RLIM_INFINITY".into()),
    ];
    report(
        "setrlimit",
        &arguments.as_slice(),
        &answer,
        "kernels before 5.11 charge maps and programs to this limit, and fail with EPERM when it is reached",
    );
    answer.map(drop)
}

/// Returns the soft limit `RLIMIT_MEMLOCK` in bytes; `None` if there is no limit.
pub(crate) fn memlock() -> io::Result<Option<u64>> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is alive and writable.
    let value = unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &raw mut limit) };
    check(value)?;
    Ok((limit.rlim_cur != libc::RLIM_INFINITY).then_some(limit.rlim_cur))
}

/// Returns the kernel's release, as `uname -r` prints it.
pub(crate) fn release() -> io::Result<String> {
    uname().map(|name| text(&name.release))
}

/// Returns how and when the kernel was built, as `uname -v` prints it.
pub(crate) fn build() -> io::Result<String> {
    uname().map(|name| text(&name.version))
}

/// Returns the kernel's version in the form of `LINUX_VERSION_CODE`: a byte for each of the three numbers; the last is
/// at most 255.
///
/// Distributions that keep the first release's name for later ones have the true version elsewhere: Ubuntu in
/// `/proc/version_signature`, Debian in the text that `uname -v` prints.
pub(crate) fn kernel_version() -> io::Result<u32> {
    let name = uname()?;
    let (release, version) = (text(&name.release), text(&name.version));
    let ubuntu = std::fs::read_to_string("/proc/version_signature").unwrap_or_default();
    let known = ubuntu.split(' ').nth(2).or_else(|| version.split_once("Debian ").map(|(_, known)| known));
    let code = known.and_then(version_code).or_else(|| version_code(&release));
    code.ok_or_else(|| io::Error::other(format!("the kernel's release {release:?} does not begin with a version")))
}

/// Converts `6.1.115-1` to a number.
fn version_code(text: &str) -> Option<u32> {
    let mut numbers = [None::<u32>; 3];
    let mut index = 0;
    for byte in text.bytes() {
        match (byte, numbers.get_mut(index)) {
            (b'0'..=b'9', Some(number)) => {
                *number = Some(number.unwrap_or(0).saturating_mul(10).saturating_add(u32::from(byte - b'0')));
            }
            (b'.', Some(Some(_))) => index += 1,
            _ => break,
        }
    }
    let [major, minor, patch] = numbers;
    let (major, minor) = (major.filter(|number| *number < 256)?, minor.filter(|number| *number < 256)?);
    Some(major << 16 | minor << 8 | patch.unwrap_or(0).min(255))
}

fn uname() -> io::Result<libc::utsname> {
    let mut name = std::mem::MaybeUninit::<libc::utsname>::zeroed();
    // SAFETY: `name` is writable and as large as the call wants it.
    let value = unsafe { libc::uname(name.as_mut_ptr()) };
    check(value)?;
    // SAFETY: arrays of bytes, all of them initialized: with zeroes before the call, by the kernel in it.
    Ok(unsafe { name.assume_init() })
}

/// Converts a C string in an array.
fn text(array: &[libc::c_char]) -> String {
    let mut text = Vec::new();
    for byte in array.iter().map(|byte| u8::from_ne_bytes(byte.to_ne_bytes())).take_while(|&byte| byte != 0) {
        text.push(byte);
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// Returns the index of the network device with this name.
pub(crate) fn interface_index(name: &str) -> Option<u32> {
    let name = CString::new(name).ok()?;
    // SAFETY: reads a C string that is borrowed for the call.
    let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
    (index != 0).then_some(index)
}

/// Returns whether a network device with this index exists.
pub(crate) fn is_interface(index: u32) -> bool {
    let mut name = [0; libc::IF_NAMESIZE];
    // SAFETY: writes at most `IF_NAMESIZE` bytes, and `name` has as many.
    let answer = unsafe { libc::if_indextoname(index, name.as_mut_ptr()) };
    !answer.is_null()
}

#[cfg(test)]
mod tests {
    use super::version_code;

    #[test]
    fn version_has_a_byte_for_each_number() {
        for (text, expected) in [
            ("6.18.44-fc", Some(0x06_12_2c)),
            ("6.1.0-28-amd64", Some(0x06_01_00)),
            ("6.1.119-1 (2024-11-22)", Some(0x06_01_77)),
            ("4.4.302", Some(0x04_04_ff)),
            ("7.0-rc1", Some(0x07_00_00)),
            ("", None),
            ("linux", None),
            ("6", None),
            ("999.1", None),
        ] {
            assert_eq!(version_code(text), expected, "{text:?}");
        }
    }
}
