//! Loads BTF into the kernel, rewritten for a kernel that does not know all its kinds.

use std::{os::fd::OwnedFd, sync::OnceLock};

use log::debug;

use super::{btf, support::Support};
use crate::{
    Errno, Error,
    btf::{
        Btf,
        sanitize::{self, Kinds},
    },
    sys::bpf,
    token::Tokens,
};

/// Loads BTF. The error of the inner result is the kernel's refusal. `why` is for the report of the call.
///
/// A new kernel accepts the BTF unchanged. An old kernel refuses the whole BTF if one type in it is of a BTF kind that
/// the kernel does not know. In this case this function asks the kernel about each kind, and rewrites the BTF with the
/// kinds that the kernel accepts.
///
/// # Errors
///
/// [`Error::Bug`] if the BTF cannot be parsed.
pub(crate) fn load_btf(bytes: &[u8], tokens: &Tokens<'_>, why: &str) -> Result<Result<OwnedFd, String>, Error> {
    let refused = match load(bytes, tokens, why) {
        Ok(btf) => return Ok(Ok(btf)),
        Err(refused) => refused,
    };
    debug!("the kernel refuses BTF as it is: {refused}");
    Ok(match btf::supported(tokens) {
        Support::Yes => {
            let mut older = bytes.to_vec();
            let btf = Btf::parse(bytes).map_err(|_| Error::bug("BTF that is to be loaded cannot be parsed"))?;
            sanitize::rewrite(&mut older, &btf, kinds(tokens))?;
            load(&older, tokens, why)
        }
        answer => Err(format!("BTF is {answer}")),
    })
}

fn load(bytes: &[u8], tokens: &Tokens<'_>, why: &str) -> Result<OwnedFd, String> {
    let loaded = tokens.create(&mut |token| bpf::btf_load(bytes, token, &mut [], why));
    loaded.map_err(|error| Errno::of(&error).to_string())
}

/// Returns the kinds of BTF that the kernel knows. The probes need an answer: [`btf::supported`] with the same token
/// has returned [`Support::Yes`].
fn kinds(tokens: &Tokens<'_>) -> Kinds {
    static ANSWER: OnceLock<Kinds> = OnceLock::new();
    *ANSWER.get_or_init(|| btf::kinds(tokens))
}
