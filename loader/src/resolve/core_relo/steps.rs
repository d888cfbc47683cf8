//! Limits the time of a search and the length of its reports.
//!
//! Types refer to each other, so a search through crafted types could branch at every level. All relocations of an
//! object share one allowance, which grows with the object. Results are kept by type and access string, so the work
//! depends on the number of different requests. Each request adds what the largest structures of a kernel take (some
//! 300 members). An object of a few bytes is refused far below a second.

/// The reason why a search ends without a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stop {
    /// Types form a circle, or are nested deeper than any real ones.
    Circle,
    /// The allowance is used up.
    TooLong,
    /// The types contradict themselves.
    Nonsense(String),
}

/// The remaining allowance.
#[derive(Debug)]
pub(crate) struct Steps {
    /// Steps: comparisons of types and names.
    left: u64,
    /// Bytes of text in reports.
    text: u64,
    /// The number of steps taken, for tests.
    #[cfg(test)]
    pub(super) taken: u64,
}

/// Steps of each object.
const BASE: u64 = 20_000_000;
/// Additional steps for each request.
const EACH: u64 = 2048;
/// Bytes of text of each object, and of each record. A name has at most 4096 bytes, but many long names may overlap in
/// the file.
const TEXT: u64 = 128 << 20;
const TEXT_EACH: u64 = 256;

impl Steps {
    /// Returns the allowance of an object with this many records, before its first request.
    pub(crate) fn of(records: usize) -> Self {
        let text = (records as u64).saturating_mul(TEXT_EACH).saturating_add(TEXT);
        Self {
            left: BASE,
            text,
            #[cfg(test)]
            taken: 0,
        }
    }

    /// Adds the steps of one more request.
    pub(crate) fn add(&mut self) {
        self.left = self.left.saturating_add(EACH);
    }

    /// Takes one step.
    pub(super) fn take(&mut self) -> Result<(), Stop> {
        self.take_many(1)
    }

    /// Takes a step for each eight bytes of compared text.
    pub(super) fn take_for(&mut self, bytes: usize) -> Result<(), Stop> {
        self.take_many(bytes as u64 / 8 + 1)
    }

    fn take_many(&mut self, steps: u64) -> Result<(), Stop> {
        #[cfg(test)]
        {
            self.taken += steps;
        }
        self.left = self.left.checked_sub(steps).ok_or(Stop::TooLong)?;
        Ok(())
    }

    /// Takes bytes of text for a report.
    pub(super) fn write(&mut self, bytes: usize) -> Result<(), Stop> {
        self.text = self.text.checked_sub(bytes as u64).ok_or(Stop::TooLong)?;
        Ok(())
    }
}

impl std::fmt::Display for Stop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Circle => f.write_str("types form a circle, or are nested too deeply"),
            Self::TooLong => f.write_str("comparing its types takes too long; the object is broken or malicious"),
            Self::Nonsense(why) => f.write_str(why),
        }
    }
}
