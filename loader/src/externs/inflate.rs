//! Enough of gzip (RFC 1952) and DEFLATE (RFC 1951) to read `/proc/config.gz`, and nothing that writes it.
//!
//! ```text
//!     block ── 3 bits: is it the last, and how is it packed
//!       │
//!       ├─ 0  bytes as they are
//!       ├─ 1  symbols by codes that everybody knows        a symbol is a byte, the end of the block, or
//!       └─ 2  symbols by codes that stand in front         "so many bytes once more, from so far back"
//! ```
//!
//! A code is a run of bits, the more frequent its symbol the shorter. Codes of one length are numbers that follow each other,
//! and the first of a length follows from how many there are of the shorter ones; so the lengths alone say it all.

/// Unpacks a gzip file, if what is in it takes at most `most` bytes.
pub(super) fn gunzip(file: &[u8], most: usize) -> Result<Vec<u8>, &'static str> {
    const HEADER_CRC: u8 = 1 << 1;
    const EXTRA: u8 = 1 << 2;
    const NAME: u8 = 1 << 3;
    const COMMENT: u8 = 1 << 4;
    let cut_off = "it is cut off";
    let [0x1f, 0x8b, 8, flags, _, _, _, _, _, _, rest @ ..] = file else { return Err("it is no gzip file") };
    let mut rest = rest;
    if flags & EXTRA != 0 {
        let (length, behind) = rest.split_first_chunk().ok_or(cut_off)?;
        rest = behind.get(usize::from(u16::from_le_bytes(*length))..).ok_or(cut_off)?;
    }
    for flag in [NAME, COMMENT] {
        if flags & flag != 0 {
            let end = rest.iter().position(|&byte| byte == 0).ok_or(cut_off)?;
            rest = rest.get(end + 1..).ok_or(cut_off)?;
        }
    }
    if flags & HEADER_CRC != 0 {
        rest = rest.get(2..).ok_or(cut_off)?;
    }
    let mut bits = Bits { bytes: rest, buffer: 0, count: 0 };
    let unpacked = inflate(&mut bits, most)?;
    let [a, b, c, d, ..] = bits.bytes else { return Err(cut_off) };
    if crc(&unpacked) != u32::from_le_bytes([*a, *b, *c, *d]) {
        return Err("its checksum is wrong");
    }
    Ok(unpacked)
}

/// The file as a run of bits, lowest first.
struct Bits<'f> {
    bytes: &'f [u8],
    buffer: u32,
    count: u32,
}

impl Bits<'_> {
    /// The next `count` bits, at most 16, as a number.
    fn take(&mut self, count: u32) -> Result<u32, &'static str> {
        while self.count < count {
            let (&byte, rest) = self.bytes.split_first().ok_or("it is cut off")?;
            self.buffer |= u32::from(byte) << self.count;
            self.count += 8;
            self.bytes = rest;
        }
        let number = self.buffer & ((1 << count) - 1);
        self.buffer >>= count;
        self.count -= count;
        Ok(number)
    }

    /// Passes over what is left of a byte.
    fn align(&mut self) {
        self.buffer = 0;
        self.count = 0;
    }
}

/// The longest code.
const LONGEST: usize = 15;

/// The codes of an alphabet.
struct Codes {
    /// How many there are of each length.
    counts: [u16; LONGEST + 1],
    /// The symbols, by length and number of their codes.
    symbols: Vec<u16>,
}

impl Codes {
    /// The codes of these lengths, by symbol; 0 stands for a symbol that does not occur.
    fn new(lengths: &[u8]) -> Result<Self, &'static str> {
        let mut counts = [0_u16; LONGEST + 1];
        for &length in lengths {
            *counts.get_mut(usize::from(length)).ok_or("it has a code that is too long")? += 1;
        }
        counts[0] = 0;
        // Each bit more doubles the codes that are left.
        let mut left = 1_i32;
        for count in counts.iter().skip(1) {
            left = left * 2 - i32::from(*count);
            if left < 0 {
                return Err("it has more codes than there can be");
            }
        }
        let mut symbols: Vec<u16> = (0..lengths.len() as u16)
            .filter(|&symbol| lengths.get(usize::from(symbol)).is_some_and(|&l| l != 0))
            .collect();
        symbols.sort_unstable_by_key(|&symbol| (lengths.get(usize::from(symbol)).copied(), symbol));
        Ok(Self { counts, symbols })
    }

    /// The symbol whose code comes next.
    fn next(&self, bits: &mut Bits<'_>) -> Result<u16, &'static str> {
        // `first` is the first code of a length, `before` how many codes are shorter.
        let (mut code, mut first, mut before) = (0_u32, 0_u32, 0_u32);
        for &count in self.counts.iter().skip(1) {
            code |= bits.take(1)?;
            let count = u32::from(count);
            if code < first + count {
                let place = before + (code - first);
                return self.symbols.get(place as usize).copied().ok_or("it has a code without a symbol");
            }
            before += count;
            first = (first + count) << 1;
            code <<= 1;
        }
        Err("it has a code without a symbol")
    }
}

fn inflate(bits: &mut Bits<'_>, most: usize) -> Result<Vec<u8>, &'static str> {
    let mut out = Vec::new();
    loop {
        let last = bits.take(1)? == 1;
        match bits.take(2)? {
            0 => {
                bits.align();
                let (length, rest) = bits.bytes.split_first_chunk().ok_or("it is cut off")?;
                let (inverse, rest) = rest.split_first_chunk().ok_or("it is cut off")?;
                if u16::from_le_bytes(*length) != !u16::from_le_bytes(*inverse) {
                    return Err("the length of a block contradicts itself");
                }
                let (bytes, rest) =
                    rest.split_at_checked(usize::from(u16::from_le_bytes(*length))).ok_or("it is cut off")?;
                out.extend_from_slice(bytes);
                bits.bytes = rest;
            }
            1 => {
                let mut lengths = [8_u8; 288];
                for (symbol, length) in lengths.iter_mut().enumerate() {
                    *length = match symbol {
                        144..256 => 9,
                        256..280 => 7,
                        _ => 8,
                    };
                }
                block(bits, &Codes::new(&lengths)?, &Codes::new(&[5; 30])?, &mut out, most)?;
            }
            2 => {
                let (literals, distances) = codes_in_front(bits)?;
                block(bits, &literals, &distances, &mut out, most)?;
            }
            _ => return Err("a block is packed in an unknown way"),
        }
        if out.len() > most {
            return Err("it is too long");
        }
        if last {
            return Ok(out);
        }
    }
}

/// Reads the codes of a block: their lengths are packed by codes as well, whose lengths stand before them.
fn codes_in_front(bits: &mut Bits<'_>) -> Result<(Codes, Codes), &'static str> {
    /// In the order of how likely they are to be needed.
    const ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
    let (literals, distances, codes) =
        (bits.take(5)? as usize + 257, bits.take(5)? as usize + 1, bits.take(4)? as usize + 4);
    let mut lengths = [0_u8; 19];
    for &symbol in ORDER.iter().take(codes) {
        let length = bits.take(3)? as u8;
        if let Some(place) = lengths.get_mut(symbol) {
            *place = length;
        }
    }
    let packed = Codes::new(&lengths)?;
    let mut lengths = Vec::with_capacity(literals + distances);
    while lengths.len() < literals + distances {
        let (length, times) = match packed.next(bits)? {
            16 => (lengths.last().copied().ok_or("it repeats a length before the first")?, bits.take(2)? + 3),
            17 => (0, bits.take(3)? + 3),
            18 => (0, bits.take(7)? + 11),
            length => (length as u8, 1),
        };
        lengths.extend(std::iter::repeat_n(length, times as usize));
    }
    match lengths.split_at_checked(literals) {
        Some((first, second)) if second.len() == distances => Ok((Codes::new(first)?, Codes::new(second)?)),
        _ => Err("it has more lengths than it says"),
    }
}

/// Unpacks the symbols of one block.
fn block(
    bits: &mut Bits<'_>,
    literals: &Codes,
    distances: &Codes,
    out: &mut Vec<u8>,
    most: usize,
) -> Result<(), &'static str> {
    const END: u16 = 256;
    while out.len() <= most {
        let symbol = literals.next(bits)?;
        if let Ok(byte) = u8::try_from(symbol) {
            out.push(byte);
            continue;
        }
        if symbol == END {
            return Ok(());
        }
        let length = match symbol - END - 1 {
            // Of the longest there is one only; the pattern of the others would end at 257.
            28 => 258,
            symbol @ 0..28 => ranged(bits, u32::from(symbol), 4)? + 3,
            _ => return Err("it has a length that there is not"),
        };
        let distance = match u32::from(distances.next(bits)?) {
            symbol @ 0..30 => ranged(bits, symbol, 2)? + 1,
            _ => return Err("it has a distance that there is not"),
        };
        let start = out.len().checked_sub(distance).ok_or("it repeats what is before its start")?;
        // The bytes to be repeated can be some that are only now being written.
        for place in start..start + length {
            let byte = out.get(place).copied().ok_or("it repeats what is not there")?;
            out.push(byte);
        }
    }
    Err("it is too long")
}

/// Lengths and distances grow alike: a few symbols stand for one number each, and of those behind them each `step` take one
/// bit more, which follow the symbol.
fn ranged(bits: &mut Bits<'_>, symbol: u32, step: u32) -> Result<usize, &'static str> {
    if symbol < 2 * step {
        return Ok(symbol as usize);
    }
    let extra = symbol / step - 1;
    let base = (step + symbol % step) << extra;
    Ok((base + bits.take(extra)?) as usize)
}

/// The checksum of gzip: CRC-32, lowest bit first.
fn crc(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 16] = {
        let mut table = [0; 16];
        let mut index = 0;
        #[expect(clippy::indexing_slicing, reason = "the index is below 16, and the compiler checks it")]
        while index < 16 {
            let mut remainder = index as u32;
            let mut bit = 0;
            while bit < 4 {
                remainder = remainder >> 1 ^ if remainder & 1 == 1 { 0xedb8_8320 } else { 0 };
                bit += 1;
            }
            table[index] = remainder;
            index += 1;
        }
        table
    };
    let nibble = |sum: u32| sum >> 4 ^ TABLE.get((sum & 0xf) as usize).copied().unwrap_or(0);
    !bytes.iter().fold(u32::MAX, |sum, &byte| nibble(nibble(sum ^ u32::from(byte))))
}

#[cfg(test)]
mod tests {
    use std::{
        io::Write,
        process::{Command, Stdio},
    };

    use super::*;

    /// Packs with the tool of that name.
    fn gzip(bytes: &[u8], options: &[&str]) -> Vec<u8> {
        let mut gzip =
            Command::new("gzip").args(options).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("gzip");
        let mut stdin = gzip.stdin.take().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(move || stdin.write_all(bytes).unwrap());
            gzip.wait_with_output().unwrap().stdout
        })
    }

    /// A configuration as kernels have it.
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
    fn what_gzip_packs_is_unpacked() {
        let noise: Vec<u8> = (0..100_000_u32).map(|n| (n.wrapping_mul(0x9e37_79b9) >> 13) as u8).collect();
        for text in [&b""[..], b"a", b"CONFIG_A=y\n", &config(), &noise, &[7; 70_000]] {
            for options in [&["-1"][..], &["-6"], &["-9", "-n"]] {
                let packed = gzip(text, options);
                assert_eq!(gunzip(&packed, 1 << 20).as_deref(), Ok(text), "{} bytes, {options:?}", text.len());
            }
        }
    }

    #[test]
    fn what_is_broken_is_refused() {
        let text = config();
        let packed = gzip(&text, &["-9"]);
        assert_eq!(gunzip(&packed, text.len()).as_deref(), Ok(&*text));
        assert_eq!(gunzip(&packed, text.len() - 1), Err("it is too long"));
        for length in (0..packed.len() - 4).step_by(97) {
            assert!(gunzip(&packed[..length], 1 << 20).is_err(), "{length} bytes of it");
        }
        for place in (10..packed.len() - 4).step_by(31) {
            let mut broken = packed.clone();
            broken[place] ^= 1 << (place % 8);
            assert!(gunzip(&broken, 1 << 20).is_err(), "byte {place}");
        }
    }
}
