//! The filter: the calls for which the return probe sends an event.
//!
//! The program is assembled for its filter, with the wanted values as immediates. A program without a filter has none
//! of these instructions.
//!
//! The return probe evaluates the filter before it reserves or builds an event, so a call that does not pass takes no
//! space in a buffer. The stack below [`SCRATCH`] is free until then.

use super::{
    HostGlob,
    entry::Arguments,
    event::DecodedEvent,
    frame::{ARGUMENTS, CONTEXT, NOW, SCRATCH},
    registers::REGISTERS,
};
use crate::prelude::*;

pub(super) const SOURCE: crate::Source = source!("filter.rs");

/// The calls for which the program sends an event. A call must pass every part; an empty part passes all calls.
///
/// ```
/// use cutaway_programs::getaddrinfo::{Filter, Transport};
///
/// let failures_of_root = Filter { failures: true, uids: vec![0], ..Filter::default() };
/// let object = Transport::PerfHeap.object_with(&failures_of_root)?;
/// assert!(object.len() > Transport::PerfHeap.object()?.len());
/// # Ok::<(), cutaway_programs::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Real user ids, in the initial user namespace.
    pub uids: Vec<u32>,
    /// Names of threads, as [`Filter::comm`] returns them.
    pub comms: Vec<[u8; 16]>,
    /// Only calls that fail.
    pub failures: bool,
    /// The shortest duration of a call in nanoseconds; 0 passes all calls.
    pub min_latency_ns: u64,
    /// A pattern for the host. The program passes a few calls too many, see [`HostGlob`].
    pub host: Option<HostGlob>,
}

/// The longest host name that the program looks at in bytes, with its NUL. A longer one passes if its beginning does.
const HOST: i32 = 256;

/// Offsets from the frame pointer: the thread's name; the host's name, or its end.
const COMM: i16 = SCRATCH - 16;
const NAME: i16 = SCRATCH - HOST as i16;

/// The argument of the call, until the event is built. It survives calls.
const NODE: R7 = R7;

impl Filter {
    /// Returns a thread's name as the kernel keeps it: the first 15 bytes, and zeroes.
    #[must_use]
    pub fn comm(name: &[u8]) -> [u8; 16] {
        let mut comm = [0; 16];
        comm.iter_mut().zip(name.iter().take(15)).for_each(|(to, from)| *to = *from);
        comm
    }

    /// Returns whether every call passes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Returns whether an event passes, as the program decides before it sends one: for events of recordings.
    #[must_use]
    pub fn admits(&self, event: &DecodedEvent<'_>) -> bool {
        let call = &event.call;
        (!self.failures || call.ret != 0)
            && call.latency_ns >= self.min_latency_ns
            && (self.uids.is_empty() || self.uids.contains(&call.uid))
            && (self.comms.is_empty() || self.comms.contains(&Self::comm(event.comm)))
            && self.host.as_ref().is_none_or(|host| host.may_match(event.node))
    }

    /// Jumps to `refused` unless the call passes. The checks that need no helper come first. Preserves [`CONTEXT`] and
    /// [`NOW`].
    pub(super) fn jump_unless_passed(&self, asm: &mut Assembler, refused: Label) {
        if self.failures {
            asm.load(DW, R1, CONTEXT, REGISTERS.result);
            asm.jump_if(Eq, W1, 0, refused);
        }
        if self.min_latency_ns > 0 {
            asm.mov(R1, NOW);
            asm.load(DW, R2, R10, ARGUMENTS + offset!(Arguments, start_ns));
            asm.sub(R1, R2);
            asm.load_imm64(R2, self.min_latency_ns);
            asm.jump_if(Lt, R1, R2, refused);
        }
        if !self.uids.is_empty() {
            self.uid(asm, refused);
        }
        if !self.comms.is_empty() {
            self.thread_name(asm, refused);
        }
        if let Some(host) = &self.host {
            check_host(asm, host, refused);
        }
    }

    fn uid(&self, asm: &mut Assembler, refused: Label) {
        let passed = asm.label("uid_passed");
        asm.call(Helper::bpf_get_current_uid_gid);
        for uid in &self.uids {
            asm.jump_if(Eq, W0, uid.cast_signed(), passed);
        }
        asm.jump(refused);
        asm.bind(passed);
    }

    fn thread_name(&self, asm: &mut Assembler, refused: Label) {
        let passed = asm.label("comm_passed");
        // Linux 5.18 to 6.2 do not write the bytes after the NUL.
        asm.store(DW, R10, COMM, 0);
        asm.store(DW, R10, COMM + 8, 0);
        asm.mov(R1, R10);
        asm.add(R1, i32::from(COMM));
        asm.mov(R2, 16);
        asm.call(Helper::bpf_get_current_comm);
        asm.load(DW, R1, R10, COMM);
        asm.load(DW, R2, R10, COMM + 8);
        for comm in &self.comms {
            let next = asm.label("next_comm");
            let [first, second] = words(comm);
            asm.load_imm64(R3, first);
            asm.jump_if(Ne, R1, R3, next);
            asm.load_imm64(R3, second);
            asm.jump_if(Eq, R2, R3, passed);
            asm.bind(next);
        }
        asm.jump(refused);
        asm.bind(passed);
    }
}

/// Returns a thread's name as the two words that the program compares.
fn words(comm: &[u8; 16]) -> [u64; 2] {
    let (words, _) = comm.as_chunks::<8>();
    [0, 1].map(|index| words.get(index).copied().map_or(0, u64::from_ne_bytes))
}

/// Checks both ends of the host's name, and its length. A name that cannot be read passes, and so does the end of a
/// name that is too long: user space has to decide.
fn check_host(asm: &mut Assembler, glob: &HostGlob, refused: Label) {
    let (passed, not_empty) = (asm.label("host_passed"), asm.label("host_not_empty"));
    asm.load(DW, NODE, R10, ARGUMENTS + offset!(Arguments, node));
    asm.jump_if(Eq, NODE, 0, refused);
    // An empty string leaves the first byte as it is on older kernels.
    asm.store(DW, R10, NAME, 0);
    asm.mov(R1, R10);
    asm.add(R1, i32::from(NAME));
    asm.mov(R2, HOST);
    asm.mov(R3, NODE);
    asm.call(Helper::bpf_probe_read_user_str);
    asm.jump_if(Slt, R0, 0, passed);
    // Older kernels, 6.1 among them, return 0 for an empty string and do not count its NUL.
    asm.jump_if(Ne, R0, 0, not_empty);
    asm.mov(R0, 1);
    asm.bind(not_empty);
    // A pattern has at most 255 bytes, so a name that fills the space is not too short.
    asm.jump_if(Le, R0, glob.shortest() as i32, refused);
    compare(asm, &glob.head(), refused);
    let tail = glob.tail();
    if !tail.is_empty() {
        asm.jump_if(Eq, R0, HOST, passed);
        // The last bytes before the NUL.
        asm.mov(R3, NODE);
        asm.add(R3, R0);
        asm.add(R3, -(tail.len() as i32 + 1));
        asm.mov(R1, R10);
        asm.add(R1, i32::from(NAME));
        asm.mov(R2, tail.len() as i32);
        asm.call(Helper::bpf_probe_read_user);
        asm.jump_if(Ne, R0, 0, passed);
        compare(asm, &tail, refused);
    }
    asm.bind(passed);
}

/// Jumps to `refused` unless the bytes at [`NAME`] are these, in upper or lower case. Destroys R1.
fn compare(asm: &mut Assembler, bytes: &[u8], refused: Label) {
    for (offset, bytes) in (NAME..).step_by(4).zip(bytes.chunks(4)) {
        let (mut wanted, mut case, mut known) = ([0; 4], [0; 4], [0; 4]);
        for (index, &byte) in bytes.iter().enumerate() {
            let at = (wanted.get_mut(index), case.get_mut(index), known.get_mut(index));
            let (Some(wanted), Some(case), Some(known)) = at else { continue };
            // Only the two cases of a letter become the letter in lower case by this bit.
            let bit = if byte.is_ascii_lowercase() { 0x20 } else { 0 };
            (*wanted, *case, *known) = (byte, bit, 0xff);
        }
        asm.load(W, R1, R10, offset);
        if case != [0; 4] {
            asm.or(W1, i32::from_ne_bytes(case));
        }
        if known != [0xff; 4] {
            asm.and(W1, i32::from_ne_bytes(known));
        }
        asm.jump_if(Ne, W1, i32::from_ne_bytes(wanted), refused);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::getaddrinfo::Transport;

    #[test]
    fn name_of_a_thread_is_what_the_kernel_keeps() {
        assert_eq!(&Filter::comm(b"getent"), b"getent\0\0\0\0\0\0\0\0\0\0");
        assert_eq!(&Filter::comm(b"a-name-of-17-byte"), b"a-name-of-17-by\0");
    }

    #[test]
    fn program_without_a_filter_is_unchanged() {
        for transport in Transport::ALL {
            assert_eq!(transport.object_with(&Filter::default()).unwrap(), transport.object().unwrap());
        }
    }

    #[test]
    fn largest_filter_can_be_assembled() {
        let filter = Filter {
            uids: (0..64).collect(),
            comms: (0..64_u8).map(|number| [number; 16]).collect(),
            failures: true,
            min_latency_ns: u64::MAX,
            host: Some(HostGlob::new(&format!("{}*{}", "a".repeat(127), "é".repeat(63))).unwrap()),
        };
        for transport in Transport::ALL {
            transport.object_with(&filter).unwrap();
        }
    }
}
