//! Probes which kinds of BTF the kernel knows.
//!
//! The kernel gained one kind of BTF after another, and refuses a whole BTF blob because of one unknown kind. So each
//! unknown kind in an object's BTF is rewritten before loading, to an older kind of the same layout. Each probe here
//! loads a blob of a few types, and closes its fd.

use std::{
    io,
    os::fd::{BorrowedFd, OwnedFd},
    sync::OnceLock,
};

use super::support::{Support, kept, support};
use crate::{btf::sanitize::Kinds, sys::bpf, token::Tokens};

/// `BTF_KIND_…`
mod kind {
    pub(super) const INT: u32 = 1;
    pub(super) const PTR: u32 = 2;
    pub(super) const FUNC: u32 = 12;
    pub(super) const FUNC_PROTO: u32 = 13;
    pub(super) const VAR: u32 = 14;
    pub(super) const DATASEC: u32 = 15;
    pub(super) const FLOAT: u32 = 16;
    pub(super) const DECL_TAG: u32 = 17;
    pub(super) const TYPE_TAG: u32 = 18;
    pub(super) const ENUM64: u32 = 19;
}

/// Returns `btf_type.info`: the kind, and the number of entries that follow (for a function, its linkage).
const fn info(kind: u32, entries: u32) -> u32 {
    kind << 24 | entries
}

/// The strings of every blob: offset 1 is `x`, offset 3 is `.data`.
const STRINGS: &[u8] = b"\0x\0.data\0";

/// Type 1 of every blob, a signed 32-bit integer. The words: name, info, size, encoding.
const INTEGER: [u32; 4] = [1, info(kind::INT, 0), 4, 1 << 24 | 32];
/// Type 2 of the blobs that need a variable: a static one of type 1.
const VARIABLE: [u32; 4] = [1, info(kind::VAR, 0), 1, 0];
/// Type 2 of the blobs that need a function type: one without parameters.
const PROTOTYPE: [u32; 3] = [0, info(kind::FUNC_PROTO, 0), 0];

const PLAIN: &[&[u32]] = &[&INTEGER];
const FUNC: &[&[u32]] = &[&INTEGER, &PROTOTYPE, &[1, info(kind::FUNC, 0), 2]];
const FUNC_GLOBAL: &[&[u32]] = &[&INTEGER, &PROTOTYPE, &[1, info(kind::FUNC, 1), 2]];
const DATASEC: &[&[u32]] = &[&INTEGER, &VARIABLE, &[3, info(kind::DATASEC, 1), 4, 2, 0, 4]];
const DATASEC_ZERO: &[&[u32]] = &[&INTEGER, &[3, info(kind::DATASEC, 0), 4]];
const FLOAT: &[&[u32]] = &[&INTEGER, &[1, info(kind::FLOAT, 0), 4]];
const DECL_TAG: &[&[u32]] = &[&INTEGER, &VARIABLE, &[1, info(kind::DECL_TAG, 0), 2, u32::MAX]];
const TYPE_TAG: &[&[u32]] = &[&INTEGER, &[1, info(kind::TYPE_TAG, 0), 1], &[0, info(kind::PTR, 0), 2]];
const ENUM64: &[&[u32]] = &[&INTEGER, &[1, info(kind::ENUM64, 1), 8, 1, 0, 0]];

/// Probes for BTF.
pub(super) fn supported(tokens: &Tokens<'_>) -> Support {
    static ANSWER: OnceLock<Support> = OnceLock::new();
    kept(&ANSWER, tokens, |tokens| support(tokens.create(&mut |token| load(PLAIN, token)), "4.18"))
}

/// Probes for every kind that was not in the kernel's first BTF.
pub(super) fn kinds(tokens: &Tokens<'_>) -> Kinds {
    let takes = |types| load(types, tokens.held()).is_ok();
    Kinds {
        func: takes(FUNC),
        func_global: takes(FUNC_GLOBAL),
        datasec: takes(DATASEC),
        datasec_empty: takes(DATASEC_ZERO),
        float: takes(FLOAT),
        decl_tag: takes(DECL_TAG),
        type_tag: takes(TYPE_TAG),
        enum64: takes(ENUM64),
    }
}

/// Loads BTF with one type, a signed integer of 4 bytes with the id 1.
pub(super) fn integer(tokens: &Tokens<'_>) -> io::Result<OwnedFd> {
    tokens.create(&mut |token| load(PLAIN, token))
}

/// Loads a BTF blob with these types.
fn load(types: &[&[u32]], token: Option<BorrowedFd<'_>>) -> io::Result<OwnedFd> {
    bpf::btf_load(&blob(types), token, &mut [], "asks whether this kernel knows a kind of BTF, with a small blob")
}

/// Builds a blob: `struct btf_header`, the types, the strings.
fn blob(types: &[&[u32]]) -> Vec<u8> {
    const HEADER_LEN: u32 = 24;
    let types: Vec<u32> = types.concat();
    let types_len = types.len() as u32 * 4;
    let mut blob = Vec::new();
    blob.extend_from_slice(&0xeb9f_u16.to_ne_bytes());
    blob.extend_from_slice(&[1, 0]); // version, flags
    for word in [HEADER_LEN, 0, types_len, types_len, STRINGS.len() as u32].iter().chain(&types) {
        blob.extend_from_slice(&word.to_ne_bytes());
    }
    blob.extend_from_slice(STRINGS);
    blob
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_blob_is_well_formed() {
        for types in [PLAIN, FUNC, FUNC_GLOBAL, DATASEC, DATASEC_ZERO, FLOAT, DECL_TAG, TYPE_TAG, ENUM64] {
            crate::btf::Btf::parse(&blob(types)).unwrap();
        }
    }
}
