//! A build without the cargo feature `token`: there are no tokens.

use std::{
    io,
    marker::PhantomData,
    os::fd::{BorrowedFd, OwnedFd},
};

use super::Need;
use crate::{Error, sys::memlock::charged};

/// The choice of a token: none.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Choice<'t>(PhantomData<BorrowedFd<'t>>);

/// The token of one load: none.
#[derive(Debug)]
pub(crate) struct Tokens<'t>(PhantomData<BorrowedFd<'t>>);

#[expect(clippy::unused_self, reason = "as with tokens")]
impl<'t> Tokens<'t> {
    #[inline(always)]
    pub(crate) fn new(choice: Choice<'t>) -> Self {
        Self(choice.0)
    }

    #[inline(always)]
    pub(crate) fn automatic() -> Self {
        Self(PhantomData)
    }

    #[inline(always)]
    pub(crate) fn held(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    #[inline(always)]
    pub(crate) fn find(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// Creates a map, or loads a program or BTF.
    #[inline(always)]
    pub(crate) fn create(
        &self,
        create: &mut dyn FnMut(Option<BorrowedFd<'_>>) -> io::Result<OwnedFd>,
    ) -> io::Result<OwnedFd> {
        charged(None, create)
    }

    /// Explains a refusal by the missing capabilities.
    #[inline(always)]
    pub(crate) fn explain(&self, error: Error, need: Need) -> Error {
        error.wanting(need.capabilities())
    }
}

/// Returns false: no attempt is repeated with a token.
#[inline(always)]
pub(crate) fn is_refusal(_: &io::Error) -> bool {
    false
}
