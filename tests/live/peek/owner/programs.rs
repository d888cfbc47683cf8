//! The owner's programs, instruction by instruction.

use std::os::fd::{AsRawFd, OwnedFd};

use super::PAYLOAD;

/// Returns an instruction: operation, registers, offset, constant.
fn op(code: u8, to: u8, from: u8, offset: i16, constant: i32) -> u64 {
    let [o0, o1] = offset.to_le_bytes();
    let [c0, c1, c2, c3] = constant.to_le_bytes();
    u64::from_le_bytes([code, from << 4 | to, o0, o1, c0, c1, c2, c3])
}

/// Loads the address of a map into a register: two slots.
fn map_address(to: u8, map: &OwnedFd) -> [u64; 2] {
    [op(0x18, to, 1, 0, map.as_raw_fd()), 0]
}

/// Sets r6 to the element of the map of numbers (exits if there is none), r7 to the next number.
fn next_number(state: &OwnedFd) -> Vec<u64> {
    let mut code = vec![
        op(0xbf, 9, 1, 0, 0),   // r9 = r1, the context
        op(0x62, 10, 0, -4, 0), // *(u32 *)(r10 - 4) = 0
        op(0xbf, 2, 10, 0, 0),  // r2 = r10
        op(0x07, 2, 0, 0, -4),  // r2 += -4
    ];
    code.extend(map_address(1, state));
    code.extend([
        op(0x85, 0, 0, 0, 1), // call bpf_map_lookup_elem
        op(0x55, 0, 0, 2, 0), // if r0 != 0 continue
        op(0xb7, 0, 0, 0, 0), // r0 = 0
        op(0x95, 0, 0, 0, 0), // exit
        op(0xbf, 6, 0, 0, 0), // r6 = r0
        op(0x79, 7, 6, 0, 0), // r7 = *(u64 *)(r6 + 0)
    ]);
    code
}

pub(super) fn sending_to_ring(map: &OwnedFd, state: &OwnedFd) -> Vec<u64> {
    let mut code = next_number(state);
    code.extend(map_address(1, map));
    code.extend([
        op(0xb7, 2, 0, 0, PAYLOAD as i32),
        op(0xb7, 3, 0, 0, 0),
        op(0x85, 0, 0, 0, 131), // call bpf_ringbuf_reserve
        op(0x55, 0, 0, 5, 0),   // if r0 != 0 continue
        op(0x79, 1, 6, 8, 0),   // lost += 1
        op(0x07, 1, 0, 0, 1),
        op(0x7b, 6, 1, 8, 0),
        op(0xb7, 0, 0, 0, 0),
        op(0x95, 0, 0, 0, 0),
        op(0x7b, 0, 7, 0, 0), // the number, twice
        op(0x7b, 0, 7, 8, 0),
        op(0xbf, 8, 7, 0, 0), // r8 = r7 % 10
        op(0x97, 8, 0, 0, 10),
        op(0x07, 7, 0, 0, 1), // next = r7 + 1
        op(0x7b, 6, 7, 0, 0),
        op(0xbf, 1, 0, 0, 0),
        op(0xb7, 2, 0, 0, 0),
        op(0x15, 8, 0, 3, 9),   // if r8 == 9 discard
        op(0x85, 0, 0, 0, 132), // call bpf_ringbuf_submit
        op(0xb7, 0, 0, 0, 0),
        op(0x95, 0, 0, 0, 0),
        op(0x85, 0, 0, 0, 133), // call bpf_ringbuf_discard
        op(0xb7, 0, 0, 0, 0),
        op(0x95, 0, 0, 0, 0),
    ]);
    code
}

pub(super) fn sending_to_perf(map: &OwnedFd, state: &OwnedFd) -> Vec<u64> {
    let mut code = next_number(state);
    code.extend([
        op(0xbf, 8, 7, 0, 0), // every tenth number is skipped, like those that a ring discards
        op(0x97, 8, 0, 0, 10),
        op(0x55, 8, 0, 1, 9),
        op(0x07, 7, 0, 0, 1),
        op(0x7b, 10, 7, -24, 0), // the number, twice
        op(0x7b, 10, 7, -16, 0),
        op(0xbf, 1, 9, 0, 0),
    ]);
    code.extend(map_address(2, map));
    code.extend([
        op(0x18, 3, 0, 0, -1), // BPF_F_CURRENT_CPU
        0,
        op(0xbf, 4, 10, 0, 0),
        op(0x07, 4, 0, 0, -24),
        op(0xb7, 5, 0, 0, PAYLOAD as i32),
        op(0x85, 0, 0, 0, 25), // call bpf_perf_event_output
        op(0x15, 0, 0, 5, 0),  // if r0 == 0 continue
        op(0x79, 1, 6, 8, 0),  // lost += 1
        op(0x07, 1, 0, 0, 1),
        op(0x7b, 6, 1, 8, 0),
        op(0xb7, 0, 0, 0, 0),
        op(0x95, 0, 0, 0, 0),
        op(0x07, 7, 0, 0, 1), // next = r7 + 1
        op(0x7b, 6, 7, 0, 0),
        op(0xb7, 0, 0, 0, 0),
        op(0x95, 0, 0, 0, 0),
    ]);
    code
}
