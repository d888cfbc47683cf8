//! bpf(2): the one call, and a safe function for each command the loader uses.
//!
//! The call takes addresses and believes them, so it is unsafe; each command's function builds its structure from
//! slices and fds that are alive during the call and lengths that are theirs. Map elements, whose lengths only
//! the kernel knows, are in [`elements`](super::elements).
#![expect(unsafe_code, reason = "the system call itself")]

use std::{
    ffi::CStr,
    fmt, io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
};

use log::kv;

use cutaway_sys::{
    AttachType, Instruction,
    report::{check, report},
};

use super::attr::{Attr, BtfLoad, MapCreate, MapInfo, Name, Obj, ObjGetInfo, Pointer, ProgLoad};
use super::constant_names::{Behind, ProgFlagBits, Text, Told};
use super::func_info::{bpf_func_info, bpf_line_info};
use crate::ProgramType;

/// `enum bpf_cmd`, as far as the loader uses it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(non_camel_case_types, reason = "the kernel's names")]
pub(super) enum Command {
    MAP_CREATE = 0,
    MAP_LOOKUP_ELEM = 1,
    MAP_UPDATE_ELEM = 2,
    MAP_DELETE_ELEM = 3,
    MAP_GET_NEXT_KEY = 4,
    PROG_LOAD = 5,
    OBJ_PIN = 6,
    OBJ_GET = 7,
    PROG_ATTACH = 8,
    PROG_DETACH = 9,
    PROG_TEST_RUN = 10,
    PROG_GET_NEXT_ID = 11,
    MAP_GET_NEXT_ID = 12,
    PROG_GET_FD_BY_ID = 13,
    MAP_GET_FD_BY_ID = 14,
    OBJ_GET_INFO_BY_FD = 15,
    RAW_TRACEPOINT_OPEN = 17,
    BTF_LOAD = 18,
    BTF_GET_FD_BY_ID = 19,
    TASK_FD_QUERY = 20,
    MAP_LOOKUP_AND_DELETE_ELEM = 21,
    MAP_FREEZE = 22,
    BTF_GET_NEXT_ID = 23,
    MAP_LOOKUP_BATCH = 24,
    MAP_LOOKUP_AND_DELETE_BATCH = 25,
    MAP_UPDATE_BATCH = 26,
    MAP_DELETE_BATCH = 27,
    LINK_CREATE = 28,
    ENABLE_STATS = 32,
    ITER_CREATE = 33,
}

/// Calls bpf(2) and reports it.
///
/// # Safety
///
/// Every address in `attr` must be valid for what `command` does with it, reading or writing, for the length that the
/// command takes from `attr` or from the object it works on.
pub(super) unsafe fn bpf<A: Attr>(command: Command, attr: &mut A, why: &str) -> io::Result<i64> {
    // SAFETY: handed on to the caller.
    unsafe { bpf_telling(command, attr, &[], why) }
}

/// As [`bpf`], reporting what is behind some of the addresses instead of these.
///
/// # Safety
///
/// As for [`bpf`].
pub(super) unsafe fn bpf_telling<A: Attr>(
    command: Command,
    attr: &mut A,
    told: Told<'_>,
    why: &str,
) -> io::Result<i64> {
    // SAFETY: `attr` is alive and `size_of::<A>()` bytes long, all of them initialised (`Attr` has no padding); the
    // caller vouches for the addresses in it.
    let value =
        unsafe { libc::syscall(libc::SYS_bpf, command as libc::c_long, std::ptr::from_mut(attr), size_of::<A>()) };
    reported(&Arguments { command, attr, told, size: size_of::<A>() }, value, why)
}

/// Apart, so that it is there once and not for each structure.
fn reported(arguments: &Arguments<'_>, value: libc::c_long, why: &str) -> io::Result<i64> {
    let answer = check(value);
    report("bpf", arguments, &answer, why);
    answer
}

/// As [`bpf`], for the commands that answer with an fd.
///
/// # Safety
///
/// As for [`bpf`]; `command` must be one that answers with a new fd.
pub(super) unsafe fn bpf_fd<A: Attr>(command: Command, attr: &mut A, why: &str) -> io::Result<OwnedFd> {
    // SAFETY: handed on to the caller.
    unsafe { bpf_fd_telling(command, attr, &[], why) }
}

/// As [`bpf_fd`], reporting what is behind some of the addresses instead of these.
///
/// # Safety
///
/// As for [`bpf_fd`].
pub(super) unsafe fn bpf_fd_telling<A: Attr>(
    command: Command,
    attr: &mut A,
    told: Told<'_>,
    why: &str,
) -> io::Result<OwnedFd> {
    // SAFETY: handed on to the caller.
    let answer = unsafe { bpf_telling(command, attr, told, why) };
    // SAFETY: the answer of a command that answers with a new fd.
    unsafe { owned_fd(answer) }
}

/// Owns the file descriptor that the kernel has returned.
///
/// # Safety
///
/// If `answer` is `Ok`, it must be a valid fd that nothing else owns.
unsafe fn owned_fd(answer: io::Result<i64>) -> io::Result<OwnedFd> {
    let fd = RawFd::try_from(answer?).map_err(io::Error::other)?;
    // SAFETY: handed on to the caller.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

struct Arguments<'a> {
    command: Command,
    attr: &'a dyn kv::Source,
    told: Told<'a>,
    size: usize,
}

impl kv::Source for Arguments<'_> {
    fn visit<'kvs>(&'kvs self, visitor: &mut dyn kv::VisitSource<'kvs>) -> Result<(), kv::Error> {
        visitor.visit_pair(kv::Key::from_str("cmd"), kv::Value::from_display(&self.command))?;
        self.attr.visit(&mut Behind { told: self.told, visitor })?;
        visitor.visit_pair(kv::Key::from_str("size"), kv::Value::from(self.size))
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BPF_{self:?}")
    }
}

/// An fd as `bpf_attr` holds it.
pub(crate) fn number(fd: BorrowedFd<'_>) -> u32 {
    fd.as_raw_fd().cast_unsigned()
}

/// Creates a map.
pub(crate) fn map_create(attr: MapCreate, why: &str) -> io::Result<OwnedFd> {
    // SAFETY: `MapCreate` holds no address.
    unsafe { bpf_fd(Command::MAP_CREATE, &mut { attr }, why) }
}

/// Makes a map read-only for user space, so that the verifier may take its contents for constants.
pub(crate) fn map_freeze(map: BorrowedFd<'_>, why: &str) -> io::Result<()> {
    let mut attr = super::attr::MapElem { map_fd: number(map), ..Default::default() };
    // SAFETY: the command looks at nothing but `map_fd`.
    unsafe { bpf(Command::MAP_FREEZE, &mut attr, why) }.map(drop)
}

/// What the kernel made of a map.
pub(crate) fn map_info(map: BorrowedFd<'_>, why: &str) -> io::Result<MapInfo> {
    let mut info = [MapInfo::default()];
    let mut attr =
        ObjGetInfo { bpf_fd: number(map), info_len: size_of::<MapInfo>() as u32, info: Pointer::to_mut(&mut info) };
    // SAFETY: the kernel writes at most `info_len` bytes, the size of `info`, which is plain integers.
    unsafe { bpf(Command::OBJ_GET_INFO_BY_FD, &mut attr, why) }?;
    let [info] = info;
    Ok(info)
}

/// Gives an object a name in a bpf file system.
pub(crate) fn obj_pin(path: &CStr, object: BorrowedFd<'_>, why: &str) -> io::Result<()> {
    let mut attr =
        Obj { pathname: Pointer::to(path.to_bytes_with_nul()), bpf_fd: number(object), ..Default::default() };
    // SAFETY: the path is a C string borrowed for the call, which reads up to its NUL.
    unsafe { bpf_telling(Command::OBJ_PIN, &mut attr, &[("pathname", &Text(path))], why) }.map(drop)
}

/// Opens an object by its name in a bpf file system.
pub(crate) fn obj_get(path: &CStr, why: &str) -> io::Result<OwnedFd> {
    let mut attr = Obj { pathname: Pointer::to(path.to_bytes_with_nul()), ..Default::default() };
    // SAFETY: as in `obj_pin`; the answer is a new fd.
    unsafe { bpf_fd_telling(Command::OBJ_GET, &mut attr, &[("pathname", &Text(path))], why) }
}

/// Loads BTF. `log`, if not empty, receives what the kernel has to say about it.
pub(crate) fn btf_load(btf: &[u8], log: &mut [u8], why: &str) -> io::Result<OwnedFd> {
    let mut attr = BtfLoad {
        btf: Pointer::to(btf),
        btf_size: length(btf.len())?,
        btf_log_size: length(log.len())?,
        btf_log_level: u32::from(!log.is_empty()),
        btf_log_buf: Pointer::to_mut(log),
        ..Default::default()
    };
    // SAFETY: both addresses are slices borrowed for the call, with their own lengths.
    unsafe { bpf_fd(Command::BTF_LOAD, &mut attr, why) }
}

/// What `BPF_PROG_LOAD` needs to know about a program.
#[derive(Clone, Copy)]
pub(crate) struct Program<'a> {
    pub(crate) program_type: ProgramType,
    pub(crate) expected_attach_type: AttachType,
    pub(crate) flags: u32,
    pub(crate) name: &'a str,
    pub(crate) instructions: &'a [Instruction],
    pub(crate) license: &'a CStr,
    pub(crate) kernel_version: u32,
    pub(crate) btf: Option<Info<'a>>,
    pub(crate) target: BtfTarget<'a>,
    /// The BTF of modules whose functions it calls; an instruction names the first of them by 1.
    pub(crate) modules: &'a [OwnedFd],
}

/// What a program is attached to, by its BTF id.
#[derive(Clone, Copy, Default)]
pub(crate) struct BtfTarget<'a> {
    /// The BTF id of the type; 0 for programs that are attached to something else.
    pub(crate) id: u32,
    /// What the id belongs to: the BTF of a module, or the program to be replaced; `None` for the kernel's own BTF.
    pub(crate) of: Option<BorrowedFd<'a>>,
}

/// The program's part of `.BTF.ext`, record by record as the kernel wants it.
#[derive(Clone, Copy)]
pub(crate) struct Info<'a> {
    pub(crate) fd: BorrowedFd<'a>,
    pub(crate) func_info: &'a [bpf_func_info],
    pub(crate) line_info: &'a [bpf_line_info],
}

/// How much the verifier writes into its log (`include/linux/bpf_verifier.h`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum LogLevel {
    /// Each step of its walk, then why it refuses the program: `BPF_LOG_LEVEL1`.
    Steps = 1,
    /// Only why it refuses the program, and statistics: `BPF_LOG_STATS` (5.2).
    Reason = 4,
}

/// Loads a program. `log`, if not empty, receives the verifier's log.
pub(crate) fn prog_load(program: &Program<'_>, level: LogLevel, log: &mut [u8], why: &str) -> io::Result<OwnedFd> {
    // 0 stands for the kernel's own BTF; nothing is looked up there.
    let modules: Vec<u32> = std::iter::once(0).chain(program.modules.iter().map(|fd| number(fd.as_fd()))).collect();
    let mut attr = ProgLoad {
        prog_type: program.program_type,
        insn_cnt: length(program.instructions.len())?,
        insns: Pointer::to(program.instructions),
        license: Pointer::to(program.license.to_bytes_with_nul()),
        log_level: if log.is_empty() { 0 } else { level as u32 },
        log_size: length(log.len())?,
        log_buf: Pointer::to_mut(log),
        kern_version: program.kernel_version,
        prog_flags: ProgFlagBits(program.flags),
        prog_name: Name::cut(program.name),
        expected_attach_type: program.expected_attach_type,
        attach_btf_id: program.target.id,
        attach_btf_obj_fd: program.target.of.map_or(0, number),
        fd_array: if program.modules.is_empty() { Pointer::default() } else { Pointer::to(&modules) },
        ..Default::default()
    };
    if let Some(info) = program.btf {
        attr.prog_btf_fd = number(info.fd);
        attr.func_info_rec_size = record_size(info.func_info);
        attr.func_info = Pointer::to(info.func_info);
        attr.func_info_cnt = length(info.func_info.len())?;
        attr.line_info_rec_size = record_size(info.line_info);
        attr.line_info = Pointer::to(info.line_info);
        attr.line_info_cnt = length(info.line_info.len())?;
    }
    // SAFETY: every address is a slice borrowed for the call, every count its own length and every record size that of
    // its elements; the license ends with its NUL; the list of fds is as long as the highest index in it that
    // an instruction names, which `link` has taken from the same list; the kernel writes into `log` alone, at most
    // `log_size` bytes.
    unsafe { bpf_fd_telling(Command::PROG_LOAD, &mut attr, &[("license", &Text(program.license))], why) }
}

pub(super) fn length(len: usize) -> io::Result<u32> {
    u32::try_from(len).map_err(|_| io::Error::from_raw_os_error(libc::E2BIG))
}

/// The size of a record, or 0 where there is none: the kernel refuses a size without records.
fn record_size<T>(records: &[T]) -> u32 {
    if records.is_empty() { 0 } else { size_of::<T>() as u32 }
}
