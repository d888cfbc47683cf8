//! Reads `/etc/ld.so.cache`, the list of libraries that `ldconfig` writes (`ld.so(8)`).

/// Returns the entries of a loader cache: names with paths. The format is `glibc-ld.so.cache1.1` (glibc 2.2, the only
/// one in the file since 2.32). After 48 bytes of header, with the count at 20, come 24 bytes an entry: flags, name,
/// path (both offsets into the file), OS version, hardware capabilities. Entries that need special hardware are
/// skipped.
pub(super) fn entries(cache: &[u8]) -> impl Iterator<Item = (&str, &str)> {
    const MAGIC: &[u8] = b"glibc-ld.so.cache1.1";
    const HEADER: usize = 48;
    const ENTRY: usize = 24;
    // Older systems write the predecessor's format in front of it.
    let start = cache.windows(MAGIC.len()).position(|window| window == MAGIC).unwrap_or(cache.len());
    let cache = cache.get(start..).unwrap_or_default();
    let count = word(cache, 20).unwrap_or(0) as usize;
    let table = cache.get(HEADER..).unwrap_or_default();
    table.chunks_exact(ENTRY).take(count).filter_map(move |entry| {
        let special = word(entry, 16)? != 0 || word(entry, 20)? != 0;
        (!special).then_some(())?;
        Some((text(cache, word(entry, 4)?)?, text(cache, word(entry, 8)?)?))
    })
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes)
}

fn text(bytes: &[u8], at: u32) -> Option<&str> {
    let text = bytes.get(at as usize..)?;
    let end = text.iter().position(|&byte| byte == 0)?;
    std::str::from_utf8(text.get(..end)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a cache as `ldconfig` writes it, with these names, paths and hardware capabilities.
    fn cache(libraries: &[(&str, &str, u64)]) -> Vec<u8> {
        let mut strings = Vec::new();
        let mut table = Vec::new();
        let base = 48 + 24 * libraries.len();
        let mut add = |text: &str| {
            let at = (base + strings.len()) as u32;
            strings.extend_from_slice(text.as_bytes());
            strings.push(0);
            at
        };
        for (name, path, capabilities) in libraries {
            table.extend_from_slice(&3_u32.to_ne_bytes());
            table.extend_from_slice(&add(name).to_ne_bytes());
            table.extend_from_slice(&add(path).to_ne_bytes());
            table.extend_from_slice(&0_u32.to_ne_bytes());
            table.extend_from_slice(&capabilities.to_ne_bytes());
        }
        let mut cache = b"glibc-ld.so.cache1.1".to_vec();
        cache.extend_from_slice(&(libraries.len() as u32).to_ne_bytes());
        cache.resize(48, 0);
        cache.extend_from_slice(&table);
        cache.extend_from_slice(&strings);
        cache
    }

    #[test]
    fn a_cache_is_read_without_special_entries() {
        let bytes = cache(&[("libz.so.1", "/special/libz.so.1", 1 << 62), ("libz.so.1", "/lib/libz.so.1", 0)]);
        assert_eq!(entries(&bytes).collect::<Vec<_>>(), [("libz.so.1", "/lib/libz.so.1")]);
    }

    #[test]
    fn older_cache_in_front_is_skipped() {
        let mut bytes = b"ld.so-1.7.0\0\0\0\0\0".to_vec();
        bytes.extend(cache(&[("a.so", "/a.so", 0)]));
        assert_eq!(entries(&bytes).collect::<Vec<_>>(), [("a.so", "/a.so")]);
    }

    #[test]
    fn broken_cache_ends_early() {
        let whole = cache(&[("a.so", "/a.so", 0), ("b.so", "/b.so", 0)]);
        for length in 0..whole.len() {
            assert!(entries(&whole[..length]).count() <= 2);
        }
    }
}
