//! Refuses an fd that is not a ring of the given size and purpose.

use std::io;
use std::os::fd::BorrowedFd;

use super::facts::{Facts, facts};
use super::purpose::{F_RB_OVERWRITE, Purpose};
use super::sys;
use crate::error::Error;
use crate::size::checked;

/// Errors unless `map` is a map that can be opened for `purpose` and has `bytes` bytes of data.
pub(crate) fn check(map: BorrowedFd<'_>, purpose: Purpose, bytes: u32) -> Result<(), Error> {
    checked(bytes)?;
    let wanted = purpose.wanted();
    let facts = match sys::info(map) {
        Ok(facts) if purpose.allows(facts.kind) => facts,
        // It may be the type of a BPF program. Only the text in `/proc` distinguishes that from a map's.
        Ok(facts) => match from_proc(map) {
            Ok(None) => return Err(Error::WrongType { expected: wanted, found: None }),
            Ok(Some(facts)) => facts,
            Err(_) => facts,
        },
        Err(refused) => match from_proc(map) {
            Ok(facts) => facts.ok_or(Error::WrongType { expected: wanted, found: None })?,
            Err(proc) => return Err(Error::UnknownType { expected: wanted, bpf: refused, proc }),
        },
    };
    verify(facts, purpose, bytes)
}

/// Returns the facts about the map in `/proc`; `None` if the fd is not a map.
fn from_proc(map: BorrowedFd<'_>) -> io::Result<Option<Facts>> {
    // The text for a map has some 200 bytes.
    sys::fdinfo(map, &mut [0; 4096]).map(facts)
}

fn verify(facts: Facts, purpose: Purpose, bytes: u32) -> Result<(), Error> {
    let Facts { kind, max_entries, flags } = facts;
    if !purpose.allows(kind) {
        return Err(Error::WrongType { expected: purpose.wanted(), found: Some(kind) });
    }
    if max_entries != bytes {
        return Err(Error::SizeMismatch { bytes, max_entries });
    }
    if purpose == Purpose::Lend && flags & F_RB_OVERWRITE != 0 {
        return Err(Error::OverwriteMode);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::purpose::{RINGBUF, USER_RINGBUF};
    use super::*;

    #[test]
    fn each_purpose_accepts_only_maps_of_its_type() {
        use Purpose::{Copy, Lend, Observe, Produce};
        for kind in 0..64 {
            let allowed: &[Purpose] = match kind {
                RINGBUF => &[Lend, Copy, Observe],
                USER_RINGBUF => &[Produce, Observe],
                _ => &[],
            };
            for purpose in [Lend, Copy, Produce, Observe] {
                let verified = verify(Facts { kind, max_entries: 4096, flags: 0 }, purpose, 4096);
                match verified {
                    Ok(()) => assert!(allowed.contains(&purpose), "{kind} {purpose:?}"),
                    Err(Error::WrongType { found, .. }) if found == Some(kind) => {
                        assert!(!allowed.contains(&purpose), "{kind} {purpose:?}");
                    }
                    Err(error) => panic!("{kind} {purpose:?}: {error:?}"),
                }
            }
        }
    }

    #[test]
    fn wrong_size_and_overwrite_mode_are_refused() {
        let ring = Facts { kind: RINGBUF, max_entries: 8192, flags: F_RB_OVERWRITE };
        assert!(matches!(verify(ring, Purpose::Lend, 8192), Err(Error::OverwriteMode)));
        for purpose in [Purpose::Copy, Purpose::Observe] {
            assert!(verify(ring, purpose, 8192).is_ok());
            for bytes in [4096, 16384] {
                let error = verify(ring, purpose, bytes);
                assert!(
                    matches!(error, Err(Error::SizeMismatch { bytes: stated, max_entries: 8192 }) if stated == bytes),
                    "{error:?}"
                );
            }
        }
    }
}
