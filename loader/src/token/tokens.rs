//! The token of one load.
//!
//! A process with capabilities in the initial user namespace needs no token, and the kernel creates none there. So an
//! automatic token is created only after the kernel has refused a request, and only in another user namespace. From
//! then on all requests of the load use it.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::OnceLock,
};

use log::debug;

use super::{BpfToken, Need};
use crate::{
    Error,
    privileges::{self, IN_USER_NAMESPACE},
    sys::memlock::charged,
};

/// The choice of the token for a load.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) enum Choice<'t> {
    /// One that is created when it is needed.
    #[default]
    Automatic,
    /// The caller's.
    Given(&'t BpfToken),
    /// None.
    Off,
}

/// The token of one load, or of one probe.
#[derive(Debug)]
pub(crate) struct Tokens<'t> {
    choice: Choice<'t>,
    /// The token that was created automatically, or why there is none.
    found: OnceLock<Result<BpfToken, NoToken>>,
}

/// Why there is no automatic token.
#[derive(Debug)]
enum NoToken {
    /// The process is in the initial user namespace, where there are no tokens.
    NotNeeded,
    Because(String),
}

impl<'t> Tokens<'t> {
    pub(crate) fn new(choice: Choice<'t>) -> Self {
        Self { choice, found: OnceLock::new() }
    }

    pub(crate) fn automatic() -> Self {
        Self::new(Choice::Automatic)
    }

    /// Returns the token, if there is one by now.
    pub(crate) fn held(&self) -> Option<BorrowedFd<'_>> {
        self.token().map(AsFd::as_fd)
    }

    /// Returns the token, after an attempt to create it if the choice is automatic. The first attempt is the last one.
    pub(crate) fn find(&self) -> Option<BorrowedFd<'_>> {
        if let Choice::Automatic = self.choice {
            self.found.get_or_init(create_automatic);
        }
        self.held()
    }

    fn token(&self) -> Option<&BpfToken> {
        match self.choice {
            Choice::Given(token) => Some(token),
            Choice::Automatic => self.found.get()?.as_ref().ok(),
            Choice::Off => None,
        }
    }

    /// Creates a map, or loads a program or BTF, by `create`. If the kernel refuses it for lack of a privilege and
    /// there was no token, tries once more with one.
    pub(crate) fn create(
        &self,
        create: &mut dyn FnMut(Option<BorrowedFd<'_>>) -> io::Result<OwnedFd>,
    ) -> io::Result<OwnedFd> {
        let token = self.held();
        let answer = charged(token, create);
        match (answer, token) {
            (Err(error), None) if is_refusal(&error) => match self.find() {
                Some(token) => create(Some(token)),
                None => Err(error),
            },
            (answer, _) => answer,
        }
    }

    /// Explains a refusal: by what the token does not delegate, by why there is no token, or by the missing
    /// capabilities. Returns other errors unchanged.
    pub(crate) fn explain(&self, error: Error, need: Need) -> Error {
        let error = error.wanting(need.capabilities());
        match &error {
            Error::Syscall { errno, hint, .. } if matches!(errno.raw(), libc::EPERM | libc::EACCES) => {
                match self.advice(need, hint.as_deref()) {
                    Some(advice) => error.advise(&advice),
                    None => error,
                }
            }
            _ => error,
        }
    }

    /// Returns the advice that replaces `by_capabilities`.
    fn advice(&self, need: Need, by_capabilities: Option<&str>) -> Option<String> {
        if !cfg!(feature = "advice") {
            return None;
        }
        if let Some(token) = self.token() {
            let delegation = match token.delegation() {
                Ok(delegation) => delegation,
                Err(error) => return Some(format!("it is unknown what {token} delegates: {error}")),
            };
            if let Some(missing) = delegation.missing(need) {
                return Some(format!("{token} does not delegate {missing}"));
            }
            return Some(match privileges::missing(need.capabilities()) {
                Some(names) => {
                    format!("this process lacks {names} in its user namespace, which a token does not replace")
                }
                None => format!("{token} delegates this, so a security module may forbid it"),
            });
        }
        let why = match self.choice {
            Choice::Off => "the load was asked to use no BPF token",
            _ => match self.found.get() {
                Some(Err(NoToken::Because(why))) => why,
                _ => return None,
            },
        };
        (by_capabilities == Some(IN_USER_NAMESPACE))
            .then(|| format!("{IN_USER_NAMESPACE} without a BPF token, and {why}; this needs {}", need.options()))
    }
}

/// Returns whether the kernel may have refused a request for lack of a privilege. The verifier returns EACCES, and
/// accepts more from a privileged process.
pub(crate) fn is_refusal(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EPERM | libc::EACCES))
}

/// Creates the token that libbpf would create: from the BPF file system that the environment names, or the usual one.
fn create_automatic() -> Result<BpfToken, NoToken> {
    if !BpfToken::is_needed() {
        return Err(NoToken::NotNeeded);
    }
    BpfToken::automatic().map_err(NoToken::Because).inspect_err(|why| {
        if let NoToken::Because(why) = why {
            debug!("no BPF token is used: {why}");
        }
    })
}
