//! Reads a module's file, and decompresses it: a guest's kernel may not be able to.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// The largest module in bytes: a larger one is a damaged or hostile file.
const LIMIT: u64 = 256 << 20;
/// Memory limit of the decoder of xz in KiB: Linux compresses with a dictionary of 2 MiB.
const XZ_MEMORY: u32 = 64 << 10;

/// Returns the content of a module's file, without its compression.
pub(super) fn read(path: &Path) -> Result<Vec<u8>> {
    let file = BufReader::new(File::open(path).map_err(Error::file("read", path))?);
    let unusable = |why: String| Error::Unusable { path: path.to_path_buf(), why };
    let content: Box<dyn Read> = match path.extension().and_then(|end| end.to_str()) {
        Some("ko") => Box::new(file),
        Some("xz") => Box::new(lzma_rust2::XzReader::new_mem_limit(file, true, XZ_MEMORY)),
        Some("zst") => {
            let decoder = ruzstd::decoding::StreamingDecoder::new(file);
            Box::new(decoder.map_err(|error| unusable(format!("not a file of zstd: {error}")))?)
        }
        other => {
            let other = other.unwrap_or_default();
            return Err(unusable(format!(
                "compressed as .{other}, which is not supported: decompress the modules in a copy of the directory"
            )));
        }
    };
    let mut bytes = Vec::new();
    content.take(LIMIT + 1).read_to_end(&mut bytes).map_err(Error::file("decompress", path))?;
    if bytes.len() as u64 > LIMIT {
        return Err(unusable(format!("larger than {} MiB", LIMIT >> 20)));
    }
    Ok(bytes)
}

/// Returns a path that ends in `.ko`.
pub(super) fn without_suffix(path: &Path) -> PathBuf {
    if path.extension().is_some_and(|end| end == "ko") { path.to_path_buf() } else { path.with_extension("") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// `printf 'module\n' | xz --check=crc32`, and the same by `zstd`.
    const XZ: &[u8] = &[
        0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00, 0x00, 0x01, 0x69, 0x22, 0xde, 0x36, 0x02, 0x00, 0x21, 0x01, 0x16, 0x00,
        0x00, 0x00, 0x74, 0x2f, 0xe5, 0xa3, 0x01, 0x00, 0x06, 0x6d, 0x6f, 0x64, 0x75, 0x6c, 0x65, 0x0a, 0x00, 0x00,
        0x4f, 0x8a, 0x6e, 0x07, 0x00, 0x01, 0x1b, 0x07, 0x12, 0xeb, 0xd4, 0x17, 0x90, 0x42, 0x99, 0x0d, 0x01, 0x00,
        0x00, 0x00, 0x00, 0x01, 0x59, 0x5a,
    ];
    const ZSTD: &[u8] = &[
        0x28, 0xb5, 0x2f, 0xfd, 0x04, 0x58, 0x39, 0x00, 0x00, 0x6d, 0x6f, 0x64, 0x75, 0x6c, 0x65, 0x0a, 0x26, 0xd1,
        0x51, 0x25,
    ];

    #[test]
    fn compressed_modules_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            fs::write(&path, bytes).unwrap();
            path
        };
        for (name, bytes) in [("a.ko", &b"module\n"[..]), ("a.ko.xz", XZ), ("a.ko.zst", ZSTD)] {
            assert_eq!(read(&write(name, bytes)).unwrap(), b"module\n", "{name}");
            assert_eq!(without_suffix(Path::new(name)), Path::new("a.ko"));
        }
        for (name, bytes) in [("b.ko.xz", &XZ[..XZ.len() - 8]), ("b.ko.zst", &ZSTD[..ZSTD.len() - 6])] {
            assert!(read(&write(name, bytes)).is_err(), "{name}: it is not complete");
        }
        assert!(read(&write("c.ko.zst", b"text")).unwrap_err().to_string().contains("not a file of zstd"));
        assert!(read(&write("c.ko.gz", b"text")).unwrap_err().to_string().contains("compressed as .gz"));
    }
}
