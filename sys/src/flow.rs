//! What a callback returns to say whether to go on.

use std::convert::Infallible;
use std::ops::ControlFlow;

/// What the callback of a reader may return: nothing, which goes on, or [`ControlFlow`], which ends early with a value.
pub trait IntoControlFlow {
    /// The value to end with; [`Infallible`] for callbacks that always go on.
    type Break;

    /// Converts into the standard library's type.
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
