//! Payloads as hexadecimal text: on one line for people, and in JSON.

use serde::{Deserialize, Deserializer, Serializer};

use crate::decode;

/// Bytes of a payload that are shown on one line.
const SHOWN: usize = 32;

/// Bytes of a payload that can be scrolled to: a frame formats as many for each row.
const SCROLLED: usize = 4096;

/// Formats the first bytes of a payload, in groups of four.
pub(super) fn text(payload: &[u8]) -> String {
    first(payload, SHOWN)
}

/// Formats the bytes of a payload for a screen that scrolls to its sides.
pub(super) fn wide_text(payload: &[u8]) -> String {
    first(payload, SCROLLED)
}

fn first(payload: &[u8], most: usize) -> String {
    let shown = payload.get(..most).unwrap_or(payload);
    let mut groups: Vec<_> = shown.chunks(4).map(decode::hex).collect();
    if shown.len() < payload.len() {
        groups.push(format!("… {} more", payload.len() - shown.len()));
    }
    groups.join(" ")
}

/// Serializes a payload.
pub(super) fn to_hex<S: Serializer>(payload: &Option<Vec<u8>>, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&decode::hex(payload.as_deref().unwrap_or_default()))
}

/// Deserializes a payload.
pub(super) fn of_hex<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Vec<u8>>, D::Error> {
    let text = String::deserialize(from)?;
    decode::from_hex(&text).map(Some).ok_or_else(|| serde::de::Error::custom("a payload that is not hexadecimal"))
}
