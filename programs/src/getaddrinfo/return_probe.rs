//! The return probe: the code that the three transports share.
//!
//! ```text
//!     find the entry ─▶ filter ─▶ begin: space for the event ─▶ fill it ─▶ send ─▶ forget the entry
//!                                  └──────────────Transmit's own──────────────┘
//! ```
//!
//! Registers that survive helper calls have the same content throughout: `frame.rs` names them.
//!
//! All strings are read on return, not on entry: `getaddrinfo` has read them by then, so their pages are present. A
//! uprobe's program cannot wait for a page.

use super::{
    Event, EventHeader, Filter, Reason, StackEvent,
    entry::{Arguments, Key},
    follow::Followed,
    frame::{ADDRINFO, ARGUMENTS, AddrInfo, CANONNAME, KEY, POINTER, SEEN},
    losses::Counters,
    registers::REGISTERS,
};
use crate::{Bits64, Writable, prelude::*};

pub(super) use super::frame::{CONTEXT, EVENT, NOW, SCRATCH};

pub(super) const SOURCE: crate::Source = source!("return_probe.rs");

/// A transport: builds and sends the event.
pub(super) trait Transmit {
    const LAYOUT: Layout;

    /// Allocates the event: afterwards [`EVENT`] is its address, and its fixed part is zeroed. Without space, counts
    /// the loss and jumps to `lost`. Must preserve [`CONTEXT`] and [`NOW`].
    fn begin(&self, asm: &mut Assembler, losses: &Counters, lost: Label);

    /// Sends the event at [`EVENT`], and counts a failure. Needs [`CONTEXT`]; may destroy all registers but R10.
    fn send(&self, asm: &mut Assembler, losses: &Counters);
}

/// The offsets and sizes of an event's strings: [`Event`] and [`StackEvent`] differ in nothing else.
pub(super) struct Layout {
    pub(super) size: i32,
    node: Field,
    service: Field,
    canonname: Field,
}

/// A string's offset in the event, and its space there.
struct Field {
    offset: i16,
    /// The size in bytes, with the terminating NUL.
    size: i32,
    /// The offset of its length.
    length: i16,
    /// Its bit in [`EventHeader::cut`].
    cut: u16,
}

macro_rules! layout {
    ($event:ty) => {
        Layout {
            size: size!($event),
            node: layout!($event, node, node_len, NODE_CUT),
            service: layout!($event, service, service_len, SERVICE_CUT),
            canonname: layout!($event, canonname, canonname_len, CANONNAME_CUT),
        }
    };
    ($event:ty, $field:ident, $length:ident, $cut:ident) => {
        Field {
            offset: offset!($event, $field),
            size: super::event::field_size(|event: &$event| &event.$field) as i32,
            length: offset!(EventHeader, $length),
            cut: EventHeader::$cut,
        }
    };
}

impl Layout {
    pub(super) const EVENT: Self = layout!(Event);
    pub(super) const STACK_EVENT: Self = layout!(StackEvent);
}

// The call comes first, so its offsets are also the event's.
const _: () = assert!(offset!(Event, call) == 0 && offset!(StackEvent, call) == 0);

/// The parts of the object that the program uses, whatever its transport is.
pub(super) struct Shared<'a> {
    pub(super) calls: MapRef,
    pub(super) followed: Followed,
    pub(super) filter: &'a Filter,
    pub(super) losses: Counters,
    pub(super) origin: Origin,
}

/// Adds the program.
pub(super) fn program<W: Transmit>(object: &mut ObjectBuilder, transport: &W, shared: &Shared<'_>) {
    let &Shared { calls, ref followed, filter, ref losses, ref origin } = shared;
    let mut asm = Assembler::new();
    let (known, forget, done) = (asm.label("known"), asm.label("forget"), asm.label("done"));
    asm.mov(CONTEXT, R1);
    asm.call(Helper::bpf_ktime_get_ns);
    asm.mov(NOW, R0);

    asm.call(Helper::bpf_get_current_pid_tgid);
    asm.store(DW, R10, KEY + offset!(Key, pid_tgid), R0);
    asm.load(DW, R1, CONTEXT, REGISTERS.stack_pointer);
    asm.store(DW, R10, KEY + offset!(Key, frame), R1);
    asm.load_map(R1, calls);
    address(&mut asm, R2, KEY);
    asm.call(Helper::bpf_map_lookup_elem);
    asm.jump_if(Ne, R0, 0, known);
    asm.load(DW, R0, R10, KEY + offset!(Key, pid_tgid));
    followed.jump_unless_followed(&mut asm, SCRATCH - 8, done);
    losses.count(&mut asm, Reason::NoEntry);
    asm.jump(done);

    asm.bind(known);
    // Copy the entry: the map may reuse its memory for another call at any time.
    for offset in (0..size_of::<Arguments>() as i16).step_by(8) {
        asm.load(DW, R1, R0, offset);
        asm.store(DW, R10, ARGUMENTS + offset, R1);
    }
    filter.jump_unless_passed(&mut asm, forget);
    transport.begin(&mut asm, losses, forget);
    time_and_process(&mut asm);
    origin.store(&mut asm);
    asm.load(DW, POINTER, R10, ARGUMENTS + offset!(Arguments, node));
    string(&mut asm, &W::LAYOUT.node);
    asm.load(DW, POINTER, R10, ARGUMENTS + offset!(Arguments, service));
    string(&mut asm, &W::LAYOUT.service);
    list(&mut asm);
    asm.load(DW, POINTER, R10, CANONNAME);
    string(&mut asm, &W::LAYOUT.canonname);
    transport.send(&mut asm, losses);

    asm.bind(forget);
    asm.load_map(R1, calls);
    address(&mut asm, R2, KEY);
    asm.call(Helper::bpf_map_delete_elem);
    asm.bind(done);
    asm.mov(R0, 0);
    asm.exit();
    object.program(&format!("uretprobe/{}:{}", super::LIBRARY, super::FUNCTION), super::names::RETURN, asm);
}

/// Sets `dst` to the address of the stack at `offset`.
#[track_caller]
fn address(asm: &mut Assembler, dst: impl Writable<Width = Bits64>, offset: i16) {
    asm.mov(dst, R10);
    asm.add(dst, i32::from(offset));
}

/// Zeroes the event's [`EventHeader`], in memory that may hold an older event. The strings need not be zeroed: `string`
/// sets their first byte.
#[track_caller]
pub(super) fn zero_fixed_part(asm: &mut Assembler) {
    for offset in (0..size_of::<EventHeader>() as i16).step_by(8) {
        asm.store(DW, EVENT, offset, 0);
    }
}

/// Stores the time, the process and the return value. Destroys [`NOW`].
fn time_and_process(asm: &mut Assembler) {
    asm.store(DW, EVENT, offset!(EventHeader, time_ns), NOW);
    asm.load(DW, R1, R10, ARGUMENTS + offset!(Arguments, start_ns));
    asm.sub(NOW, R1);
    asm.store(DW, EVENT, offset!(EventHeader, latency_ns), NOW);

    asm.load(DW, R1, R10, KEY + offset!(Key, pid_tgid));
    asm.store(W, EVENT, offset!(EventHeader, tid), R1);
    asm.rsh(R1, 32);
    asm.store(W, EVENT, offset!(EventHeader, pid), R1);
    asm.call(Helper::bpf_get_current_uid_gid);
    asm.store(W, EVENT, offset!(EventHeader, uid), R0);
    asm.call(Helper::bpf_get_smp_processor_id);
    asm.store(W, EVENT, offset!(EventHeader, cpu), R0);
    asm.mov(R1, EVENT);
    asm.add(R1, i32::from(offset!(EventHeader, comm)));
    asm.mov(R2, 16);
    asm.call(Helper::bpf_get_current_comm);

    asm.load(DW, R1, CONTEXT, REGISTERS.result);
    asm.store(W, EVENT, offset!(EventHeader, ret), R1);
}

/// The constants that select the optional origin of a call. Not every kernel has both helpers; the verifier skips a
/// branch that a constant excludes.
pub(super) struct Origin {
    with_cookie: VariableRef,
    with_cgroup: VariableRef,
}

impl Origin {
    pub(super) fn new(object: &mut ObjectBuilder) -> Self {
        let mut constant = |name| object.variable(".rodata", name, Variable::new(0_u32));
        Self { with_cookie: constant(super::names::WITH_COOKIE), with_cgroup: constant(super::names::WITH_CGROUP) }
    }

    /// Stores the link's cookie, which identifies the file (Linux 5.15), and the process's cgroup (a kernel with
    /// `CONFIG_CGROUPS`).
    fn store(&self, asm: &mut Assembler) {
        let (no_cookie, no_cgroup) = (asm.label("no_cookie"), asm.label("no_cgroup"));
        asm.load_address(R1, self.with_cookie, 0);
        asm.load(W, R1, R1, 0);
        asm.jump_if(Eq, R1, 0, no_cookie);
        asm.mov(R1, CONTEXT);
        asm.call(Helper::bpf_get_attach_cookie);
        asm.store(W, EVENT, offset!(EventHeader, cookie), R0);
        asm.bind(no_cookie);

        asm.load_address(R1, self.with_cgroup, 0);
        asm.load(W, R1, R1, 0);
        asm.jump_if(Eq, R1, 0, no_cgroup);
        asm.call(Helper::bpf_get_current_cgroup_id);
        asm.store(DW, EVENT, offset!(EventHeader, cgroup), R0);
        asm.bind(no_cgroup);
    }
}

/// Reads the string at [`POINTER`] into the event, and sets its bit in [`EventHeader::cut`] if it does not fit.
fn string(asm: &mut Assembler, field: &Field) {
    const BYTE: i16 = CANONNAME;
    let (not_empty, done) = (asm.label("not_empty"), asm.label("string_read"));
    asm.store(B, EVENT, field.offset, 0);
    asm.jump_if(Eq, POINTER, 0, done);
    asm.mov(R1, EVENT);
    asm.add(R1, i32::from(field.offset));
    asm.mov(R2, field.size);
    asm.mov(R3, POINTER);
    asm.call(Helper::bpf_probe_read_user_str);
    // Older kernels, 6.1 among them, return 0 for an empty string and do not count its NUL.
    asm.jump_if(Ne, R0, 0, not_empty);
    asm.mov(R0, 1);
    asm.bind(not_empty);
    asm.store(H, EVENT, field.length, R0);
    asm.jump_if(Ne, R0, field.size, done);
    // The field is full: the string either just fits or was truncated. The caller's byte at the position of the NUL
    // tells which.
    address(asm, R1, BYTE);
    asm.mov(R2, 1);
    asm.mov(R3, POINTER);
    asm.add(R3, field.size - 1);
    asm.call(Helper::bpf_probe_read_user);
    asm.jump_if(Ne, R0, 0, done);
    asm.load(B, R1, R10, BYTE);
    asm.jump_if(Eq, R1, 0, done);
    mark(asm, field.cut);
    asm.bind(done);
}

/// Sets a bit of [`EventHeader::cut`].
#[track_caller]
fn mark(asm: &mut Assembler, bit: u16) {
    asm.load(H, R1, EVENT, offset!(EventHeader, cut));
    asm.or(R1, i32::from(bit));
    asm.store(H, EVENT, offset!(EventHeader, cut), R1);
}

/// Walks the list of the result, if the call succeeded. Destroys the stack's [`Arguments`].
fn list(asm: &mut Assembler) {
    let (next, known, advance) = (asm.label("next"), asm.label("not_the_first"), asm.label("advance"));
    let (broken, walked) = (asm.label("list_cut"), asm.label("walked"));
    asm.load(DW, R3, R10, ARGUMENTS + offset!(Arguments, res));
    asm.mov(SEEN, 0);
    asm.store(DW, R10, CANONNAME, 0);
    asm.load(W, R1, EVENT, offset!(EventHeader, ret));
    asm.jump_if(Ne, R1, 0, walked);
    // *res is the first entry.
    address(asm, R1, ADDRINFO);
    asm.mov(R2, 8);
    asm.call(Helper::bpf_probe_read_user);
    asm.jump_if(Ne, R0, 0, broken);
    asm.load(DW, POINTER, R10, ADDRINFO);

    asm.bind(next);
    asm.jump_if(Eq, POINTER, 0, walked);
    asm.jump_if(Eq, SEEN, i32::from(EventHeader::MOST_ADDRESSES), broken);
    address(asm, R1, ADDRINFO);
    asm.mov(R2, size!(AddrInfo));
    asm.mov(R3, POINTER);
    asm.call(Helper::bpf_probe_read_user);
    asm.jump_if(Ne, R0, 0, broken);
    asm.add(SEEN, 1);
    asm.jump_if(Ne, SEEN, 1, known);
    first_entry(asm);
    asm.bind(known);
    keep_address(asm, advance);
    asm.bind(advance);
    asm.load(DW, POINTER, R10, ADDRINFO + offset!(AddrInfo, next));
    asm.jump(next);

    asm.bind(broken);
    mark(asm, EventHeader::LIST_CUT);
    asm.bind(walked);
    asm.store(H, EVENT, offset!(EventHeader, addresses), SEEN);
}

/// Copies the fields of the list's first entry.
fn first_entry(asm: &mut Assembler) {
    for (from, to) in [
        (offset!(AddrInfo, flags), offset!(EventHeader, ai_flags)),
        (offset!(AddrInfo, family), offset!(EventHeader, ai_family)),
        (offset!(AddrInfo, socktype), offset!(EventHeader, ai_socktype)),
        (offset!(AddrInfo, protocol), offset!(EventHeader, ai_protocol)),
        (offset!(AddrInfo, addrlen), offset!(EventHeader, ai_addrlen)),
    ] {
        asm.load(W, R1, R10, ADDRINFO + from);
        asm.store(W, EVENT, to, R1);
    }
    asm.load(DW, R1, R10, ADDRINFO + offset!(AddrInfo, canonname));
    asm.store(DW, R10, CANONNAME, R1);
}

/// Adds the entry's address to the event, if there is space and its socket type is that of the first entry.
fn keep_address(asm: &mut Assembler, skip: Label) {
    const ADDRESS_SIZE: i32 = size!([u8; 28]);
    let short = asm.label("short");
    asm.load(W, R2, R10, ADDRINFO + offset!(AddrInfo, socktype));
    asm.load(W, R3, EVENT, offset!(EventHeader, ai_socktype));
    asm.jump_if(Ne, R2, R3, skip);
    asm.load(H, R1, EVENT, offset!(EventHeader, kept));
    asm.jump_if(Gt, R1, 3, skip);
    asm.mul(R1, ADDRESS_SIZE);
    asm.add(R1, EVENT);
    asm.add(R1, i32::from(offset!(EventHeader, addrs)));
    asm.load(W, R2, R10, ADDRINFO + offset!(AddrInfo, addrlen));
    asm.jump_if(Le, R2, ADDRESS_SIZE, short);
    asm.mov(R2, ADDRESS_SIZE);
    asm.bind(short);
    asm.load(DW, R3, R10, ADDRINFO + offset!(AddrInfo, addr));
    asm.call(Helper::bpf_probe_read_user);
    asm.jump_if(Ne, R0, 0, skip);
    asm.load(H, R1, EVENT, offset!(EventHeader, kept));
    asm.add(R1, 1);
    asm.store(H, EVENT, offset!(EventHeader, kept), R1);
}
