//! Checks the size of a perf buffer.

use std::num::NonZero;

use cutaway_sys::memory::page_size;

use crate::error::Error;

/// Returns the number of data pages of a ring of `bytes` bytes: a power of two (`perf_mmap` in `kernel/events/core.c`).
pub(crate) fn data_pages(bytes: u32) -> Result<NonZero<usize>, Error> {
    let (size, page) = (bytes as usize, page_size());
    NonZero::new(size / page)
        .filter(|_| size.is_power_of_two() && size.is_multiple_of(page))
        .ok_or(Error::InvalidSize { bytes: u64::from(bytes), page: page as u64 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn size_must_be_a_power_of_two_of_pages() {
        let page = page_size() as u32;
        for pages in [1, 2, 64] {
            assert_eq!(data_pages(pages * page).unwrap().get(), pages as usize);
        }
        for bytes in [0, 1, 64, page / 2, page + 1, 3 * page, u32::MAX] {
            assert!(
                matches!(data_pages(bytes), Err(Error::InvalidSize { bytes: given, .. }) if given == u64::from(bytes))
            );
        }
    }

    #[test]
    fn error_names_the_nearest_valid_sizes() {
        let advice = |bytes| Error::InvalidSize { bytes, page: 4096 }.to_string();
        assert!(advice(0).ends_with("give 4096"), "{}", advice(0));
        assert!(advice(64).ends_with("give 4096"), "{}", advice(64));
        assert!(advice(12_288).ends_with("give 8192 or 16384"), "{}", advice(12_288));
        assert!(advice(4097).ends_with("give 4096 or 8192"), "{}", advice(4097));
        assert!(advice(u64::from(u32::MAX)).ends_with("give 2147483648"), "{}", advice(u64::from(u32::MAX)));
    }
}
