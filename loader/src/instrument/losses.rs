//! Counts the records that a buffer refused, by map and by call site.
//!
//! ```text
//!     map_arguments.rs   the map that each call passes        sites.rs      the call sites of an object
//!     counters.rs        the inserted instructions            counts.rs     Losses: reads the counts
//! ```

mod counters;
mod counts;
mod map_arguments;
mod sites;

pub(super) use self::{
    counters::{Form, NAME},
    counts::{LossCounting, insert},
    sites::Sites,
};
pub use self::{
    counts::{LossSite, Losses, MapLosses},
    sites::SourceLine,
};
