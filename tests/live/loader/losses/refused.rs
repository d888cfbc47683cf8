//! Objects that load without counting, or have nothing to count.

use crate::harness::Test;

pub(crate) fn tests() -> Vec<Test> {
    vec![]
}
