//! One record: a header of eight bytes, then the payload.
//!
//! ```text
//!          byte 0              4               8                    8 + length
//!  position +-----------------+---------------+---------------------+------+
//!           | u32 length word | u32 page      | payload             | pad  |
//!           +-----------------+---------------+---------------------+------+
//!             bit 31: BUSY      for the kernel                        up to a
//!             bit 30: DISCARD   alone                                 multiple of 8
//!             bits 29..0: length
//! ```
//!
//! The header is `struct bpf_ringbuf_hdr` in `kernel/bpf/ringbuf.c`. `include/uapi/linux/bpf.h` defines the bits.

/// Set while the record is reserved and not committed.
pub(crate) const BUSY: u32 = 1 << 31;
/// Set if the producer gave the record up. Readers skip such a record.
pub(crate) const DISCARD: u32 = 1 << 30;
/// The bits of the length in a header's length word. (The ring's mask is not usable for this: the mask of a 2 GiB ring
/// includes the discard bit.)
pub(crate) const LENGTH: u32 = !(BUSY | DISCARD);
/// The size of a header in bytes.
pub(crate) const HEADER: u64 = 8;

/// Returns the number of bytes of the ring that a record of `length` payload bytes takes.
#[inline]
pub(crate) fn space(length: u32) -> u64 {
    (u64::from(length) + HEADER + 7) & !7
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn space_is_header_and_payload_rounded_up_to_eight() {
        for (length, expected) in [(0, 8), (1, 16), (8, 16), (9, 24), (LENGTH, 0x4000_0008)] {
            assert_eq!(space(length), expected, "length {length}");
        }
    }
}
