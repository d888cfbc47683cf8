//! File names of C libraries.

/// Returns whether the file name is that of a C library: `libc.so.6`, `libc-2.31.so`, `ld-musl-x86_64.so.1`,
/// `libc.musl-x86_64.so.1`.
pub(crate) fn looks_like_libc(path: &str) -> bool {
    let name = path.trim_end_matches(" (deleted)").rsplit('/').next().unwrap_or_default();
    ["libc.so", "libc-", "libc.musl", "ld-musl"].iter().any(|start| name.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c_libraries_are_recognized_by_name() {
        for path in ["/lib/libc.so.6", "libc-2.31.so", "/x/ld-musl-x86_64.so.1", "/libc.so (deleted)"] {
            assert!(looks_like_libc(path), "{path}");
        }
        for path in ["/lib/libcap.so.2", "/usr/bin/libc/cat", "", "/lib/libcrypto.so"] {
            assert!(!looks_like_libc(path), "{path}");
        }
    }
}
