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

// Each structure belongs to a cargo feature, and the default features are all that have one.
#[cfg(all(test, feature = "default"))]
mod tests;

#[cfg(feature = "network")]
pub(crate) use self::commands::LinkCreateNetfilter;
#[cfg(any(feature = "links", feature = "struct-ops"))]
pub(crate) use self::commands::LinkUpdate;
#[cfg(feature = "elements")]
pub(crate) use self::commands::MapBatch;
#[cfg(any(feature = "perf", feature = "test-run"))]
pub(crate) use self::commands::ProgTestRun;
#[cfg(feature = "tracing")]
pub(crate) use self::commands::{LinkCreateIter, LinkCreateTracing, LinkCreateTracingMulti};
#[cfg(any(feature = "cgroup", feature = "lirc", feature = "network"))]
pub(crate) use self::commands::{ProgAttach, ProgQuery};
pub(super) use self::define::Attr;
#[cfg(any(feature = "info", feature = "tracing", feature = "cgroup", feature = "lirc", feature = "network"))]
pub(crate) use self::info::ProgInfo;
#[cfg(feature = "links")]
pub(crate) use self::{commands::LinkDetach, info::LinkInfo};
pub(crate) use self::{
    commands::{
        BtfLoad, CommonAttr, GetId, IterCreate, LinkCreate, LinkCreateAt, LinkCreateKprobeMulti, LinkCreatePerfEvent,
        LinkCreateUprobeMulti, MapCreate, MapElem, Obj, ObjGetInfo, ProgAssocStructOps, ProgBindMap, ProgLoad,
        RawTracepointOpen, TaskFdQuery,
    },
    field::{Name, Pointer},
    info::{BtfInfo, MapInfo},
};
#[cfg(feature = "token")]
pub(crate) use self::{
    commands::{BtfLoadWithToken, TokenCreate},
    info::TokenInfo,
};
#[cfg(feature = "info")]
pub(crate) use self::{
    commands::{EnableStats, ProgStreamRead},
    info::ProgStatistics,
};
