//! The mappings of buffers in this process, as the kernel lists them in `/proc/self/maps`.

use std::{fs, ops::Range};

use super::bench::Obstacle;

/// Returns the addresses of this process's shared mappings of files whose name contains `name`.
pub(super) fn of(name: &str) -> Result<Vec<Range<usize>>, Obstacle> {
    // File names may have any bytes.
    let maps = fs::read("/proc/self/maps")
        .map_err(|error| Obstacle::because(format!("/proc/self/maps cannot be read: {error}")))?;
    Ok(parse(&String::from_utf8_lossy(&maps), name))
}

/// Parses lines such as `7f00-7f10 rw-s 00000000 00:0e 1057 anon_inode:bpf-map`.
fn parse(maps: &str, name: &str) -> Vec<Range<usize>> {
    let range = |line: &str| {
        let mut words = line.split_whitespace();
        let (start, end) = words.next()?.split_once('-')?;
        let shared = words.next()?.ends_with('s');
        let named = words.nth(3).is_some_and(|file| file.contains(name));
        let address = |text| usize::from_str_radix(text, 16).ok();
        (shared && named).then_some(address(start)?..address(end)?)
    };
    maps.lines().filter_map(range).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mappings_are_found_by_name_and_only_if_shared() {
        let maps = "1000-2000 rw-s 00000000 00:0e 7  anon_inode:bpf-map\n\
                    3000-4000 r--p 00000000 00:0e 7  anon_inode:bpf-map\n\
                    5000-6000 rw-s 00000000 00:0e 7  anon_inode:[perf_event]\n\
                    7000-8000 rw-p 00000000 00:00 0\n";
        let one = |start, end| vec![Range { start, end }];
        assert_eq!(parse(maps, "bpf-map"), one(0x1000, 0x2000));
        assert_eq!(parse(maps, "perf_event"), one(0x5000, 0x6000));
    }
}
