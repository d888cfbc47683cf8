//! `union bpf_attr`: a structure for each command, after `include/uapi/linux/bpf.h`.
//!
//! The kernel takes a pointer and a size. It accepts a structure shorter than its own and treats the rest as zero. It
//! accepts a longer one if all bytes that it does not know are zero. So the same program runs on old and new kernels.
//! Each structure here ends with the last field that this crate uses, is zero by `Default`, and sets only the fields
//! that it needs.
//!
//! No structure has padding, since padding would pass uninitialized bytes to the kernel: the macro that implements
//! [`Attr`] checks this.

mod commands;
mod define;
mod field;
mod info;

#[cfg(test)]
mod tests;

pub(super) use self::define::Attr;
pub(crate) use self::{
    commands::{
        BtfLoad, EnableStats, GetId, IterCreate, LinkCreate, LinkCreateIter, LinkCreateKprobeMulti,
        LinkCreateNetfilter, LinkCreatePerfEvent, LinkCreateTracing, LinkCreateUprobeMulti, MapBatch, MapCreate,
        MapElem, Obj, ObjGetInfo, ProgAttach, ProgLoad, ProgTestRun, ProgTestRunOn, RawTracepointOpen, TaskFdQuery,
    },
    field::{Name, Pointer},
    info::{BtfInfo, MapInfo, ProgInfo, ProgStatistics},
};
#[cfg(feature = "token")]
pub(crate) use self::{
    commands::{BtfLoadWithToken, ProgLoadWithToken, TokenCreate},
    info::TokenInfo,
};
