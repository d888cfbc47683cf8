//! bpf(2), the commands that find the BTF of a module in the kernel.
//!
//! The kernel numbers all BTF that is loaded; that of modules has the module's name. There is no way from the name to the
//! number but to ask for each. (`kernel/bpf/btf.c`, Linux 5.11.)
#![expect(unsafe_code, reason = "hands addresses to bpf(2)")]

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use super::{
    attr::{BtfInfo, GetId, ObjGetInfo, Pointer, ProgInfo},
    bpf::{Command, bpf, bpf_fd, number},
};

/// The BTF of the module `name`.
pub(crate) fn of_module(name: &str) -> io::Result<OwnedFd> {
    let mut id = 0;
    loop {
        // ENOENT after the last.
        id = next_id(id)?;
        let btf = match fd_by_id(id) {
            // Gone since.
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => continue,
            answer => answer?,
        };
        // Longer names than this the kernel does not have (MODULE_NAME_LEN).
        let mut buffer = [0_u8; 64];
        if is_named(&btf, name, &mut buffer)? {
            return Ok(btf);
        }
    }
}

/// The BTF of a program in the kernel; `None` if it was loaded without.
pub(crate) fn of_program(program: BorrowedFd<'_>) -> io::Result<Option<Vec<u8>>> {
    let mut info = [ProgInfo::default()];
    let mut attr = ObjGetInfo {
        bpf_fd: number(program),
        info_len: size_of::<ProgInfo>() as u32,
        info: Pointer::to_mut(&mut info),
    };
    // SAFETY: the kernel writes at most `info_len` bytes into `info`, which is borrowed mutably for the call; the addresses
    // and counts in it are 0, which asks for nothing more.
    unsafe { bpf(Command::OBJ_GET_INFO_BY_FD, &mut attr, "asks for the number of a program's types") }?;
    let [info] = info;
    if info.btf_id == 0 {
        return Ok(None);
    }
    let btf = fd_by_id(info.btf_id)?;
    let size = about(&btf, &mut [], "asks how large these types are")?;
    let mut bytes = vec![0; size as usize];
    about(&btf, &mut bytes, "reads them")?;
    Ok(Some(bytes))
}

/// Fills `bytes` with the types themselves, and gives their size.
fn about(btf: &OwnedFd, bytes: &mut [u8], why: &str) -> io::Result<u32> {
    let mut info = [BtfInfo { btf_size: bytes.len() as u32, btf: Pointer::to_mut(bytes), ..BtfInfo::default() }];
    let mut attr = ObjGetInfo {
        bpf_fd: number(btf.as_fd()),
        info_len: size_of::<BtfInfo>() as u32,
        info: Pointer::to_mut(&mut info),
    };
    // SAFETY: the kernel writes at most `info_len` bytes into `info`, and `btf_size` bytes where that points; both are
    // borrowed mutably for the call.
    unsafe { bpf(Command::OBJ_GET_INFO_BY_FD, &mut attr, why) }?;
    let [info] = info;
    Ok(info.btf_size)
}

fn is_named(btf: &OwnedFd, name: &str, buffer: &mut [u8; 64]) -> io::Result<bool> {
    let mut info = [BtfInfo { name: Pointer::to_mut(buffer), name_len: buffer.len() as u32, ..BtfInfo::default() }];
    let mut attr = ObjGetInfo {
        bpf_fd: number(btf.as_fd()),
        info_len: size_of::<BtfInfo>() as u32,
        info: Pointer::to_mut(&mut info),
    };
    // SAFETY: the kernel writes at most `info_len` bytes into `info`, and `name_len` bytes where that points; both are
    // borrowed mutably for the call.
    unsafe { bpf(Command::OBJ_GET_INFO_BY_FD, &mut attr, "asks whose types these are") }?;
    Ok(buffer.split(|&byte| byte == 0).next() == Some(name.as_bytes()))
}

fn next_id(id: u32) -> io::Result<u32> {
    let mut attr = GetId { id, ..GetId::default() };
    // SAFETY: `GetId` holds no address.
    unsafe {
        bpf(Command::BTF_GET_NEXT_ID, &mut attr, "walks over all BTF in the kernel, looking for that of a module")
    }?;
    Ok(attr.next_id)
}

fn fd_by_id(id: u32) -> io::Result<OwnedFd> {
    let mut attr = GetId { id, ..GetId::default() };
    // SAFETY: `GetId` holds no address.
    unsafe { bpf_fd(Command::BTF_GET_FD_BY_ID, &mut attr, "opens it") }
}
