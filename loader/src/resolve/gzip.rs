//! Decompresses gzip files (RFC 1952) piece by piece: `/proc/config.gz`.
//!
//! The crate `miniz_oxide` decompresses the contents (DEFLATE, RFC 1951); header, length and checksum are read here. A
//! caller that has found everything stops early; then length and checksum are not checked.

use std::ops::ControlFlow;

use miniz_oxide::inflate::{
    TINFLStatus,
    core::{
        DecompressorOxide, decompress,
        inflate_flags::{TINFL_FLAG_IGNORE_ADLER32, TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF},
    },
};

/// Bytes that are decompressed at a time.
const PIECE: usize = 16 << 10;

const CUT_OFF: &str = "it is cut off";

/// Decompresses a gzip file and passes each piece to `see`, until `see` breaks. Every piece but the last ends with a
/// line. Returns `Continue` if the whole file was read.
///
/// # Errors
///
/// The reason why the file is refused: it is no gzip file, truncated, damaged, or its contents exceed `most` bytes.
/// Pieces that were passed before are then not valid.
// The state is made on the stack, which a caller of one function with this one would touch for every object.
#[inline(never)]
pub(super) fn unpack(
    file: &[u8],
    most: usize,
    see: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
) -> Result<ControlFlow<()>, &'static str> {
    let mut packed = contents(file)?;
    let mut state = Box::<DecompressorOxide>::default();
    let mut text = Vec::new();
    // The end of the decompressed text, and the end of what was passed to `see`.
    let (mut end, mut shown) = (0, 0);
    loop {
        if end > most {
            return Err("it is too long");
        }
        text.resize(end + PIECE, 0);
        let flags = TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF | TINFL_FLAG_IGNORE_ADLER32;
        let (status, taken, given) = decompress(&mut state, packed, &mut text, end, flags);
        packed = packed.get(taken..).unwrap_or_default();
        end += given;
        let fresh = text.get(shown..end).unwrap_or_default();
        match status {
            TINFLStatus::HasMoreOutput => {
                let whole = fresh.iter().rposition(|&byte| byte == b'\n').map_or(0, |index| index + 1);
                if see(fresh.get(..whole).unwrap_or_default()).is_break() {
                    return Ok(ControlFlow::Break(()));
                }
                shown += whole;
            }
            TINFLStatus::Done => {
                let last = see(fresh);
                if end > most {
                    return Err("it is too long");
                }
                let [a, b, c, d, e, f, g, h, ..] = *packed else { return Err(CUT_OFF) };
                let text = text.get(..end).unwrap_or_default();
                if u32::from_le_bytes([e, f, g, h]) != text.len() as u32 {
                    return Err("its length is wrong");
                }
                if u32::from_le_bytes([a, b, c, d]) != crc(text) {
                    return Err("its checksum is wrong");
                }
                return Ok(last);
            }
            TINFLStatus::FailedCannotMakeProgress | TINFLStatus::NeedsMoreInput => return Err(CUT_OFF),
            _ => return Err("it is damaged"),
        }
    }
}

/// Returns the contents after the header.
fn contents(file: &[u8]) -> Result<&[u8], &'static str> {
    const HEADER_CRC: u8 = 1 << 1;
    const EXTRA: u8 = 1 << 2;
    const NAME: u8 = 1 << 3;
    const COMMENT: u8 = 1 << 4;
    let [0x1f, 0x8b, 8, flags, _, _, _, _, _, _, rest @ ..] = file else { return Err("it is no gzip file") };
    let mut rest = rest;
    if flags & EXTRA != 0 {
        let (length, behind) = rest.split_first_chunk().ok_or(CUT_OFF)?;
        rest = behind.get(usize::from(u16::from_le_bytes(*length))..).ok_or(CUT_OFF)?;
    }
    for flag in [NAME, COMMENT] {
        if flags & flag != 0 {
            let end = rest.iter().position(|&byte| byte == 0).ok_or(CUT_OFF)?;
            rest = rest.get(end + 1..).ok_or(CUT_OFF)?;
        }
    }
    if flags & HEADER_CRC != 0 {
        rest = rest.get(2..).ok_or(CUT_OFF)?;
    }
    Ok(rest)
}

/// The CRC remainders of each byte, followed by 0 to 3 bytes, so that four bytes are processed in one step.
static REMAINDERS: [[u32; 256]; 4] = {
    let mut tables = [[0; 256]; 4];
    let mut index = 0;
    #[expect(clippy::indexing_slicing, reason = "the indices are below 256 and 4, and the compiler checks them")]
    while index < 256 {
        let mut remainder = index as u32;
        let mut bit = 0;
        while bit < 8 {
            remainder = remainder >> 1 ^ if remainder & 1 == 1 { 0xedb8_8320 } else { 0 };
            bit += 1;
        }
        tables[0][index] = remainder;
        index += 1;
    }
    let mut table = 1;
    #[expect(clippy::indexing_slicing, reason = "the indices are below 256 and 4, and the compiler checks them")]
    while table < 4 {
        let mut index = 0;
        while index < 256 {
            let before = tables[table - 1][index];
            tables[table][index] = before >> 8 ^ tables[0][(before & 0xff) as usize];
            index += 1;
        }
        table += 1;
    }
    tables
};

/// Returns gzip's checksum: CRC-32, lowest bit first.
fn crc(bytes: &[u8]) -> u32 {
    let [zero, one, two, three] = &REMAINDERS;
    let of = |table: &[u32; 256], byte: u8| table.get(usize::from(byte)).copied().unwrap_or(0);
    let (fours, rest) = bytes.as_chunks::<4>();
    let sum = fours.iter().fold(u32::MAX, |sum, four| {
        let [a, b, c, d] = (sum ^ u32::from_le_bytes(*four)).to_le_bytes();
        of(three, a) ^ of(two, b) ^ of(one, c) ^ of(zero, d)
    });
    !rest.iter().fold(sum, |sum, &byte| sum >> 8 ^ of(zero, sum as u8 ^ byte))
}

#[cfg(test)]
mod tests {
    use std::{
        io::Write,
        process::{Command, Stdio},
    };

    use super::*;

    /// Compresses with the tool `gzip`.
    fn gzip(bytes: &[u8], options: &[&str]) -> Vec<u8> {
        let mut gzip =
            Command::new("gzip").args(options).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("gzip");
        let mut stdin = gzip.stdin.take().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(move || stdin.write_all(bytes).unwrap());
            gzip.wait_with_output().unwrap().stdout
        })
    }

    /// Decompresses the whole file.
    fn gunzip(file: &[u8], most: usize) -> Result<Vec<u8>, &'static str> {
        let mut text = Vec::new();
        let ended = unpack(file, most, &mut |piece| {
            text.extend_from_slice(piece);
            ControlFlow::Continue(())
        })?;
        assert!(ended.is_continue());
        Ok(text)
    }

    /// Builds text in the form of a kernel's configuration.
    fn config() -> Vec<u8> {
        (0..4000_u32)
            .flat_map(|number| {
                match number % 3 {
                    0 => format!("CONFIG_OPTION_{:x}=y\n", number.wrapping_mul(0x9e37_79b9)),
                    1 => format!("# CONFIG_DRIVER_{number} is not set\n"),
                    _ => format!("CONFIG_TEXT_{number}=\"{}\"\n", "-".repeat(number as usize % 300)),
                }
                .into_bytes()
            })
            .collect()
    }

    #[test]
    fn output_of_gzip_is_decompressed() {
        let noise: Vec<u8> = (0..100_000_u32).map(|n| (n.wrapping_mul(0x9e37_79b9) >> 13) as u8).collect();
        for text in [&b""[..], b"a", b"CONFIG_A=y\n", &config(), &noise, &[7; 70_000], &[7; PIECE], &[7; 2 * PIECE]] {
            for options in [&["-1"][..], &["-6"], &["-9", "-n"]] {
                let packed = gzip(text, options);
                assert_eq!(gunzip(&packed, 1 << 20).as_deref(), Ok(text), "{} bytes, {options:?}", text.len());
            }
        }
    }

    #[test]
    fn broken_files_are_refused() {
        let text = config();
        let packed = gzip(&text, &["-9"]);
        assert_eq!(gunzip(&packed, text.len()).as_deref(), Ok(&*text));
        assert_eq!(gunzip(&packed, text.len() - 1), Err("it is too long"));
        for length in (0..packed.len()).step_by(97).chain([packed.len() - 1, packed.len() - 8]) {
            assert!(gunzip(&packed[..length], 1 << 20).is_err(), "{length} bytes of it");
        }
        for offset in (10..packed.len()).step_by(31).chain(packed.len() - 8..packed.len()) {
            let mut broken = packed.clone();
            broken[offset] ^= 1 << (offset % 8);
            assert!(gunzip(&broken, 1 << 20).is_err(), "byte {offset}");
        }
    }

    #[test]
    fn pieces_end_with_lines_and_reading_can_stop_early() {
        let (text, mut pieces) = (config(), 0);
        let ended = unpack(&gzip(&text, &["-6"]), 1 << 20, &mut |piece| {
            assert!(piece.ends_with(b"\n") && text.starts_with(piece), "the first piece");
            pieces += 1;
            ControlFlow::Break(())
        });
        assert_eq!((ended, pieces), (Ok(ControlFlow::Break(())), 1));
        assert!(text.len() > 4 * PIECE);
    }

    #[test]
    fn checksum_is_that_of_gzip() {
        assert_eq!(crc(b"123456789"), 0xcbf4_3926);
        assert_eq!((crc(b""), crc(b"a")), (0, 0xe8b7_be43));
    }
}
