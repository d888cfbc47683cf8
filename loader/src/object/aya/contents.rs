//! Compares the initial contents of two maps.

use crate::object::{Contents, MapSpec};

/// Returns whether two maps of the same size have the same initial bytes. Bytes that are not given are zeroes.
pub(crate) fn is_same_contents(one: &MapSpec, other: &MapSpec) -> bool {
    let whole = |map: &MapSpec| map.contents.as_ref().map(|contents| contents.whole(0).into_owned());
    let is_zero = |map: &MapSpec| map.contents.as_ref().is_none_or(Contents::is_zero);
    if is_zero(one) && is_zero(other) {
        return true;
    }
    let (one, other) = (whole(one).unwrap_or_default(), whole(other).unwrap_or_default());
    let both = one.len().min(other.len());
    let ((one, one_more), (other, other_more)) = (one.split_at(both), other.split_at(both));
    one == other && one_more.iter().chain(other_more).all(|&byte| byte == 0)
}
