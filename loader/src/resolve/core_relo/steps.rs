//! How long a search may go on, and how much text may come of it.
//!
//! Types refer to each other, so a search through them can be made to branch at every level. For all relocations of an
//! object together there is one allowance. It grows with the object: what has been found for a type and an access
//! string is remembered, so the work depends on how many different questions there are, and each adds what the largest
//! structures of a kernel take (some 300 members). An object of a few bytes is refused far below a second.

/// What ends a search without an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stop {
    /// Types lead in a circle, or are nested deeper than anybody nests them.
    Circle,
    /// The allowance is used up.
    TooLong,
    /// What the kernel's types say cannot be.
    Nonsense(String),
}

/// The rest of the allowance.
#[derive(Debug)]
pub(crate) struct Steps {
    /// Comparisons of types and names.
    left: u64,
    /// Bytes of text, about relocations that were applied.
    text: u64,
    /// Steps taken, for tests of how the work grows.
    #[cfg(test)]
    pub(super) taken: u64,
}

/// What each object may take.
const BASE: u64 = 20_000_000;
/// What each question adds.
const EACH: u64 = 2048;
/// Bytes of text for each object, and for each record: a name has at most 4096 bytes, but all names may be in the same
/// bytes.
const TEXT: u64 = 128 << 20;
const TEXT_EACH: u64 = 256;

impl Steps {
    /// The allowance of an object with so many records, before it has asked anything.
    pub(crate) fn of(records: usize) -> Self {
        let text = (records as u64).saturating_mul(TEXT_EACH).saturating_add(TEXT);
        Self {
            left: BASE,
            text,
            #[cfg(test)]
            taken: 0,
        }
    }

    /// Adds what one more question may take.
    pub(crate) fn add(&mut self) {
        self.left = self.left.saturating_add(EACH);
    }

    /// Takes one step.
    pub(super) fn take(&mut self) -> Result<(), Stop> {
        self.take_many(1)
    }

    /// Takes a step for each eight bytes of text that is looked through.
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

    /// Takes room for text that is written down.
    pub(super) fn write(&mut self, bytes: usize) -> Result<(), Stop> {
        self.text = self.text.checked_sub(bytes as u64).ok_or(Stop::TooLong)?;
        Ok(())
    }
}

impl std::fmt::Display for Stop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Circle => f.write_str("types lead in a circle, or are nested too deeply"),
            Self::TooLong => f.write_str("comparing its types takes too long; it is built to do so, or broken"),
            Self::Nonsense(why) => f.write_str(why),
        }
    }
}
