//! How long a search may go on.
//!
//! Types refer to each other, so a search through them can be made to branch at every level. For all relocations of an
//! object together there is one allowance, far above what real objects use (a few thousand), and far below a second.

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
pub(super) struct Steps(u32);

impl Steps {
    pub(super) fn new() -> Self {
        Self(20_000_000)
    }

    /// Takes one step.
    pub(super) fn take(&mut self) -> Result<(), Stop> {
        self.0 = self.0.checked_sub(1).ok_or(Stop::TooLong)?;
        Ok(())
    }

    /// Takes a step for each eight bytes of text that is looked through or written down.
    pub(super) fn take_for(&mut self, bytes: usize) -> Result<(), Stop> {
        let steps = u32::try_from(bytes / 8 + 1).map_err(|_| Stop::TooLong)?;
        self.0 = self.0.checked_sub(steps).ok_or(Stop::TooLong)?;
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
