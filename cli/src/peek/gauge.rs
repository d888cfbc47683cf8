//! How full a buffer is, and whether that is more than `--fail-above` allows.

use crate::{
    diagnostics::say,
    error::{CliError, listed},
    terminal::one_line,
};

/// The fill of a buffer at one moment.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Gauge {
    /// The buffer, for messages: ring 7 `events`.
    pub(super) what: String,
    pub(super) fill: Fill,
    /// Position of the writer: the bytes written since the buffer was created. `None` if unknown.
    pub(super) written: Option<u64>,
}

/// How full a buffer is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Fill {
    /// Unread bytes, and the buffer size.
    Bytes(u64, u64),
    /// The writer overwrites the oldest records, so the buffer is full by design. Unread bytes, and the buffer size.
    Overwritten(u64, u64),
    /// The reason why the fill is unknown.
    Unknown(String),
}

impl Fill {
    /// Returns the unread bytes in percent of the buffer size; `None` if they are unknown.
    pub(super) fn percent(&self) -> Option<f64> {
        match self {
            Self::Bytes(filled, bytes) | Self::Overwritten(filled, bytes) => {
                Some(*filled as f64 * 100.0 / (*bytes).max(1) as f64)
            }
            Self::Unknown(_) => None,
        }
    }
}

impl Gauge {
    /// Makes the gauge of a buffer whose fill is unknown.
    pub(super) fn unknown(what: String, why: &str) -> Self {
        Self { what, fill: Fill::Unknown(why.to_owned()), written: None }
    }

    /// Makes the gauge of a buffer with these unread bytes and this size.
    pub(super) fn new(what: String, (filled, bytes): (u64, u64), written: u64, overwrites: bool) -> Self {
        // A process can store anything in the words that it maps.
        if filled > bytes {
            return Self::unknown(what, &format!("its positions contradict each other: {filled} of {bytes} bytes"));
        }
        let fill = if overwrites { Fill::Overwritten(filled, bytes) } else { Fill::Bytes(filled, bytes) };
        Self { what, fill, written: Some(written) }
    }
}

/// Fails if a buffer is filled to more than `limit` percent, or if the fill of a buffer is unknown. A buffer whose
/// oldest records are overwritten is not tested.
pub(super) fn check(limit: Option<f64>, gauges: &[Gauge]) -> Result<(), CliError> {
    let Some(limit) = limit else { return Ok(()) };
    let (mut above, mut unknown) = (Vec::new(), Vec::new());
    for Gauge { what, fill, .. } in gauges {
        match (fill, fill.percent()) {
            (Fill::Unknown(why), _) => unknown.push(format!("{what} ({})", one_line(why))),
            (Fill::Overwritten(..), _) => {
                say(&format!("--fail-above does not test {what}: its oldest records are overwritten"));
            }
            (Fill::Bytes(..), Some(percent)) if percent > limit => above.push(format!("{what} ({percent:.1} %)")),
            (Fill::Bytes(..), _) => {}
        }
    }
    let above = (!above.is_empty()).then(|| format!("filled above {limit} %: {}", listed(&above)));
    let unknown = (!unknown.is_empty()).then(|| format!("the fill is unknown: {}", listed(&unknown)));
    let lines: Vec<String> = above.into_iter().chain(unknown).collect();
    if lines.is_empty() { Ok(()) } else { Err(CliError::new(lines.join("; "))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gauge(what: &str, fill: Fill) -> Gauge {
        Gauge { what: what.to_owned(), fill, written: Some(0) }
    }

    #[test]
    fn fill_above_the_limit_fails() {
        let gauges = [gauge("ring 1 `a`", Fill::Bytes(800, 1000)), gauge("ring 2 `b`", Fill::Bytes(801, 1000))];
        assert_eq!(check(Some(80.0), &gauges).unwrap_err().to_string(), "filled above 80 %: ring 2 `b` (80.1 %)");
        assert!(check(Some(80.1), &gauges).is_ok());
        assert!(check(None, &gauges).is_ok());
    }

    #[test]
    fn unknown_fill_fails_and_overwritten_buffer_does_not() {
        let unknown = Gauge::unknown("ring 1 `a`".to_owned(), "EPERM");
        let flight = gauge("ring 2 `b`", Fill::Overwritten(1000, 1000));
        let failure = check(Some(100.0), &[unknown, flight.clone()]).unwrap_err().to_string();
        assert_eq!(failure, "the fill is unknown: ring 1 `a` (EPERM)");
        assert!(check(Some(0.0), &[flight]).is_ok());
    }

    #[test]
    fn contradictory_positions_are_no_fill() {
        let gauge = Gauge::new("ring 1 `a`".to_owned(), (5000, 4096), 5000, false);
        assert!(matches!(gauge.fill, Fill::Unknown(_)), "{gauge:?}");
        assert_eq!(gauge.written, None);
    }
}
