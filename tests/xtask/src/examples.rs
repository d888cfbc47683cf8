//! Assembles the objects for the examples in `loader/examples`.

use cutaway_programs::prelude::*;

type Assembled = Result<Vec<u8>, Error>;

/// Assembles the object of each example. Returns it with the example's name.
///
/// # Errors
///
/// If an object cannot be assembled.
pub fn objects() -> Result<Vec<(&'static str, Vec<u8>)>, Error> {
    Ok(vec![
        ("ring", sends(MapType::RINGBUF)?),
        ("perf", sends(MapType::PERF_EVENT_ARRAY)?),
        ("global", adds("raw_tp/sys_enter")?),
        ("uprobe", adds("uprobe")?),
        ("pin", counts()?),
        ("batch", squares()?),
    ])
}

/// Assembles an object whose program sends the PID of each process that executes a file.
fn sends(transport: MapType) -> Assembled {
    let mut object = ObjectBuilder::new("GPL");
    let events = match transport {
        MapType::RINGBUF => MapDef::new(transport).max_entries(1 << 16),
        _ => MapDef::new(transport).key_size(4).value_size(4),
    };
    let events = object.map("events", events);
    let mut asm = Assembler::new();
    asm.mov(R6, R1);
    asm.call(Helper::bpf_get_current_pid_tgid);
    asm.rsh(R0, 32);
    asm.store(W, R10, -4, R0);
    if transport == MapType::RINGBUF {
        asm.load_map(R1, events);
        asm.mov(R2, R10);
        asm.add(R2, -4);
        asm.mov(R3, 4);
        asm.mov(R4, 0);
        asm.call(Helper::bpf_ringbuf_output);
    } else {
        asm.mov(R1, R6);
        asm.load_map(R2, events);
        asm.mov(W3, -1); // BPF_F_CURRENT_CPU
        asm.mov(R4, R10);
        asm.add(R4, -4);
        asm.mov(R5, 4);
        asm.call(Helper::bpf_perf_event_output);
    }
    asm.mov(R0, 0);
    asm.exit();
    object.program("raw_tp/sched_process_exec", "send", asm);
    object.write()
}

/// Assembles an object whose program adds `step` to `total` each time it runs.
fn adds(section: &str) -> Assembled {
    let mut object = ObjectBuilder::new("GPL");
    let step = object.variable(".rodata", "step", Variable::new(1_u64));
    let total = object.variable(".bss", "total", Variable::zeroed::<u64>());
    let mut asm = Assembler::new();
    asm.load_address(R1, step, 0);
    asm.load(DW, R1, R1, 0);
    asm.load_address(R2, total, 0);
    asm.atomic_add(DW, R2, 0, R1);
    asm.mov(R0, 0);
    asm.exit();
    object.program(section, "count", asm);
    object.write()
}

/// Assembles an object whose program counts system calls in a map that is pinned by its name.
fn counts() -> Assembled {
    let mut object = ObjectBuilder::new("GPL");
    let calls = MapDef::new(MapType::ARRAY).key::<u32>().value::<u64>().max_entries(1).pinned_by_name();
    let calls = object.map("calls", calls);
    let mut asm = Assembler::new();
    let done = asm.label("done");
    asm.store(W, R10, -4, 0);
    asm.load_map(R1, calls);
    asm.mov(R2, R10);
    asm.add(R2, -4);
    asm.call(Helper::bpf_map_lookup_elem);
    asm.jump_if(Eq, R0, 0, done);
    asm.mov(R1, 1);
    asm.atomic_add(DW, R0, 0, R1);
    asm.bind(done);
    asm.mov(R0, 0);
    asm.exit();
    object.program("raw_tp/sys_enter", "count", asm);
    object.write()
}

/// Assembles an object that has a map and no program.
fn squares() -> Assembled {
    let mut object = ObjectBuilder::new("GPL");
    object.map("squares", MapDef::new(MapType::HASH).key::<u32>().value::<u64>().max_entries(1000));
    object.write()
}
