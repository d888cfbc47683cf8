//! Ring buffers of other processes.
//!
//! ```text
//!     mapped.rs     one ring, its pages mapped read-only
//!     snapshot.rs   positions and headers at one moment, a plain value
//!     lost.rs       lost records, as the ring's programs count them
//!     show.rs       a snapshot as text or JSON
//!     live.rs       repeated snapshots of a ring
//! ```

mod live;
mod lost;
mod mapped;
mod show;
mod snapshot;

#[cfg(test)]
pub(crate) use self::snapshot::tests::ring as sample;
pub(crate) use self::{
    live::LiveRing,
    lost::Lost,
    mapped::Ring,
    show::{gauge, json, once as show, table},
    snapshot::{Mode, Snapshot, State, UnreadRecord},
};
