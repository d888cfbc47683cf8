//! The return type of a reader's callback: go on, or end early.

use std::convert::Infallible;
use std::ops::ControlFlow;

/// A return type for the callback of a reader: `()`, which always goes on, or [`ControlFlow`], which can end early with
/// a value.
pub trait IntoControlFlow {
    /// The value to end with; [`Infallible`] for callbacks that always go on.
    type Break;

    /// Converts into the type of the standard library.
    fn into_control_flow(self) -> ControlFlow<Self::Break>;
}

impl IntoControlFlow for () {
    type Break = Infallible;

    #[inline]
    fn into_control_flow(self) -> ControlFlow<Infallible> {
        ControlFlow::Continue(())
    }
}

impl<B> IntoControlFlow for ControlFlow<B> {
    type Break = B;

    #[inline]
    fn into_control_flow(self) -> Self {
        self
    }
}
