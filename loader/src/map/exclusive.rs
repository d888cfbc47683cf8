//! Maps that only one program may use, by the SHA-256 of its instructions (Linux 6.18).
//!
//! The kernel hashes the instructions as `BPF_PROG_LOAD` gets them, but with 0 in place of map fds and of offsets in a
//! map's value (`bpf_prog_calc_tag` in `kernel/bpf/core.c`). So the hash is known before the map exists. The verifier
//! compares it with that of the map (`excl_prog_sha`, EACCES).

use crate::Instruction;

/// `BPF_PSEUDO_MAP_FD` and `BPF_PSEUDO_MAP_VALUE`: an instruction pair loads the address of a map or of its value.
const MAP_FD: u8 = 1;
const MAP_VALUE: u8 = 2;

/// Returns the SHA-256 of a program's instructions as the kernel computes it, for
/// [`MapSpec::exclusive_hash`](crate::MapSpec::exclusive_hash) and
/// [`MapBuilder::exclusive_to`](crate::MapBuilder::exclusive_to). Since Linux 6.18, its first 8 bytes are the program's
/// tag.
///
/// The instructions are those that are loaded: [`DryRun::programs`](crate::DryRun::programs) has them, with
/// placeholders for map fds, which do not count. They depend on the kernel (CO-RE) and on the values of externs, but
/// not on the contents of maps. Instructions that loading inserts ([`Object::count_losses`] and [`Object::cover`])
/// change the hash. So does the prologue that keeps programs on probes (the type `KPROBE`) off a shared stack, which
/// loading adds since Linux 6.13 and [`DryRun`](crate::DryRun) does not show: the verifier may refuse an exclusive map
/// to such a program.
///
/// [`Object::count_losses`]: crate::Object::count_losses
/// [`Object::cover`]: crate::Object::cover
///
/// ```no_run
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # use cutaway::Object;
/// let mut object = Object::parse(&std::fs::read("probes.o")?)?;
/// let dry_run = object.dry_run_on_host()?;
/// let program = dry_run.programs.into_iter().find(|program| program.name == "count").ok_or("no such program")?;
/// object.map_mut("secrets")?.exclusive_hash = Some(cutaway::program_hash(&program.instructions?));
/// let loaded = object.load()?; // no other program can use `secrets`
/// # Ok(())
/// # }
/// ```
#[doc(alias("excl_prog_hash", "bpf_map__set_exclusive_program", "bpf_prog_calc_tag"))]
#[must_use]
pub fn program_hash(instructions: &[Instruction]) -> [u8; 32] {
    let mut bytes = Vec::with_capacity(instructions.len() * Instruction::SIZE);
    let mut is_second = false;
    for instruction in instructions {
        let loads_map = !is_second && instruction.is_load_imm64() && matches!(instruction.src(), MAP_FD | MAP_VALUE);
        let plain = if loads_map || is_second { instruction.with_imm(0) } else { *instruction };
        is_second = loads_map;
        bytes.extend_from_slice(&plain.to_bytes());
    }
    sha256(&bytes)
}

/// The first 32 bits of the fractions of the cube roots of the first 64 primes (FIPS 180-4, 4.2.2).
const ROUNDS: [u32; 64] = [
    0x428a_2f98,
    0x7137_4491,
    0xb5c0_fbcf,
    0xe9b5_dba5,
    0x3956_c25b,
    0x59f1_11f1,
    0x923f_82a4,
    0xab1c_5ed5,
    0xd807_aa98,
    0x1283_5b01,
    0x2431_85be,
    0x550c_7dc3,
    0x72be_5d74,
    0x80de_b1fe,
    0x9bdc_06a7,
    0xc19b_f174,
    0xe49b_69c1,
    0xefbe_4786,
    0x0fc1_9dc6,
    0x240c_a1cc,
    0x2de9_2c6f,
    0x4a74_84aa,
    0x5cb0_a9dc,
    0x76f9_88da,
    0x983e_5152,
    0xa831_c66d,
    0xb003_27c8,
    0xbf59_7fc7,
    0xc6e0_0bf3,
    0xd5a7_9147,
    0x06ca_6351,
    0x1429_2967,
    0x27b7_0a85,
    0x2e1b_2138,
    0x4d2c_6dfc,
    0x5338_0d13,
    0x650a_7354,
    0x766a_0abb,
    0x81c2_c92e,
    0x9272_2c85,
    0xa2bf_e8a1,
    0xa81a_664b,
    0xc24b_8b70,
    0xc76c_51a3,
    0xd192_e819,
    0xd699_0624,
    0xf40e_3585,
    0x106a_a070,
    0x19a4_c116,
    0x1e37_6c08,
    0x2748_774c,
    0x34b0_bcb5,
    0x391c_0cb3,
    0x4ed8_aa4a,
    0x5b9c_ca4f,
    0x682e_6ff3,
    0x748f_82ee,
    0x78a5_636f,
    0x84c8_7814,
    0x8cc7_0208,
    0x90be_fffa,
    0xa450_6ceb,
    0xbef9_a3f7,
    0xc671_78f2,
];

/// The first 32 bits of the fractions of the square roots of the first 8 primes (FIPS 180-4, 5.3.3).
const START: [u32; 8] =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];

/// Returns the SHA-256 of bytes (FIPS 180-4).
fn sha256(bytes: &[u8]) -> [u8; 32] {
    const BLOCK: usize = 64;
    let mut padded = bytes.to_vec();
    padded.push(0x80);
    // The length in bits takes the last 8 bytes of the last block.
    padded.resize((padded.len() + 8).next_multiple_of(BLOCK) - 8, 0);
    padded.extend_from_slice(&(bytes.len() as u64 * 8).to_be_bytes());
    let mut state = START;
    for block in padded.chunks_exact(BLOCK) {
        let mut words: Vec<u32> = block
            .chunks_exact(4)
            .map(|word| word.iter().fold(0, |value, &byte| value << 8 | u32::from(byte)))
            .collect();
        for index in 16..ROUNDS.len() {
            let word = |back: usize| words.get(index - back).copied().unwrap_or_default();
            let one = word(15).rotate_right(7) ^ word(15).rotate_right(18) ^ word(15) >> 3;
            let two = word(2).rotate_right(17) ^ word(2).rotate_right(19) ^ word(2) >> 10;
            let next = word(16).wrapping_add(one).wrapping_add(word(7)).wrapping_add(two);
            words.push(next);
        }
        let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = state;
        for (constant, word) in ROUNDS.iter().zip(&words) {
            let sum = e.rotate_right(6) ^ e.rotate_right(11) ^ e.rotate_right(25);
            let one = h.wrapping_add(sum).wrapping_add(e & f ^ !e & g).wrapping_add(*constant).wrapping_add(*word);
            let sum = a.rotate_right(2) ^ a.rotate_right(13) ^ a.rotate_right(22);
            let two = sum.wrapping_add(a & b ^ a & c ^ b & c);
            (h, g, f, e) = (g, f, e, d.wrapping_add(one));
            (d, c, b, a) = (c, b, a, one.wrapping_add(two));
        }
        for (sum, value) in state.iter_mut().zip([a, b, c, d, e, f, g, h]) {
            *sum = sum.wrapping_add(value);
        }
    }
    let mut hash = [0; 32];
    for (to, word) in hash.chunks_exact_mut(4).zip(state) {
        to.copy_from_slice(&word.to_be_bytes());
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of FIPS 180-4, and lengths around a block's end, as sha256sum(1) prints them.
    #[test]
    fn hashes_are_those_of_sha256() {
        let hex = |bytes: &[u8]| sha256(bytes).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        assert_eq!(hex(b""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        assert_eq!(hex(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        for (length, expected) in [
            (55, "9f4390f8d30c2dd92ec9f095b65e2b9ae9b0a925a5258e241c9f1e910f734318"),
            (56, "b35439a4ac6f0948b6d6f9e3c6af0f5f590ce20f1bde7090ef7970686ec6738a"),
            (63, "7d3e74a05d7db15bce4ad9ec0658ea98e3f06eeecf16b4c6fff2da457ddc2f34"),
            (64, "ffe054fe7ae0cb6dc65c3af9b61d5209f439851db43d0ba5997337df154668eb"),
            (119, "31eba51c313a5c08226adf18d4a359cfdfd8d2e816b13f4af952f7ea6584dcfb"),
            (1000, "41edece42d63e8d9bf515a9ba6932e1c20cbc9f5a5d134645adb5db1b9737ea3"),
        ] {
            assert_eq!(hex(&vec![b'a'; length]), expected, "{length} bytes");
        }
    }

    #[test]
    fn fds_of_maps_do_not_count() {
        let program = |fd: i32, offset: i32| {
            let [first, second] = Instruction::load_imm64(1, MAP_VALUE, 0);
            [first.with_imm(fd), second.with_imm(offset), Instruction::new(0x95, 0, 0, 0, 0)]
        };
        assert_eq!(program_hash(&program(3, 0)), program_hash(&program(9, 16)));
        // Any other constant counts.
        let plain = |value| Instruction::load_imm64(1, 0, value);
        assert_ne!(program_hash(&plain(3)), program_hash(&plain(9)));
        assert_ne!(program_hash(&plain(3 << 32)), program_hash(&plain(9 << 32)));
    }
}
