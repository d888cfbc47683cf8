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

/// Parses a duration in seconds; fractions are allowed. A duration above a century becomes a century: clocks can be set
/// that far ahead.
pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);
    let seconds: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    match Duration::try_from_secs_f64(seconds) {
        Ok(duration) if !duration.is_zero() => Ok(duration.min(CENTURY)),
        _ => Err("must be a number of seconds greater than 0".to_owned()),
    }
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
    fn durations_are_positive_seconds() {
        assert_eq!(seconds("1.5"), Ok(Duration::from_millis(1500)));
        let longest = seconds("1e18").unwrap();
        assert!(std::time::Instant::now().checked_add(longest * 2).is_some(), "{longest:?}");
        for nonsense in ["", "0", "-1", "nan", "inf", "1s"] {
            assert!(seconds(nonsense).is_err(), "{nonsense}");
        }
    }
}
