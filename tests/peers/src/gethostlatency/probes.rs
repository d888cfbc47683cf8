//! The probes of a host latency tool of bcc's kind, as an object that any loader takes. An entry probe keeps time,
//! process, command and host of a call in a hash map, keyed by the thread. A return probe adds the latency and sends
//! the value through a perf buffer.

use cutaway_programs::prelude::*;

/// The bytes of a host that the entry probe reads, as bcc's tool does.
pub const HOST: usize = 80;

/// The value that the entry probe keeps and the return probe sends.
#[repr(C)]
pub struct Call {
    /// On entry the time in nanoseconds, afterwards the latency.
    pub time_ns: u64,
    pub pid: u32,
    pub tid: u32,
    pub comm: [u8; 16],
    pub host: [u8; HOST],
}
describe!(Call { time_ns, pid, tid, comm, host });

#[cfg(target_arch = "x86_64")]
const FIRST_ARGUMENT: i16 = 112; // rdi in struct pt_regs
#[cfg(target_arch = "aarch64")]
const FIRST_ARGUMENT: i16 = 0; // x0

/// The names of the programs and of the map of perf buffers.
pub const ENTRY: &std::ffi::CStr = c"entry";
pub const RETURN: &std::ffi::CStr = c"leave";
pub const EVENTS: &std::ffi::CStr = c"events";

/// Returns the object.
pub fn object() -> Vec<u8> {
    let mut object = ObjectBuilder::new("GPL");
    object.describe::<Call>();
    let starts = object.map("starts", MapDef::new(MapType::HASH).key::<u32>().value::<Call>().max_entries(10_240));
    let events = MapDef::new(MapType::PERF_EVENT_ARRAY).key_size(4).value_size(4).max_entries(0);
    let events = object.map("events", events);
    object.program("uprobe", "entry", entry(starts));
    object.program("uretprobe", "leave", leave(starts, events));
    object.write().expect("the probes can be written")
}

/// The size of the value, and its offset and that of the key on the BPF stack.
const SIZE: i32 = size_of::<Call>() as i32;
const CALL: i16 = -(size_of::<Call>() as i16);
const KEY: i16 = CALL - 8;

fn entry(starts: MapRef) -> Assembler {
    let mut asm = Assembler::new();
    let done = asm.label("done");
    asm.load(DW, R6, R1, FIRST_ARGUMENT);
    asm.jump_if(Eq, R6, 0, done); // a call without a host
    for at in (CALL..0).step_by(8) {
        asm.store(DW, R10, at, 0);
    }
    asm.call(Helper::bpf_get_current_pid_tgid);
    asm.store(W, R10, KEY, R0);
    asm.store(W, R10, CALL + offset!(Call, tid), R0);
    asm.rsh(R0, 32);
    asm.store(W, R10, CALL + offset!(Call, pid), R0);
    asm.call(Helper::bpf_ktime_get_ns);
    asm.store(DW, R10, CALL + offset!(Call, time_ns), R0);
    address(&mut asm, CALL + offset!(Call, comm));
    asm.mov(R2, 16);
    asm.call(Helper::bpf_get_current_comm);
    address(&mut asm, CALL + offset!(Call, host));
    asm.mov(R2, HOST as i32);
    asm.mov(R3, R6);
    asm.call(Helper::bpf_probe_read_user);
    asm.load_map(R1, starts);
    asm.mov(R2, R10);
    asm.add(R2, i32::from(KEY));
    asm.mov(R3, R10);
    asm.add(R3, i32::from(CALL));
    asm.mov(R4, 0); // BPF_ANY
    asm.call(Helper::bpf_map_update_elem);
    asm.bind(done);
    asm.mov(R0, 0);
    asm.exit();
    asm
}

fn leave(starts: MapRef, events: MapRef) -> Assembler {
    let mut asm = Assembler::new();
    let done = asm.label("done");
    asm.mov(R6, R1);
    asm.call(Helper::bpf_get_current_pid_tgid);
    asm.store(W, R10, KEY, R0);
    asm.load_map(R1, starts);
    asm.mov(R2, R10);
    asm.add(R2, i32::from(KEY));
    asm.call(Helper::bpf_map_lookup_elem);
    asm.jump_if(Eq, R0, 0, done);
    asm.mov(R7, R0);
    asm.call(Helper::bpf_ktime_get_ns);
    asm.load(DW, R1, R7, offset!(Call, time_ns));
    asm.sub(R0, R1);
    asm.store(DW, R7, offset!(Call, time_ns), R0);
    asm.mov(R1, R6);
    asm.load_map(R2, events);
    asm.mov(W3, -1); // BPF_F_CURRENT_CPU
    asm.mov(R4, R7);
    asm.mov(R5, SIZE);
    asm.call(Helper::bpf_perf_event_output);
    asm.load_map(R1, starts);
    asm.mov(R2, R10);
    asm.add(R2, i32::from(KEY));
    asm.call(Helper::bpf_map_delete_elem);
    asm.bind(done);
    asm.mov(R0, 0);
    asm.exit();
    asm
}

/// Puts an address on the stack into R1.
fn address(asm: &mut Assembler, at: i16) {
    asm.mov(R1, R10);
    asm.add(R1, i32::from(at));
}
