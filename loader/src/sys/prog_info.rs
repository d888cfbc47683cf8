//! bpf(2): all that `BPF_OBJ_GET_INFO_BY_FD` returns about a program, with its lists.
//!
//! The kernel fills a list if its length and address are given, and returns the whole length in any case. So a first
//! call learns the lengths. Where the caller may not see a list, the kernel sets its address to 0, or its length
//! (`bpf_prog_get_info_by_fd` in `kernel/bpf/syscall.c`). It also returns how many bytes of the structure it knows.
#![expect(unsafe_code, reason = "hands addresses to bpf(2)")]

use std::{io, mem::offset_of, os::fd::BorrowedFd};

use super::{
    attr::{ObjGetInfo, Pointer, ProgInfo},
    bpf::{Command, bpf, number},
    func_info::{bpf_func_info, bpf_line_info},
};
use crate::Instruction;

/// A program's information, without its lists.
pub(crate) struct Info {
    pub(crate) info: ProgInfo,
    /// The bytes of `info` that this kernel knows.
    known: usize,
}

impl Info {
    /// Returns whether this kernel has the field of four bytes at `offset`.
    fn has(&self, offset: usize) -> bool {
        self.known >= offset + 4
    }

    /// Returns the field `verified_insns`, if this kernel has it (5.16).
    pub(crate) fn verified_insns(&self) -> Option<u32> {
        self.has(offset_of!(ProgInfo, verified_insns)).then_some(self.info.verified_insns)
    }

    /// Returns the field `recursion_misses`, if this kernel has it (5.12).
    pub(crate) fn recursion_misses(&self) -> Option<u64> {
        self.has(offset_of!(ProgInfo, recursion_misses) + 4).then_some(self.info.recursion_misses)
    }
}

/// The lists of a program. `None` where the kernel hides one from the caller.
#[derive(Default)]
pub(crate) struct Lists {
    pub(crate) xlated: Option<Vec<Instruction>>,
    pub(crate) jited: Option<Vec<u8>>,
    pub(crate) map_ids: Vec<u32>,
    /// The addresses of the functions' machine code.
    pub(crate) jited_ksyms: Option<Vec<u64>>,
    /// The sizes of the functions' machine code in bytes.
    pub(crate) jited_func_lens: Option<Vec<u32>>,
    pub(crate) func_info: Vec<bpf_func_info>,
    pub(crate) line_info: Vec<bpf_line_info>,
    /// The address of each line's machine code.
    pub(crate) jited_line_info: Option<Vec<u64>>,
}

/// Which lists are read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// The ids of maps.
    Maps,
    /// All lists.
    All,
}

/// Makes the call.
///
/// # Safety
///
/// `program` must be the fd of a program. Each address in `info` must be 0, or valid for writing as many elements as
/// the length beside it says.
unsafe fn query(program: BorrowedFd<'_>, info: ProgInfo, why: &str) -> io::Result<Info> {
    let mut info = [info];
    let mut attr = ObjGetInfo {
        bpf_fd: number(program),
        info_len: size_of::<ProgInfo>() as u32,
        info: Pointer::to_mut(&mut info),
    };
    // SAFETY: the kernel writes at most `info_len` bytes into `info`; the caller vouches for the addresses in it.
    unsafe { bpf(Command::OBJ_GET_INFO_BY_FD, &mut attr, why) }?;
    let [info] = info;
    Ok(Info { info, known: attr.info_len as usize })
}

/// Returns a program's information.
pub(crate) fn plain(program: BorrowedFd<'_>, why: &str) -> io::Result<Info> {
    // SAFETY: the structure holds no address and no length, so the kernel writes into it alone, whatever the fd is of.
    unsafe { query(program, ProgInfo::default(), why) }
}

/// Returns a program's information and its lists.
pub(crate) fn read(program: BorrowedFd<'_>, wanted: Wanted, why: &str) -> io::Result<(Info, Lists)> {
    let mut sizes = plain(program, "reads the lengths of the lists that describe a program")?.info;
    loop {
        let (found, lists) = read_as_long_as(program, &sizes, wanted, why)?;
        // The kernel hides instructions whose constants are blinded, and then writes none of the other lists either,
        // but leaves their addresses and lengths as they were asked for.
        if wanted == Wanted::All && sizes.xlated_prog_len != 0 && lists.xlated.is_none() {
            sizes.xlated_prog_len = 0;
            continue;
        }
        // A map was bound to the program meanwhile.
        if found.info.nr_map_ids as usize <= lists.map_ids.len() {
            return Ok((found, lists));
        }
        sizes.nr_map_ids = found.info.nr_map_ids;
    }
}

/// Reads lists of the lengths in `sizes`.
fn read_as_long_as(program: BorrowedFd<'_>, sizes: &ProgInfo, wanted: Wanted, why: &str) -> io::Result<(Info, Lists)> {
    let all = wanted == Wanted::All;
    let count = |given: u32| if all { given as usize } else { 0 };
    let none = bpf_line_info { insn_off: 0, file_name_off: 0, line_off: 0, line_col: 0 };
    let mut xlated = vec![Instruction::default(); count(sizes.xlated_prog_len) / size_of::<Instruction>()];
    let mut jited = vec![0; count(sizes.jited_prog_len)];
    let mut map_ids = vec![0; sizes.nr_map_ids as usize];
    let mut ksyms = vec![0; count(sizes.nr_jited_ksyms)];
    let mut lens = vec![0; count(sizes.nr_jited_func_lens)];
    let mut func_info = vec![bpf_func_info { insn_off: 0, type_id: 0 }; count(sizes.nr_func_info)];
    let mut line_info = vec![none; count(sizes.nr_line_info)];
    let mut jited_lines = vec![0; count(sizes.nr_jited_line_info)];
    // The kernel requires its own record size wherever there are records.
    let record = |len: usize, size: usize| if len == 0 { 0 } else { size as u32 };
    let asked = ProgInfo {
        jited_prog_len: jited.len() as u32,
        xlated_prog_len: size_of_val(xlated.as_slice()) as u32,
        jited_prog_insns: Pointer::to_mut(&mut jited),
        xlated_prog_insns: Pointer::to_mut(&mut xlated),
        nr_map_ids: map_ids.len() as u32,
        map_ids: Pointer::to_mut(&mut map_ids),
        nr_jited_ksyms: ksyms.len() as u32,
        nr_jited_func_lens: lens.len() as u32,
        jited_ksyms: Pointer::to_mut(&mut ksyms),
        jited_func_lens: Pointer::to_mut(&mut lens),
        func_info_rec_size: record(func_info.len(), size_of::<bpf_func_info>()),
        func_info: Pointer::to_mut(&mut func_info),
        nr_func_info: func_info.len() as u32,
        nr_line_info: line_info.len() as u32,
        line_info: Pointer::to_mut(&mut line_info),
        jited_line_info: Pointer::to_mut(&mut jited_lines),
        nr_jited_line_info: jited_lines.len() as u32,
        line_info_rec_size: record(line_info.len(), size_of::<bpf_line_info>()),
        jited_line_info_rec_size: record(jited_lines.len(), size_of::<u64>()),
        ..ProgInfo::default()
    };
    // SAFETY: the callers have checked that it is a program. Each address is that of a list of this function, which
    // outlives the call, or 0 for an empty list; the length beside it is that of the list, in elements or, for
    // instructions and machine code, in bytes.
    let found = unsafe { query(program, asked, why) }?;
    let info = &found.info;
    map_ids.truncate(info.nr_map_ids as usize);
    let shown = |address: Pointer| address != Pointer::default();
    let lists = Lists {
        // The kernel also sets a length to 0 for a caller that may not see the list.
        xlated: (!xlated.is_empty() && shown(info.xlated_prog_insns)).then_some(xlated),
        jited: (!jited.is_empty() && shown(info.jited_prog_insns)).then_some(jited),
        jited_ksyms: (!ksyms.is_empty() && shown(info.jited_ksyms)).then_some(ksyms),
        jited_func_lens: (!lens.is_empty() && shown(info.jited_func_lens)).then_some(lens),
        jited_line_info: (!jited_lines.is_empty() && shown(info.jited_line_info)).then_some(jited_lines),
        map_ids,
        func_info,
        line_info,
    };
    Ok((found, lists))
}

/// Returns the kernel's information on a program, and the ids of the maps that it uses.
pub(crate) fn with_maps(program: BorrowedFd<'_>) -> io::Result<(ProgInfo, Vec<u32>)> {
    let mut maps = Vec::new();
    loop {
        let mut info =
            [ProgInfo { nr_map_ids: maps.len() as u32, map_ids: Pointer::to_mut(&mut maps), ..ProgInfo::default() }];
        let mut attr = ObjGetInfo {
            bpf_fd: number(program),
            info_len: size_of::<ProgInfo>() as u32,
            info: Pointer::to_mut(&mut info),
        };
        // SAFETY: the kernel writes at most `info_len` bytes into `info`, and at most `nr_map_ids` numbers where
        // `map_ids` points; both are borrowed mutably for the call. All other lengths in `info` are 0.
        unsafe {
            bpf(Command::OBJ_GET_INFO_BY_FD, &mut attr, "reads the type of a program, and the maps that it uses")
        }?;
        let [info] = info;
        let count = info.nr_map_ids as usize;
        if count <= maps.len() {
            maps.truncate(count);
            return Ok((info, maps));
        }
        maps.resize(count, 0);
    }
}
