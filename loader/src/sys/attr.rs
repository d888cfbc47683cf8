//! `union bpf_attr`, one structure for each command, written by hand after `include/uapi/linux/bpf.h`.
//!
//! The kernel takes a pointer and a size. It accepts a structure shorter than its own (the rest is zero) and a longer
//! one if all the bytes it does not know are zero, which is how the same program runs on kernels a decade apart. So
//! each structure here ends where our knowledge of the command ends, is made by `Default` with every byte zero, and
//! sets only what it needs.
//!
//! No structure has padding: [`Attr`] is implemented by a macro that checks so, since padding would be uninitialized
//! bytes shown to the kernel.

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
