//! bpf(2), the commands that find the BTF of a module in the kernel.
//!
//! The kernel numbers all BTF that is loaded; that of modules has the module's name. There is no way from the name to the
//! number but to ask for each. (`kernel/bpf/btf.c`, Linux 5.11.)
#![expect(unsafe_code, reason = "hands addresses to bpf(2)")]

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
};

use super::{
    attr::{BtfInfo, GetId, ObjGetInfo, Pointer},
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
