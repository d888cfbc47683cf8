//! Checks the size of a ring.

use crate::error::Error;

/// Returns the size of the ring and of a page, in bytes. Errors if a ring cannot have that size.
pub(crate) fn checked(bytes: u32) -> Result<(usize, usize), Error> {
    let page = cutaway_sys::memory::page_size();
    let size = bytes as usize;
    if !size.is_power_of_two() || !size.is_multiple_of(page) {
        return Err(Error::InvalidSize { bytes: u64::from(bytes), page: page as u64 });
    }
    Ok((size, page))
}
