//! Which sizes a ring can have.

use crate::error::Error;

/// The size of a ring and of a page, if a ring can have that size.
pub(crate) fn checked(bytes: u32) -> Result<(usize, usize), Error> {
    let page = cutaway_sys::memory::page_size();
    let size = bytes as usize;
    if !size.is_power_of_two() || !size.is_multiple_of(page) {
        return Err(Error::InvalidSize { bytes: u64::from(bytes), page: page as u64 });
    }
    Ok((size, page))
}
