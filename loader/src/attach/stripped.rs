//! Finds the symbols of a stripped file where its distributor has put them:
//!
//! | the file has | the symbols are |
//! | --- | --- |
//! | `.gnu_debugdata` | in that section, compressed by xz (feature `debugdata`): the symbol table that was stripped |
//! | `.note.gnu.build-id` | in `/usr/lib/debug/.build-id/XX/YYYY.debug` |
//! | `.gnu_debuglink` | in a file of that name: beside the file, in `.debug` there, or below `/usr/lib/debug` |
//!
//! Directories are those of the file's own root, if its path contains that (`/proc/PID/root/…`). A debug file is
//! accepted if its build id is the same; without a build id, if its CRC equals the one in the link.

use std::{
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
};

use cutaway_sys::file;

use super::{
    image::Image,
    root,
    tables::{Data, Tables},
};

/// The symbols of a stripped file that were found outside of its symbol tables.
pub(super) struct Elsewhere<'b> {
    /// The tables that were found, each with its location.
    pub(super) found: Vec<(String, Tables<'b>)>,
    /// The file's references to debug files and the failures to read them, for an error.
    notes: Vec<String>,
}

impl<'b> Elsewhere<'b> {
    pub(super) fn search(image: &Image<'_>) -> Self {
        let mut all = Self { found: Vec::new(), notes: Vec::new() };
        if let Some(compressed) = image.tables.section(".gnu_debugdata") {
            match debug_data(compressed) {
                Ok(tables) => all.found.push(("its .gnu_debugdata".to_owned(), tables)),
                Err(why) => all.notes.push(format!("its .gnu_debugdata {why}")),
            }
        }
        let (root, path) = root_and_path(&image.binary.path);
        let id = image.tables.build_id();
        let mut tried = Vec::new();
        if let Some(id) = id {
            let digits: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
            let (first, rest) = digits.split_at_checked(2).unwrap_or((&digits, ""));
            tried.push((root.join(format!("usr/lib/debug/.build-id/{first}/{rest}.debug")), None));
            all.notes.push(format!("its build id is {digits}"));
        }
        if let Some((name, crc)) = link(image) {
            all.notes.push(format!("its .gnu_debuglink names `{name}`"));
            let directories = path.parent().map(|directory| {
                vec![
                    directory.to_owned(),
                    directory.join(".debug"),
                    Path::new("/usr/lib/debug").join(directory.strip_prefix("/").unwrap_or(directory)),
                ]
            });
            let reached = directories.unwrap_or_default().into_iter();
            tried.extend(
                reached.filter_map(|directory| Some((root::resolve(&root, &directory.join(&name))?, Some(crc)))),
            );
        }
        let debug =
            tried.iter().find_map(|(path, crc)| Some((path.display().to_string(), debug_file(path, id, *crc)?)));
        if debug.is_none() && !tried.is_empty() {
            let tried: Vec<_> = tried.iter().map(|(path, _)| path.display().to_string()).collect();
            all.notes.push(format!("there is no debug file of it among {}", tried.join(", ")));
        }
        all.found.extend(debug);
        all
    }

    /// Returns why a name cannot be found in a file without a full symbol table.
    pub(super) fn explain(&self) -> String {
        let mut notes = self.notes.clone();
        notes.extend(self.found.iter().map(|(location, _)| format!("{location} has no such function either")));
        let notes = if notes.is_empty() { String::new() } else { format!(": {}", notes.join("; ")) };
        format!(
            "the file has no such function among those that it exports (`nm -D` lists them), and is stripped (no \
                 .symtab){notes}; give the function's address instead"
        )
    }
}

/// Returns the root directory of the process that sees the file, and the path below it.
fn root_and_path(path: &Path) -> (PathBuf, PathBuf) {
    let mut parts = path.strip_prefix("/proc").unwrap_or(Path::new("")).components();
    let mut next = || parts.next().map(|part| part.as_os_str());
    let (pid, kind) = (next(), next());
    match (pid, kind.and_then(|kind| kind.to_str())) {
        (Some(pid), Some("root")) => (Path::new("/proc").join(pid).join("root"), Path::new("/").join(parts.as_path())),
        // The targets of these links are paths from the caller's root, and lead nowhere if the file was deleted.
        (Some(pid), Some("map_files" | "exe" | "fd")) => {
            (Path::new("/proc").join(pid).join("root"), fs::read_link(path).unwrap_or_default())
        }
        // A library's name may be a link into another directory.
        _ => (PathBuf::from("/"), fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())),
    }
}

/// Reads `.gnu_debuglink`: a file name, padded to four bytes, and the CRC of that file's contents.
fn link(image: &Image<'_>) -> Option<(String, u32)> {
    let bytes = image.tables.section(".gnu_debuglink")?;
    let end = bytes.iter().position(|&byte| byte == 0)?;
    let name = str::from_utf8(bytes.get(..end)?).ok()?;
    let crc = bytes.get((end + 1).next_multiple_of(4)..)?.first_chunk()?;
    // No distributor writes a name that leads to another directory.
    (!name.is_empty() && !name.contains('/')).then(|| (name.to_owned(), image.tables.word(*crc)))
}

/// Maximum size in bytes of a debug file that is checked by its CRC: larger than any distributor's.
const MOST: u64 = 8 << 30;

/// Returns the file at `path`, if it has this build id or this CRC.
fn debug_file<'b>(path: &Path, id: Option<&[u8]>, crc: Option<u32>) -> Option<Tables<'b>> {
    // Opening a device may have side effects.
    if !fs::metadata(path).is_ok_and(|file| file.is_file()) {
        return None;
    }
    let why = "reads the symbols that were stripped from a program or library";
    let file = file::open_without_waiting(path, why).ok()?;
    // Between `stat` and `open` the path may have become a pipe.
    if !file.metadata().is_ok_and(|file| file.is_file()) {
        return None;
    }
    let copy = file.try_clone().ok()?;
    let tables = Tables::read(Data::new(Box::new(copy)))?;
    let belongs = match (id, tables.build_id(), crc) {
        (Some(own), Some(its), _) => own == its,
        // A sparse file of any size may occupy no disk space.
        (_, _, Some(crc)) => file.metadata().is_ok_and(|file| file.len() <= MOST) && crc_of(file) == Some(crc),
        _ => false,
    };
    belongs.then_some(tables)
}

/// Returns the CRC of a whole file: that of zlib, with the polynomial 0xedb88320.
fn crc_of(file: File) -> Option<u32> {
    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut byte = 0;
        while byte < 256 {
            let mut value = byte as u32;
            let mut bit = 0;
            while bit < 8 {
                value = if value & 1 == 1 { 0xedb8_8320 ^ value >> 1 } else { value >> 1 };
                bit += 1;
            }
            #[expect(clippy::indexing_slicing, reason = "evaluated by the compiler, which checks it")]
            {
                table[byte] = value;
            }
            byte += 1;
        }
        table
    };
    let mut file = file;
    // The reader of the tables shares the file's offset.
    std::io::Seek::rewind(&mut file).ok()?;
    let mut buffer = vec![0; 1 << 16];
    let mut crc = u32::MAX;
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Some(!crc),
            Ok(count) => {
                for &byte in buffer.get(..count)? {
                    crc = TABLE.get(((crc ^ u32::from(byte)) & 0xff) as usize)? ^ crc >> 8;
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
}

/// Returns the ELF file in `.gnu_debugdata`.
#[cfg(feature = "debugdata")]
fn debug_data<'b>(compressed: &[u8]) -> Result<Tables<'b>, String> {
    /// Size limit in bytes of the symbols in a file; distributors leave some MiB at most.
    const MOST: u64 = 1 << 30;
    /// Memory limit of the decoder in KiB: twice the need of `xz -9`.
    const MEMORY: u32 = 128 << 10;
    // Symbol tables shrink to about a quarter. A file of zeros must not exhaust the memory.
    let most = (compressed.len() as u64).saturating_mul(64).saturating_add(1 << 20).min(MOST);
    let reader = lzma_rust2::XzReader::new_mem_limit(compressed, true, MEMORY);
    let mut bytes = Vec::new();
    reader.take(most).read_to_end(&mut bytes).map_err(|error| format!("cannot be decompressed: {error}"))?;
    if bytes.len() as u64 == most {
        return Err("cannot be decompressed: it grows to more than 64 times its size, or 1 GiB".to_owned());
    }
    Tables::read(Data::new(Box::new(std::io::Cursor::new(bytes)))).ok_or_else(|| "holds no ELF file".to_owned())
}

#[cfg(not(feature = "debugdata"))]
fn debug_data<'b>(_: &[u8]) -> Result<Tables<'b>, String> {
    Err("has its symbols, and is not read: this program was built without the feature `debugdata` of the crate cutaway"
        .to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attach::{
        crafted::{CODE, Crafted, FUNC, GLOBAL, LOCAL, NOTE, SHIFT, note},
        image::tests::TempFile,
        symbol,
    };

    const EXPORTED: (&str, u8, u8, u64, u64) = ("exported", GLOBAL, FUNC, CODE, 2);

    fn stripped(section: &'static str, kind: u32, bytes: Vec<u8>) -> Crafted<'static> {
        Crafted { dynamic: vec![EXPORTED], sections: vec![(section, kind, bytes)], ..Crafted::default() }
    }

    fn whole() -> Crafted<'static> {
        Crafted { symbols: vec![EXPORTED, ("hidden", LOCAL, FUNC, CODE + 0x20, 2)], ..Crafted::default() }
    }

    fn find(kept: &TempFile, name: &str) -> Result<u64, String> {
        symbol::find(&kept.binary().image()?, name).map(|function| function.file_offset + SHIFT)
    }

    /// `.gnu_debuglink`
    fn link_to(name: &str, crc: u32) -> Vec<u8> {
        let mut link: Vec<u8> = name.bytes().chain([0]).collect();
        link.resize(link.len().next_multiple_of(4), 0);
        link.extend(crc.to_ne_bytes());
        link
    }

    #[test]
    fn the_crc_is_that_of_zlib() {
        let kept = TempFile::new(&Crafted::default());
        fs::write(&kept.0, "123456789").unwrap();
        assert_eq!(crc_of(File::open(&kept.0).unwrap()), Some(0xcbf4_3926));
    }

    #[test]
    fn error_says_that_a_file_is_stripped() {
        let bare = TempFile::new(&Crafted { dynamic: vec![EXPORTED], ..Crafted::default() });
        assert_eq!(find(&bare, "exported"), Ok(CODE));
        let line = find(&bare, "hidden").unwrap_err();
        assert!(line.contains("and is stripped (no .symtab);"), "{line}");
        let id = stripped(".note.gnu.build-id", NOTE, note("GNU", 3, &[0xab, 0xcd, 0xef]));
        let line = find(&TempFile::new(&id), "hidden").unwrap_err();
        assert!(
            line.contains("build id is abcdef") && line.contains("/usr/lib/debug/.build-id/ab/cdef.debug"),
            "{line}"
        );
        let line =
            find(&TempFile::new(&stripped(".gnu_debuglink", 1, link_to("no-such.debug", 1))), "hidden").unwrap_err();
        assert!(line.contains(".gnu_debuglink names `no-such.debug`"), "{line}");
        // Not stripped: the file lacks the name.
        let line = find(&TempFile::new(&whole()), "absent").unwrap_err();
        assert!(!line.contains("stripped"), "{line}");
    }

    #[test]
    fn debug_file_with_the_right_crc_is_read() {
        let debug = TempFile::new(&Crafted { debug_only: true, ..whole() });
        let name = debug.0.file_name().unwrap().to_str().unwrap();
        let crc = crc_of(File::open(&debug.0).unwrap()).unwrap();
        let right = TempFile::new(&stripped(".gnu_debuglink", 1, link_to(name, crc)));
        assert_eq!(find(&right, "hidden"), Ok(CODE + 0x20));
        let line = find(&right, "absent").unwrap_err();
        assert!(line.contains("has no such function either"), "{line}");
        let wrong = TempFile::new(&stripped(".gnu_debuglink", 1, link_to(name, !crc)));
        let line = find(&wrong, "hidden").unwrap_err();
        assert!(line.contains("no debug file of it among"), "{line}");
    }

    #[test]
    fn oversized_debug_file_is_not_read() {
        let debug = TempFile::new(&Crafted { debug_only: true, ..whole() });
        File::options().write(true).open(&debug.0).unwrap().set_len(1 << 42).unwrap();
        let name = debug.0.file_name().unwrap().to_str().unwrap();
        let line = find(&TempFile::new(&stripped(".gnu_debuglink", 1, link_to(name, 0))), "hidden").unwrap_err();
        assert!(line.contains("no debug file of it among"), "{line}");
    }

    #[test]
    fn debug_file_of_another_build_is_not_read() {
        let with_id = |crafted: Crafted<'static>, id: u8| {
            let mut crafted = crafted;
            crafted.sections.push((".note.gnu.build-id", NOTE, note("GNU", 3, &[id; 8])));
            crafted
        };
        let debug = TempFile::new(&with_id(whole(), 1));
        let name = debug.0.file_name().unwrap().to_str().unwrap();
        let crc = crc_of(File::open(&debug.0).unwrap()).unwrap();
        // The build id takes precedence over the CRC.
        for (id, crc, found) in [(1, !crc, true), (2, crc, false)] {
            let file = TempFile::new(&with_id(stripped(".gnu_debuglink", 1, link_to(name, crc)), id));
            assert_eq!(find(&file, "hidden").is_ok(), found, "{id}");
        }
    }

    #[test]
    fn directories_are_those_of_the_files_own_root() {
        let own = |path: &str| root_and_path(Path::new(path));
        assert_eq!(own("/proc/7/root/usr/lib/x"), (PathBuf::from("/proc/7/root"), PathBuf::from("/usr/lib/x")));
        let (root, path) = own("/proc/self/exe");
        assert_eq!((root, path), (PathBuf::from("/proc/self/root"), std::env::current_exe().unwrap()));
        assert_eq!(own("/no/such/x"), (PathBuf::from("/"), PathBuf::from("/no/such/x")));
    }

    #[cfg(not(feature = "debugdata"))]
    #[test]
    fn unreadable_compressed_symbols_are_reported() {
        let line = find(&TempFile::new(&stripped(".gnu_debugdata", 1, vec![1])), "hidden").unwrap_err();
        assert!(line.contains(".gnu_debugdata") && line.contains("feature `debugdata`"), "{line}");
    }

    #[cfg(feature = "debugdata")]
    #[test]
    fn compressed_symbols_are_read() {
        // LZMA2 can hold uncompressed chunks: an xz file without a compressor.
        let file = TempFile::new(&stripped(".gnu_debugdata", 1, xz(&whole().write())));
        assert_eq!(find(&file, "hidden"), Ok(CODE + 0x20));
        let mut broken = xz(&whole().write());
        broken.truncate(100);
        for bytes in [broken, vec![1, 2, 3]] {
            let line = find(&TempFile::new(&stripped(".gnu_debugdata", 1, bytes)), "hidden").unwrap_err();
            assert!(line.contains("cannot be decompressed"), "{line}");
        }
        let line = find(&TempFile::new(&stripped(".gnu_debugdata", 1, xz(b"no ELF"))), "hidden").unwrap_err();
        assert!(line.contains("holds no ELF file"), "{line}");
    }

    /// Returns an xz file of one block in stored chunks, with CRC32 checks (The .xz File Format 1.2.1).
    #[cfg(feature = "debugdata")]
    fn xz(bytes: &[u8]) -> Vec<u8> {
        let crc = |bytes: &[u8]| {
            let kept = TempFile::new(&Crafted::default());
            fs::write(&kept.0, bytes).unwrap();
            crc_of(File::open(&kept.0).unwrap()).unwrap().to_le_bytes()
        };
        let number = |mut value: usize| {
            let mut digits = Vec::new();
            while value >= 0x80 {
                digits.push(value as u8 | 0x80);
                value >>= 7;
            }
            digits.push(value as u8);
            digits
        };
        let with_crc = |bytes: Vec<u8>| [bytes.as_slice(), &crc(&bytes)].concat();
        let flags = [0, 1];
        let mut file = [&[0xfd, b'7', b'z', b'X', b'Z', 0][..], &flags, &crc(&flags)].concat();
        // Twelve bytes of header: one filter, LZMA2, with a dictionary of 64 KiB.
        let mut block = with_crc(vec![2, 0, 0x21, 1, 8, 0, 0, 0]);
        for (index, chunk) in bytes.chunks(1 << 16).enumerate() {
            block.push(if index == 0 { 1 } else { 2 });
            block.extend((chunk.len() as u16 - 1).to_be_bytes());
            block.extend(chunk);
        }
        block.push(0);
        let unpadded = block.len() + 4;
        block.resize(block.len().next_multiple_of(4), 0);
        block.extend(crc(bytes));
        file.extend(block);
        let mut index = [vec![0, 1], number(unpadded), number(bytes.len())].concat();
        index.resize(index.len().next_multiple_of(4), 0);
        let index = with_crc(index);
        let footer = [&((index.len() as u32 / 4) - 1).to_le_bytes()[..], &flags].concat();
        file.extend(index);
        file.extend(crc(&footer));
        file.extend(footer);
        file.extend(b"YZ");
        file
    }
}
