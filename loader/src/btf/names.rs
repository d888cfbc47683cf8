//! Names: offsets into the strings of BTF.

use std::borrow::Cow;

use crate::text::MAX_NAME;

/// The strings that names are in. Those of a split BTF continue those of its base.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Names<'a> {
    pub(super) base: &'a [u8],
    pub(super) own: &'a [u8],
}

impl<'a> Names<'a> {
    /// Returns how many bytes of strings there are, those of the base included.
    pub(super) fn len(self) -> usize {
        self.base.len() + self.own.len()
    }

    /// Returns the string at `offset`, to its NUL or 4096 bytes.
    pub(crate) fn at(self, offset: u32) -> &'a [u8] {
        let from = self.from(offset);
        let from = from.get(..MAX_NAME).unwrap_or(from);
        let end = from.iter().position(|&byte| byte == 0).unwrap_or(from.len());
        from.get(..end).unwrap_or_default()
    }

    /// Returns whether the string at `offset` is this one.
    pub(crate) fn is(self, offset: u32, name: &[u8]) -> bool {
        self.from(offset).strip_prefix(name).is_some_and(|rest| rest.first() == Some(&0))
    }

    /// Returns the string at `offset`, and all bytes behind it.
    pub(crate) fn from(self, offset: u32) -> &'a [u8] {
        let offset = offset as usize;
        let from = match offset.checked_sub(self.base.len()) {
            Some(offset) => self.own.get(offset..),
            None => self.base.get(offset..),
        };
        from.unwrap_or_default()
    }
}

/// Returns a name as it can be printed: on one line, and without control characters.
pub(crate) fn shown(name: &[u8]) -> Cow<'_, str> {
    let text = String::from_utf8_lossy(name);
    if text.contains(char::is_control) { Cow::Owned(text.replace(char::is_control, "\u{fffd}")) } else { text }
}
