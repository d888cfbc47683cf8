//! bpf(2): the commands that find the BTF of a module or a program.
//!
//! All loaded BTF has ids; the BTF of a module has the module's name. The kernel has no command that finds an id by
//! name, so all ids are tried. (`kernel/bpf/btf.c`, Linux 5.11.)
#![expect(unsafe_code, reason = "hands addresses to bpf(2)")]

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use super::{
    attr::{BtfInfo, ObjGetInfo, Pointer},
    bpf::{Command, bpf, number},
    ids::{self, Kind},
};

/// Opens the BTF of the module `name`.
pub(crate) fn of_module(name: &str) -> io::Result<OwnedFd> {
    let mut id = 0;
    loop {
        // Fails with ENOENT after the last id.
        id = ids::next(Kind::Btf, id, "walks over all BTF in the kernel, to find that of a module")?;
        let btf = match ids::open(Kind::Btf, id, "opens it") {
            // Removed meanwhile.
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => continue,
            answer => answer?,
        };
        // The kernel has no longer names (`MODULE_NAME_LEN`).
        let mut buffer = [0_u8; 64];
        if is_named(&btf, name, &mut buffer)? {
            return Ok(btf);
        }
    }
}

/// Returns the BTF of a loaded program; `None` if it was loaded without BTF.
#[cfg(feature = "tracing")]
pub(crate) fn of_program(program: BorrowedFd<'_>) -> io::Result<Option<Vec<u8>>> {
    let (info, _) = super::prog_info::with_maps(program)?;
    (info.btf_id != 0).then(|| bytes(info.btf_id)).transpose()
}

fn is_named(btf: &OwnedFd, name: &str, buffer: &mut [u8; 64]) -> io::Result<bool> {
    name_of(btf, buffer).map(|found| found == name.as_bytes())
}

/// Reads the name of BTF: `vmlinux`, that of a module, or nothing for the BTF of an object.
fn name_of<'b>(btf: &OwnedFd, buffer: &'b mut [u8; 64]) -> io::Result<&'b [u8]> {
    let mut info = [BtfInfo { name: Pointer::to_mut(buffer), name_len: buffer.len() as u32, ..BtfInfo::default() }];
    let mut attr = ObjGetInfo {
        bpf_fd: number(btf.as_fd()),
        info_len: size_of::<BtfInfo>() as u32,
        info: Pointer::to_mut(&mut info),
    };
    // SAFETY: the kernel writes at most `info_len` bytes into `info`, and `name_len` bytes where that points; both are
    // borrowed mutably for the call.
    unsafe { bpf(Command::OBJ_GET_INFO_BY_FD, &mut attr, "reads the module's name") }?;
    Ok(buffer.split(|&byte| byte == 0).next().unwrap_or_default())
}

/// Opens the BTF with this id, and returns its name: empty for the BTF of an object (5.11).
pub(crate) fn opened(id: u32) -> io::Result<(OwnedFd, String)> {
    let btf = ids::open(Kind::Btf, id, "opens the types that a program's target is in")?;
    let name = String::from_utf8_lossy(name_of(&btf, &mut [0; 64])?).into_owned();
    Ok((btf, name))
}

/// Returns the bytes of the BTF with this id.
pub(crate) fn bytes(id: u32) -> io::Result<Vec<u8>> {
    read(ids::open(Kind::Btf, id, "opens the types that a program was loaded with")?.as_fd())
}

/// Returns the bytes of BTF, by two calls: the first returns the length.
pub(crate) fn read(btf: BorrowedFd<'_>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    loop {
        let mut info =
            [BtfInfo { btf: Pointer::to_mut(&mut bytes), btf_size: bytes.len() as u32, ..BtfInfo::default() }];
        let mut attr =
            ObjGetInfo { bpf_fd: number(btf), info_len: size_of::<BtfInfo>() as u32, info: Pointer::to_mut(&mut info) };
        // SAFETY: the kernel writes at most `info_len` bytes into `info`, and `btf_size` bytes where `btf` points; both
        // are borrowed mutably for the call.
        unsafe { bpf(Command::OBJ_GET_INFO_BY_FD, &mut attr, "reads the length of the types, then the types") }?;
        let [info] = info;
        let length = info.btf_size as usize;
        if length <= bytes.len() {
            bytes.truncate(length);
            return Ok(bytes);
        }
        bytes.resize(length, 0);
    }
}
