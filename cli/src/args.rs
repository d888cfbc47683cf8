//! Argument values that several commands share.

use std::time::Duration;

use clap::ValueEnum;
use cutaway_sys::memory::page_size;
use log::info;

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Columns for people
    Table,
    /// One JSON object per line
    Json,
}

/// The longest duration that is accepted: clocks can be set that far ahead.
const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// Parses a duration with a unit: `5s`, `250ms`, `1.5us`. Without a unit it is in seconds. A duration above a century
/// becomes a century.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    const EXPECTED: &str = "must be greater than 0, in seconds or with a unit (ns, us, ms, s, m, h): 5s, 250ms";
    let digits = text.trim_end_matches(|letter: char| letter.is_alphabetic());
    let unit = match text.get(digits.len()..).unwrap_or_default() {
        "" | "s" => 1.0,
        "ns" => 1e-9,
        "us" | "µs" | "μs" => 1e-6,
        "ms" => 1e-3,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        // An exponent without a sign, as in 1e3, ends in digits; anything else is no unit.
        _ => return Err(EXPECTED.to_owned()),
    };
    let number: f64 = digits.parse().map_err(|_| EXPECTED.to_owned())?;
    positive(number * unit).ok_or_else(|| EXPECTED.to_owned())
}

fn positive(seconds: f64) -> Option<Duration> {
    // The smaller of NaN and a number would be the number.
    let seconds = if seconds.is_finite() { seconds.min(CENTURY.as_secs_f64()) } else { return None };
    Duration::try_from_secs_f64(seconds).ok().filter(|duration| !duration.is_zero())
}

/// Parses the size of a buffer in bytes: from 1 byte to 1 GiB, with an optional suffix (K, M, G) for powers of 1024.
pub(crate) fn buffer_size(text: &str) -> Result<u32, String> {
    const EXPECTED: &str = "must be from 1 to 1G bytes, with an optional suffix: 65536, 64K, 4M, 1G";
    scaled(text).filter(|bytes| (1..=1 << 30).contains(bytes)).ok_or_else(|| EXPECTED.to_owned())
}

/// Parses a number with an optional suffix for powers of 1024: `64K`. `None` if it is not one, or too large.
pub(crate) fn scaled(text: &str) -> Option<u32> {
    let digits = text.trim_end_matches(|letter: char| letter.is_alphabetic());
    let unit: u64 = match text.get(digits.len()..).unwrap_or_default().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" | "kib" => 1 << 10,
        "m" | "mb" | "mib" => 1 << 20,
        "g" | "gb" | "gib" => 1 << 30,
        _ => return None,
    };
    let number = digits.parse::<u64>().ok()?.checked_mul(unit)?;
    u32::try_from(number).ok()
}

/// Parses the id of a process.
pub(crate) fn pid(text: &str) -> Result<u32, String> {
    let number = text.parse().ok().filter(|pid| (1..=i32::MAX as u32).contains(pid));
    number.ok_or_else(|| match text.parse::<u64>() {
        Ok(_) => format!("must be a process id, from 1 to {}", i32::MAX),
        Err(_) => "must be a process id, which is a number; `pgrep NAME` finds that of a name".to_owned(),
    })
}

/// Parses a count, which is at least 1.
pub(crate) fn count(text: &str) -> Result<u64, String> {
    let number = text.parse().ok().filter(|count| *count > 0);
    number.ok_or_else(|| "must be a whole number, at least 1".to_owned())
}

/// Returns the size of a perf buffer of at least `bytes` bytes: a power of two of pages.
pub(crate) fn perf_buffer_size(bytes: u32) -> u32 {
    let page = page_size() as u32;
    let size = bytes.max(page).checked_next_power_of_two().unwrap_or(bytes);
    if size != bytes {
        info!("each CPU's perf buffer gets {size} bytes instead of {bytes}: a power of two of pages");
    }
    size
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        for (text, nanoseconds) in [
            ("1", 1_000_000_000),
            ("0.25", 250_000_000),
            ("1.5", 1_500_000_000),
            ("5s", 5_000_000_000),
            ("1.5ms", 1_500_000),
            ("20us", 20_000),
            ("20µs", 20_000),
            ("7ns", 7),
            ("2m", 120_000_000_000),
            ("2min", 120_000_000_000),
            ("1h", 3_600_000_000_000),
            ("1e3", 1_000_000_000_000),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_nanos(nanoseconds)), "{text}");
        }
        let longest = duration("1e18").unwrap();
        assert!(std::time::Instant::now().checked_add(longest * 2).is_some(), "{longest:?}");
        assert_eq!(duration("1e18h"), Ok(longest));
        for nonsense in ["", "s", "0", "0ms", "-1", "-1s", "nan", "inf", "infs", "1x", "1 s", "1.2.3s", "0.1ns", "é"] {
            assert!(duration(nonsense).is_err(), "{nonsense}");
        }
    }

    #[test]
    fn error_of_a_number_says_what_is_expected() {
        assert_eq!((pid("1"), pid("2147483647"), count("7")), (Ok(1), Ok(i32::MAX as u32), Ok(7)));
        for text in ["foo", "", "-1", "1.5", " 1"] {
            assert!(pid(text).unwrap_err().contains("is a number"), "{text}");
            assert!(count(text).is_err(), "{text}");
        }
        for text in ["0", "2147483648", "18446744073709551615"] {
            assert_eq!(pid(text).unwrap_err(), "must be a process id, from 1 to 2147483647");
        }
        assert!(count("0").is_err());
    }

    #[test]
    fn sizes_have_binary_suffixes() {
        for (text, bytes) in [
            ("1", 1),
            ("4096", 4096),
            ("64K", 65_536),
            ("64k", 65_536),
            ("64KiB", 65_536),
            ("4M", 4 << 20),
            ("1G", 1 << 30),
            ("1073741824", 1 << 30),
        ] {
            assert_eq!(buffer_size(text), Ok(bytes), "{text}");
        }
        for nonsense in ["", "K", "0", "0K", "-1", "1.5M", "2G", "1T", "99999999999", "18446744073709551615G", "64 K"] {
            assert!(buffer_size(nonsense).is_err(), "{nonsense}");
        }
    }
}
