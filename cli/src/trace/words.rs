//! The values of an event as words: results, durations and strings.

use std::ffi::CStr;

use cutaway_programs::getaddrinfo::Text;

use crate::terminal;

/// Formats a string for the table: `-` for null, `?` for an unreadable one, and `…` after a truncated one.
pub(crate) fn shown(text: Text<'_>) -> String {
    match text {
        Text::Null => "-".to_owned(),
        Text::Unreadable(_) => "?".to_owned(),
        Text::Whole(bytes) => terminal::one_line(&String::from_utf8_lossy(bytes)),
        Text::Cut(_) => shown(Text::Whole(text.bytes().unwrap_or_default())) + "…",
    }
}

/// Returns `ok`, or the error's name in `netdb.h`.
pub(crate) fn result(ret: i32) -> String {
    let name = match ret {
        0 => "ok",
        libc::EAI_AGAIN => "EAI_AGAIN",
        libc::EAI_BADFLAGS => "EAI_BADFLAGS",
        libc::EAI_FAIL => "EAI_FAIL",
        libc::EAI_FAMILY => "EAI_FAMILY",
        libc::EAI_MEMORY => "EAI_MEMORY",
        libc::EAI_NODATA => "EAI_NODATA",
        libc::EAI_NONAME => "EAI_NONAME",
        libc::EAI_OVERFLOW => "EAI_OVERFLOW",
        libc::EAI_SERVICE => "EAI_SERVICE",
        libc::EAI_SOCKTYPE => "EAI_SOCKTYPE",
        libc::EAI_SYSTEM => "EAI_SYSTEM",
        other => return format!("error {other}"),
    };
    name.to_owned()
}

/// Formats a duration with three digits and a unit.
pub(crate) fn latency(nanoseconds: u64) -> String {
    let value = nanoseconds as f64;
    let (value, unit) = match nanoseconds {
        0..1_000 => return format!("{nanoseconds} ns"),
        1_000..1_000_000 => (value / 1e3, "µs"),
        1_000_000..1_000_000_000 => (value / 1e6, "ms"),
        _ => (value / 1e9, "s"),
    };
    match value {
        ..10.0 => format!("{value:.2} {unit}"),
        ..100.0 => format!("{value:.1} {unit}"),
        _ => format!("{value:.0} {unit}"),
    }
}

/// Returns the C library's text for an error of `getaddrinfo`.
#[expect(unsafe_code, reason = "a function of the C library")]
pub(crate) fn gai_strerror(error: i32) -> String {
    // SAFETY: takes a number; gives a string that is never freed or changed, or null.
    let text = unsafe { libc::gai_strerror(error) };
    if text.is_null() {
        return format!("error {error}");
    }
    // SAFETY: not null, and a NUL-terminated string that lives as long as the process.
    let text = unsafe { CStr::from_ptr(text) };
    text.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_have_three_digits_and_a_unit() {
        let cases =
            [(999, "999 ns"), (1_234, "1.23 µs"), (56_789, "56.8 µs"), (999_999, "1000 µs"), (5_000_000_000, "5.00 s")];
        for (nanoseconds, text) in cases {
            assert_eq!(latency(nanoseconds), text);
        }
    }

    #[test]
    fn strings_are_escaped() {
        assert_eq!(shown(Text::Whole(b"a\nb\x1b[2J")), "a\\nb\\u{1b}[2J");
        assert_eq!(shown(Text::Cut(b"long")), "long…");
        assert_eq!(shown(Text::Null), "-");
    }

    #[test]
    fn errors_have_names_and_texts() {
        assert_eq!(result(libc::EAI_NONAME), "EAI_NONAME");
        assert_eq!(result(-4711), "error -4711");
        assert_eq!(gai_strerror(libc::EAI_NONAME), "Name or service not known");
    }
}
