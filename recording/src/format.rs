//! The constants of the format: its name and version, and the numbers of the kinds of entries. They never change.

/// The version of the format that this crate writes. It reads this one and all before.
pub const VERSION: u64 = 1;

/// The text that a recording begins with.
pub(crate) const FORMAT: &str = "cutaway recording";

/// The kinds of entries. A reader skips those that it does not know.
pub(crate) mod kinds {
    pub(crate) const START: u64 = 0;
    pub(crate) const BLOB: u64 = 1;
    pub(crate) const BUFFER: u64 = 2;
    pub(crate) const CLOCK: u64 = 3;
    pub(crate) const RECORD: u64 = 4;
    pub(crate) const LABEL: u64 = 5;
    pub(crate) const LINES: u64 = 6;
    pub(crate) const SNAPSHOT: u64 = 7;
    pub(crate) const END: u64 = 8;
}
