//! A test that is ignored for a reason of its own, found when its turn comes.

use libtest_mimic::{Completion, Trial};

/// A test that fails by panicking, ignored if there is an obstacle.
pub(crate) fn ignorable(
    name: impl Into<String>,
    obstacle: impl FnOnce() -> Option<String> + Send + 'static,
    test: impl FnOnce() + Send + 'static,
) -> Trial {
    Trial::ignorable_test(name, move || {
        Ok(match obstacle() {
            Some(why) => Completion::ignored_with(why),
            None => {
                test();
                Completion::Completed
            }
        })
    })
}
