//! Reads words from bytes. BTF consists of 32-bit words in the byte order of the machine that it is for.

/// Returns the word at `at`; 0 beyond the end, which the walk over all types excludes where it matters.
pub(super) fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).copied().map_or(0, u32::from_ne_bytes)
}

/// Returns the three words that all types begin with.
pub(super) fn three(bytes: &[u8; 12]) -> [u32; 3] {
    let [a, b, c, d, e, f, g, h, i, j, k, l] = *bytes;
    [u32::from_ne_bytes([a, b, c, d]), u32::from_ne_bytes([e, f, g, h]), u32::from_ne_bytes([i, j, k, l])]
}

/// Splits bytes into consecutive records of `N` words each.
pub(super) fn records<const N: usize>(bytes: &[u8]) -> impl ExactSizeIterator<Item = [u32; N]> + Clone + '_ {
    bytes.chunks_exact(4 * N).map(|record| {
        let mut words = [0; N];
        for (word, bytes) in words.iter_mut().zip(record.as_chunks::<4>().0) {
            *word = u32::from_ne_bytes(*bytes);
        }
        words
    })
}

/// Returns the record number `index`, from 0, of `N` words.
pub(super) fn record<const N: usize>(bytes: &[u8], index: u32) -> Option<[u32; N]> {
    let start = (index as usize).checked_mul(4 * N)?;
    records(bytes.get(start..start.checked_add(4 * N)?)?).next()
}
