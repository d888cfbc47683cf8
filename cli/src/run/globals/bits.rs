//! Writes bit fields.

/// Sets the bit field of `width` bits at the bit `first` of a structure to a number, which is given in this machine's
/// byte order.
pub(super) fn set(structure: &mut [u8], first: u32, width: u32, number: &[u8], signed: bool) -> Result<(), String> {
    let value = word(number);
    let spare = 128_u32.saturating_sub(8 * number.len() as u32);
    // The number in 128 bits, with its sign.
    let extended = if signed { ((value << spare).cast_signed() >> spare).cast_unsigned() } else { value };
    let unused = 128_u32.saturating_sub(width);
    let shortened = extended << unused;
    let back = if signed { (shortened.cast_signed() >> unused).cast_unsigned() } else { shortened >> unused };
    if back != extended {
        return Err(format!("it is a bit field of {width} bits, and the number needs more"));
    }
    for bit in 0..width {
        // Bits are counted from the least significant one on little-endian machines, from the most significant one on
        // others.
        let at = first + bit;
        let (shift, significance) =
            if cfg!(target_endian = "little") { (at % 8, bit) } else { (7 - at % 8, width - 1 - bit) };
        let byte = structure.get_mut(at as usize / 8).ok_or("it reaches beyond the end of the variable")?;
        *byte = *byte & !(1 << shift) | ((extended >> significance & 1) as u8) << shift;
    }
    Ok(())
}

/// Reads at most 16 bytes in this machine's order as a number.
fn word(bytes: &[u8]) -> u128 {
    let append = |value: u128, byte: &u8| value << 8 | u128::from(*byte);
    if cfg!(target_endian = "little") { bytes.iter().rev().fold(0, append) } else { bytes.iter().fold(0, append) }
}

#[cfg(test)]
#[cfg(target_endian = "little")]
mod tests {
    use super::*;

    #[test]
    fn other_bits_are_kept() {
        let mut structure = [0xff; 4];
        set(&mut structure, 4, 12, &0x123_u32.to_ne_bytes(), false).unwrap();
        assert_eq!(structure, [0x3f, 0x12, 0xff, 0xff]);
        set(&mut structure, 0, 5, &(-3_i32).to_ne_bytes(), true).unwrap();
        assert_eq!(structure[0] & 0x1f, 0b11101);
    }

    #[test]
    fn number_that_does_not_fit_is_refused() {
        let mut structure = [0; 4];
        for (number, width, signed) in [(16_i32, 4, false), (8, 4, true), (-9, 4, true), (-1, 4, false)] {
            let why = set(&mut structure, 0, width, &number.to_ne_bytes(), signed).unwrap_err();
            assert!(why.contains("4 bits"), "{number}: {why}");
        }
        assert_eq!(structure, [0; 4]);
        set(&mut structure, 28, 8, &1_u32.to_ne_bytes(), false).unwrap_err();
    }
}
