//! Walks over the ids of objects.

use crate::{
    Error,
    privileges::ONLY_BY_ROOT,
    sys::ids::{self, Kind},
};

/// Returns the ids of objects of a kind, in ascending order, up to the first failure.
pub(super) fn walk(kind: Kind, attempt: &'static str) -> impl Iterator<Item = Result<u32, Error>> {
    let mut last = Some(0);
    std::iter::from_fn(move || {
        let answer = ids::next(kind, last?, "gets the next id in use");
        last = answer.as_ref().ok().copied();
        match answer {
            Ok(id) => Some(Ok(id)),
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => None,
            Err(error) => Some(Err(Error::kernel(attempt, &error).advise(ONLY_BY_ROOT))),
        }
    })
}
