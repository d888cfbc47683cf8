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
        BtfLoad, CommonAttr, EnableStats, GetId, IterCreate, LinkCreate, LinkCreateAt, LinkCreateIter,
        LinkCreateKprobeMulti, LinkCreateNetfilter, LinkCreatePerfEvent, LinkCreateTracing, LinkCreateTracingMulti,
        LinkCreateUprobeMulti, LinkDetach, LinkUpdate, MapBatch, MapCreate, MapElem, Obj, ObjGetInfo,
        ProgAssocStructOps, ProgAttach, ProgBindMap, ProgLoad, ProgQuery, ProgStreamRead, ProgTestRun,
        RawTracepointOpen, TaskFdQuery,
    },
    field::{Name, Pointer},
    info::{BtfInfo, LinkInfo, MapInfo, ProgInfo, ProgStatistics},
};
#[cfg(feature = "token")]
pub(crate) use self::{
    commands::{BtfLoadWithToken, TokenCreate},
    info::TokenInfo,
};
