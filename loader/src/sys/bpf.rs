//! bpf(2): the system call, and a safe function for each command that the loader uses.
//!
//! The system call takes addresses without a check, so it is unsafe. Each command's function builds its structure from
//! slices and fds that are alive during the call, with their own lengths. Commands on map elements, whose lengths only
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

#[cfg(feature = "token")]
use super::attr::BtfLoadWithToken;
use super::attr::{Attr, BtfLoad, CommonAttr, MapCreate, MapInfo, Name, Obj, ObjGetInfo, Pointer, ProgLoad};
use super::constant_names::{LoggedAs, ObjFlagBits, ProgFlagBits, Replacing, Text};
use super::func_info::{bpf_func_info, bpf_line_info};
use crate::ProgramType;

/// The commands of `enum bpf_cmd` that the loader uses.
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
    PROG_QUERY = 16,
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
    LINK_UPDATE = 29,
    LINK_GET_FD_BY_ID = 30,
    LINK_GET_NEXT_ID = 31,
    ENABLE_STATS = 32,
    ITER_CREATE = 33,
    LINK_DETACH = 34,
    PROG_BIND_MAP = 35,
    #[cfg(feature = "token")]
    TOKEN_CREATE = 36,
    PROG_STREAM_READ_BY_FD = 37,
    PROG_ASSOC_STRUCT_OPS = 38,
    /// `BPF_MAP_CREATE` with the flag for common attributes (7.2).
    MAP_CREATE_COMMON_ATTRS = 1 << 16,
}

/// Calls bpf(2) and logs the call.
///
/// # Safety
///
/// Every address in `attr` must be valid for what `command` does with it, reading or writing, for the length that the
/// command takes from `attr` or from the object it works on.
pub(super) unsafe fn bpf<A: Attr>(command: Command, attr: &mut A, why: &str) -> io::Result<i64> {
    // SAFETY: handed on to the caller.
    unsafe { bpf_logged(command, attr, &[], why) }
}

/// As [`bpf`], but logs the data behind some addresses in place of the addresses.
///
/// # Safety
///
/// As for [`bpf`].
pub(super) unsafe fn bpf_logged<A: Attr>(
    command: Command,
    attr: &mut A,
    logged: LoggedAs<'_>,
    why: &str,
) -> io::Result<i64> {
    // SAFETY: `attr` is alive and `size_of::<A>()` bytes long, all of them initialized (`Attr` has no padding); the
    // caller vouches for the addresses in it.
    let value =
        unsafe { libc::syscall(libc::SYS_bpf, command as libc::c_long, std::ptr::from_mut(attr), size_of::<A>()) };
    reported(&Arguments { command, attr, logged, size: size_of::<A>() }, value, why)
}

/// Logs a call and returns its result. A separate function, so that it is compiled once and not for each structure.
fn reported(arguments: &Arguments<'_>, value: libc::c_long, why: &str) -> io::Result<i64> {
    let answer = check(value);
    report("bpf", arguments, &answer, why);
    answer
}

/// As [`bpf`], for commands that return an fd.
///
/// # Safety
///
/// As for [`bpf`]; `command` must return a new fd.
pub(super) unsafe fn bpf_fd<A: Attr>(command: Command, attr: &mut A, why: &str) -> io::Result<OwnedFd> {
    // SAFETY: handed on to the caller.
    unsafe { bpf_fd_logged(command, attr, &[], why) }
}

/// As [`bpf_fd`], but logs the data behind some addresses in place of the addresses.
///
/// # Safety
///
/// As for [`bpf_fd`].
pub(super) unsafe fn bpf_fd_logged<A: Attr>(
    command: Command,
    attr: &mut A,
    logged: LoggedAs<'_>,
    why: &str,
) -> io::Result<OwnedFd> {
    // SAFETY: handed on to the caller.
    let answer = unsafe { bpf_logged(command, attr, logged, why) };
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
    logged: LoggedAs<'a>,
    size: usize,
}

impl kv::Source for Arguments<'_> {
    fn visit<'kvs>(&'kvs self, visitor: &mut dyn kv::VisitSource<'kvs>) -> Result<(), kv::Error> {
        visitor.visit_pair(kv::Key::from_str("cmd"), kv::Value::from_display(&self.command))?;
        self.attr.visit(&mut Replacing { logged: self.logged, visitor })?;
        visitor.visit_pair(kv::Key::from_str("size"), kv::Value::from(self.size))
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MAP_CREATE_COMMON_ATTRS => f.write_str("BPF_MAP_CREATE|BPF_COMMON_ATTRS"),
            _ => write!(f, "BPF_{self:?}"),
        }
    }
}

/// Returns an fd as `bpf_attr` holds it.
pub(crate) fn number(fd: BorrowedFd<'_>) -> u32 {
    fd.as_raw_fd().cast_unsigned()
}

/// `BPF_F_TOKEN_FD`, the same bit for maps, programs and BTF: the structure has the fd of a token (6.9).
#[cfg(feature = "token")]
const TOKEN_FD: u32 = 1 << 16;

/// Creates a map, with the rights of `token`.
pub(crate) fn map_create(attr: MapCreate, token: Option<BorrowedFd<'_>>, why: &str) -> io::Result<OwnedFd> {
    map_create_for(attr, None, token, why)
}

/// The SHA-256 of a program's instructions.
pub(crate) type ProgramHash = [u8; 32];

/// Creates a map, with the rights of `token`, that only the program with this hash may use (6.18), if one is given.
pub(crate) fn map_create_for(
    mut attr: MapCreate,
    program: Option<&ProgramHash>,
    token: Option<BorrowedFd<'_>>,
    why: &str,
) -> io::Result<OwnedFd> {
    set_program(&mut attr, program);
    set_token(&mut attr, token);
    // SAFETY: the only address in `MapCreate` is that of `program`, borrowed for the call, with its length.
    unsafe { bpf_fd(Command::MAP_CREATE, &mut attr, why) }
}

/// Creates a map as [`map_create_for`] does, and has the kernel write the reason of a refusal into `log` (7.2; EINVAL
/// before, without a log).
pub(crate) fn map_create_logged(
    mut attr: MapCreate,
    program: Option<&ProgramHash>,
    token: Option<BorrowedFd<'_>>,
    log: &mut [u8],
    why: &str,
) -> io::Result<OwnedFd> {
    /// `BPF_LOG_LEVEL1`
    const LEVEL: u32 = 1;
    set_program(&mut attr, program);
    set_token(&mut attr, token);
    let mut common = CommonAttr {
        log_size: length(log.len())?,
        log_level: LEVEL,
        log_buf: Pointer::to_mut(log),
        ..CommonAttr::default()
    };
    let command = Command::MAP_CREATE_COMMON_ATTRS;
    let size = size_of::<MapCreate>();
    // SAFETY: both structures are alive, without padding, and as long as said. The address in `attr` is that of
    // `program`, the one in `common` that of `log`; both are borrowed for the call, with their own lengths.
    let value = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command as libc::c_long,
            std::ptr::from_mut(&mut attr),
            size,
            std::ptr::from_mut(&mut common),
            size_of::<CommonAttr>(),
        )
    };
    let answer = reported(&Arguments { command, attr: &attr, logged: &[], size }, value, why);
    // SAFETY: the answer of a command that answers with a new fd.
    unsafe { owned_fd(answer) }
}

/// Sets the only program that may use a new map.
fn set_program(attr: &mut MapCreate, program: Option<&ProgramHash>) {
    if let Some(hash) = program {
        attr.excl_prog_hash = Pointer::to(hash);
        attr.excl_prog_hash_size = hash.len() as u32;
    }
}

/// Sets the token of a new map.
fn set_token(attr: &mut MapCreate, token: Option<BorrowedFd<'_>>) {
    #[cfg(feature = "token")]
    if let Some(token) = token {
        attr.map_flags.0 |= TOKEN_FD;
        attr.map_token_fd = number(token);
    }
    #[cfg(not(feature = "token"))]
    let _ = (attr, token);
}

/// Makes a map read-only for user space, so that the verifier may treat its contents as constants.
pub(crate) fn map_freeze(map: BorrowedFd<'_>, why: &str) -> io::Result<()> {
    let mut attr = super::attr::MapElem { map_fd: number(map), ..Default::default() };
    // SAFETY: the command reads no field but `map_fd`.
    unsafe { bpf(Command::MAP_FREEZE, &mut attr, why) }.map(drop)
}

/// Returns the kernel's information about a map.
pub(crate) fn map_info(map: BorrowedFd<'_>, why: &str) -> io::Result<MapInfo> {
    let mut info = [MapInfo::default()];
    let mut attr =
        ObjGetInfo { bpf_fd: number(map), info_len: size_of::<MapInfo>() as u32, info: Pointer::to_mut(&mut info) };
    // SAFETY: the kernel writes at most `info_len` bytes, the size of `info`, which is plain integers.
    unsafe { bpf(Command::OBJ_GET_INFO_BY_FD, &mut attr, why) }?;
    let [info] = info;
    Ok(info)
}

/// Pins an object in a bpf file system. A relative path is relative to `directory` if there is one (6.5), otherwise to
/// the working directory.
pub(crate) fn obj_pin(
    path: &CStr,
    directory: Option<BorrowedFd<'_>>,
    object: BorrowedFd<'_>,
    why: &str,
) -> io::Result<()> {
    let mut attr = Obj { bpf_fd: number(object), ..at(path, directory) };
    // SAFETY: the path is a C string borrowed for the call, which reads up to its NUL.
    unsafe { bpf_logged(Command::OBJ_PIN, &mut attr, &[("pathname", &Text(path))], why) }.map(drop)
}

/// Opens a pinned object. `directory` is that of [`obj_pin`].
pub(crate) fn obj_get(path: &CStr, directory: Option<BorrowedFd<'_>>, why: &str) -> io::Result<OwnedFd> {
    let mut attr = at(path, directory);
    // SAFETY: as in `obj_pin`; the answer is a new fd.
    unsafe { bpf_fd_logged(Command::OBJ_GET, &mut attr, &[("pathname", &Text(path))], why) }
}

fn at(path: &CStr, directory: Option<BorrowedFd<'_>>) -> Obj {
    /// `BPF_F_PATH_FD`
    const PATH_FD: u32 = 1 << 14;
    Obj {
        pathname: Pointer::to(path.to_bytes_with_nul()),
        file_flags: ObjFlagBits(if directory.is_some() { PATH_FD } else { 0 }),
        path_fd: directory.map_or(0, number),
        ..Obj::default()
    }
}

/// Loads BTF, with the rights of `token`. `log`, if not empty, receives the kernel's log.
pub(crate) fn btf_load(btf: &[u8], token: Option<BorrowedFd<'_>>, log: &mut [u8], why: &str) -> io::Result<OwnedFd> {
    let mut attr = BtfLoad {
        btf: Pointer::to(btf),
        btf_size: length(btf.len())?,
        btf_log_size: length(log.len())?,
        btf_log_level: u32::from(!log.is_empty()),
        btf_log_buf: Pointer::to_mut(log),
        ..Default::default()
    };
    #[cfg(feature = "token")]
    if let Some(token) = token {
        let mut attr = BtfLoadWithToken { load: attr, btf_flags: TOKEN_FD, btf_token_fd: number(token) };
        // SAFETY: as below.
        return unsafe { bpf_fd(Command::BTF_LOAD, &mut attr, why) };
    }
    #[cfg(not(feature = "token"))]
    let _ = token;
    // SAFETY: both addresses are slices borrowed for the call, with their own lengths.
    unsafe { bpf_fd(Command::BTF_LOAD, &mut attr, why) }
}

/// `BPF_F_SLEEPABLE`
pub(crate) const SLEEPABLE: u32 = 1 << 4;

/// The arguments of `BPF_PROG_LOAD`.
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
    /// The BTF of the modules whose functions it calls; instructions refer to them by index, from 1.
    pub(crate) modules: &'a [OwnedFd],
    /// Maps that belong to the program although no instruction refers to them (6.14).
    #[cfg(feature = "load-options")]
    pub(crate) bound: &'a [BorrowedFd<'a>],
}

/// An attach target, by its BTF id.
#[derive(Clone, Copy, Default)]
pub(crate) struct BtfTarget<'a> {
    /// The BTF id of the type; 0 for programs without such a target.
    pub(crate) id: u32,
    /// The owner of the id: the BTF of a module, or the program to be replaced; `None` for vmlinux.
    pub(crate) of: Option<BorrowedFd<'a>>,
}

/// The program's part of `.BTF.ext`, with the kernel's record layouts.
#[derive(Clone, Copy)]
pub(crate) struct Info<'a> {
    pub(crate) fd: BorrowedFd<'a>,
    pub(crate) func_info: &'a [bpf_func_info],
    pub(crate) line_info: &'a [bpf_line_info],
}

/// The verifier's log level (`include/linux/bpf_verifier.h`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum LogLevel {
    /// Each verified instruction, then the reason of a refusal: `BPF_LOG_LEVEL1`.
    Steps = 1,
    /// Only the reason of a refusal, and statistics: `BPF_LOG_STATS` (5.2).
    Reason = 4,
    /// Each verified instruction, and statistics: `BPF_LOG_LEVEL2`. (With `BPF_LOG_LEVEL1` the kernel empties the log
    /// of a program that it accepts: `pop_log` in `kernel/bpf/verifier.c`.)
    #[cfg(feature = "load-options")]
    StepsAndStatistics = 2 | 4,
}

/// Loads a program, with the rights of `token`. `log`, if not empty, receives the verifier's log.
pub(crate) fn prog_load(
    program: &Program<'_>,
    token: Option<BorrowedFd<'_>>,
    level: LogLevel,
    log: &mut [u8],
    why: &str,
) -> io::Result<OwnedFd> {
    #[cfg(feature = "load-options")]
    let bound = program.bound;
    #[cfg(not(feature = "load-options"))]
    let bound: &[BorrowedFd<'_>] = &[];
    // Index 0 means vmlinux; the kernel does not use the fd there. But if it is given the length of the array, it
    // requires an fd there, which then is that of the first map.
    let (first, others) = bound.split_first().map_or((0, bound), |(first, rest)| (number(*first), rest));
    let modules = program.modules.iter().map(|fd| number(fd.as_fd()));
    let fds: Vec<u32> = std::iter::once(first).chain(modules).chain(others.iter().copied().map(number)).collect();
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
        fd_array: if fds.len() == 1 && bound.is_empty() { Pointer::default() } else { Pointer::to(&fds) },
        fd_array_cnt: if bound.is_empty() { 0 } else { length(fds.len())? },
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
    #[cfg(feature = "token")]
    if let Some(token) = token {
        attr.prog_flags.0 |= TOKEN_FD;
        attr.prog_token_fd = number(token);
    }
    #[cfg(not(feature = "token"))]
    let _ = token;
    // SAFETY: every address is a slice borrowed for the call, every count its own length and every record size that of
    // its elements; the license ends with its NUL; the list of fds is as long as the highest index in it that
    // an instruction names, which `link` has taken from the same list; the kernel writes into `log` alone, at most
    // `log_size` bytes.
    unsafe { bpf_fd_logged(Command::PROG_LOAD, &mut attr, &[("license", &Text(program.license))], why) }
}

pub(super) fn length(len: usize) -> io::Result<u32> {
    u32::try_from(len).map_err(|_| io::Error::from_raw_os_error(libc::E2BIG))
}

/// Returns the size of a record; 0 if there are no records, since the kernel refuses a size without records.
fn record_size<T>(records: &[T]) -> u32 {
    if records.is_empty() { 0 } else { size_of::<T>() as u32 }
}
