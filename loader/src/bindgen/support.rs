//! The private functions of a generated module. Each module has those that it uses, so that it depends on nothing but
//! the public items of the crate.

/// A function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Helper {
    Get,
    Put,
    GetBits,
    PutBits,
}

/// Returns the functions, with the one that those for bits share.
pub(super) fn text(helpers: &std::collections::BTreeSet<Helper>) -> String {
    let mut text = String::new();
    for helper in helpers {
        text.push_str(match helper {
            Helper::Get => GET,
            Helper::Put => PUT,
            Helper::GetBits => GET_BITS,
            Helper::PutBits => PUT_BITS,
        });
    }
    if helpers.contains(&Helper::GetBits) || helpers.contains(&Helper::PutBits) {
        text.push_str(BIT);
    }
    text
}

const GET: &str = "
    /// Reads the value at byte `at`.
    fn get<T: ::cutaway::Pod>(bytes: &[u8], at: usize) -> Option<T> {
        let end = at.checked_add(T::SIZE)?;
        T::read_from(bytes.get(at..end)?)
    }
";

const PUT: &str = "
    /// Writes the value at byte `at`.
    fn put<T: ::cutaway::Pod>(bytes: &mut [u8], at: usize, value: T) {
        if let Some(bytes) = bytes.get_mut(at..at + T::SIZE) {
            value.write_to(bytes);
        }
    }
";

const GET_BITS: &str = "
    /// Reads `width` bits from bit `start` on.
    fn get_bits<T: ::cutaway::Pod>(
        bytes: &[u8],
        start: usize,
        width: usize,
        signed: bool,
    ) -> Option<T> {
        let mut value = 0_u128;
        for index in 0..128 {
            // The bits above the highest one repeat the sign.
            let (byte, mask) = bit(start, width, index.min(width - 1));
            if (index < width || signed) && bytes.get(byte)? & mask != 0 {
                value |= 1 << index;
            }
        }
        let bytes = value.to_ne_bytes();
        let from = if cfg!(target_endian = \"big\") {
            bytes.len() - T::SIZE
        } else {
            0
        };
        T::read_from(bytes.get(from..from + T::SIZE)?)
    }
";

const PUT_BITS: &str = "
    /// Writes `width` bits from bit `start` on.
    fn put_bits<T: ::cutaway::Pod>(bytes: &mut [u8], start: usize, width: usize, value: T) {
        let mut all = [0; 16];
        let from = if cfg!(target_endian = \"big\") {
            all.len() - T::SIZE
        } else {
            0
        };
        if let Some(all) = all.get_mut(from..from + T::SIZE) {
            value.write_to(all);
        }
        let value = u128::from_ne_bytes(all);
        for index in 0..width {
            let (byte, mask) = bit(start, width, index);
            if let Some(byte) = bytes.get_mut(byte) {
                let set = (value >> index) & 1 == 1;
                *byte = if set { *byte | mask } else { *byte & !mask };
            }
        }
    }
";

const BIT: &str = "
    /// Returns the byte and the mask of a bit of a bit field; 0 is the lowest one.
    fn bit(start: usize, width: usize, index: usize) -> (usize, u8) {
        if cfg!(target_endian = \"big\") {
            let bit = start + width - 1 - index;
            (bit / 8, 0x80 >> (bit % 8))
        } else {
            let bit = start + index;
            (bit / 8, 1 << (bit % 8))
        }
    }
";
