//! Handles: returned by the builders to refer to a label, a map, a variable or a function.
//!
//! A handle is an index into a list of the builder that created it, with that builder's identity. So a handle that is
//! used with another builder is detected, and does not silently refer to something else there.

use std::sync::atomic::{AtomicU64, Ordering};

/// The identity of the builder that created a handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owner(u64);

impl Owner {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        // ATOMICS: pairs with nothing; all that matters is that no two calls get the same number.
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// A location in a function that a jump can go to. Created by [`Assembler::label`](crate::Assembler::label) of the same
/// assembler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Label {
    pub(crate) owner: Owner,
    pub(crate) index: usize,
    pub(crate) name: &'static str,
}

macro_rules! handles {
    ($($(#[$doc:meta])* $name:ident;)*) => { $(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name {
            pub(crate) owner: Owner,
            pub(crate) index: usize,
        }
    )* };
}

handles! {

    /// A map of an object. Created by [`ObjectBuilder::map`](crate::ObjectBuilder::map).
    MapRef;
    /// A global variable of an object. Created by [`ObjectBuilder::variable`](crate::ObjectBuilder::variable).
    VariableRef;
    /// A function that others can call. Created by [`ObjectBuilder::function`](crate::ObjectBuilder::function).
    FunctionRef;
}
