//! Names of types: offsets into the strings of BTF.

use std::borrow::Cow;

use crate::text::MAX_NAME;

/// The strings that hold the names. Those of split BTF continue those of its base.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Names<'a> {
    pub(super) base: &'a [u8],
    pub(super) own: &'a [u8],
}

impl<'a> Names<'a> {
    /// Returns the length of the strings in bytes, those of the base included.
    pub(super) fn len(self) -> usize {
        self.base.len() + self.own.len()
    }

    /// Returns the string at `offset`, up to its NUL or 4096 bytes.
    pub(crate) fn at(self, offset: u32) -> &'a [u8] {
        let from = self.from(offset);
        let from = from.get(..MAX_NAME).unwrap_or(from);
        let end = from.iter().position(|&byte| byte == 0).unwrap_or(from.len());
        from.get(..end).unwrap_or_default()
    }

    /// Returns whether the string at `offset` is `name`.
    pub(crate) fn is(self, offset: u32, name: &[u8]) -> bool {
        self.from(offset).strip_prefix(name).is_some_and(|rest| rest.first() == Some(&0))
    }

    /// Returns all bytes from `offset` on.
    pub(crate) fn from(self, offset: u32) -> &'a [u8] {
        let offset = offset as usize;
        let from = match offset.checked_sub(self.base.len()) {
            Some(offset) => self.own.get(offset..),
            None => self.base.get(offset..),
        };
        from.unwrap_or_default()
    }
}

/// Returns a name in printable form: on one line, and without control characters.
pub(crate) fn shown(name: &[u8]) -> Cow<'_, str> {
    let text = String::from_utf8_lossy(name);
    if text.contains(char::is_control) { Cow::Owned(text.replace(char::is_control, "\u{fffd}")) } else { text }
}
