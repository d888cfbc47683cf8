//! `struct_ops`: programs that implement functions of the kernel.
//!
//! The kernel calls some of its parts through a structure of function pointers, such as TCP's congestion control. A map
//! of type `STRUCT_OPS` is such a structure, with programs as functions. The kernel wraps each supported structure into
//! one of its own, whose name has a fixed prefix:
//!
//! ```text
//!     struct bpf_struct_ops_tcp_congestion_ops
//!         common   reference count and state
//!         data     struct tcp_congestion_ops      with the programs' fds as function pointers
//! ```
//!
//! The object has its own declaration of the structure, often with few of the members and in another order. So before
//! loading, each member is found by name in the kernel's structure and moved to its offset there. A program is loaded
//! for a structure and a member's index (`attach_btf_id`, `expected_attach_type`), since the verifier checks it against
//! that member's prototype. (`kernel/bpf/bpf_struct_ops.c`, Linux 5.6; links 6.4; modules 6.9.)

#[cfg(feature = "struct-ops")]
pub(super) mod tables;

use std::{os::fd::OwnedFd, sync::Arc};

use crate::{Error, elf::Start};

/// A struct_ops map in the kernel's layout.
#[derive(Debug, Clone)]
pub(crate) struct Fitted {
    /// The BTF id of the wrapping structure.
    pub(crate) value_type_id: u32,
    /// The BTF of the module that the id belongs to; `None` for vmlinux.
    pub(crate) module: Option<Arc<OwnedFd>>,
    /// The map's value, without programs.
    value: Vec<u8>,
    /// The offsets of programs' fds in the value.
    programs: Vec<(usize, Start)>,
    pub(crate) has_link_flag: bool,
}

/// The struct_ops maps of an object in the kernel's layout.
#[derive(Debug, Default)]
pub(crate) struct StructOps {
    /// By the map's index.
    maps: Vec<(usize, Fitted)>,
    /// The members that programs implement, by the program's start.
    members: Vec<(Start, Member)>,
    /// Programs that no map uses, by start.
    unused: Vec<Start>,
}

/// The member that a struct_ops program implements.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    /// The BTF id of the structure.
    pub(crate) structure: u32,
    /// The index of the member, which the kernel takes as the attach type.
    pub(crate) index: u32,
    /// The BTF of the module that the id belongs to; `None` for vmlinux.
    pub(crate) module: Option<Arc<OwnedFd>>,
}

impl StructOps {
    /// Returns the map with this index in the kernel's layout; `None` for maps of other types.
    pub(crate) fn map(&self, index: usize) -> Option<&Fitted> {
        self.maps.iter().find(|(known, _)| *known == index).map(|(_, fitted)| fitted)
    }

    /// Returns the member that the program with this start implements; `None` for programs of other types.
    pub(crate) fn member(&self, start: Start) -> Option<&Member> {
        self.members.iter().find(|(known, _)| *known == start).map(|(_, member)| member)
    }

    /// Returns whether no map uses this program of a section `struct_ops`.
    pub(crate) fn is_unused(&self, start: Start) -> bool {
        self.unused.contains(&start)
    }
}

impl Fitted {
    /// Returns the size of the value in bytes.
    pub(crate) fn size(&self) -> u32 {
        self.value.len() as u32
    }

    /// Returns the map's value with the fds of its programs, as wide as the kernel's pointers. If `fd` returns `None`,
    /// the program is not loaded, and the member stays 0: a function that the map does not implement.
    pub(crate) fn value(&self, fd: impl Fn(Start) -> Result<Option<i32>, Error>) -> Result<Vec<u8>, Error> {
        let mut value = self.value.clone();
        for &(offset, start) in &self.programs {
            let Some(fd) = fd(start)? else { continue };
            let word = value.get_mut(offset..offset + 8);
            let beyond = || Error::bug("a program lies outside its struct_ops value");
            word.ok_or_else(beyond)?.copy_from_slice(&i64::from(fd).to_ne_bytes());
        }
        Ok(value)
    }
}
