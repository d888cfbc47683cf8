//! The kernel's facts about a map, and the parser of their text in `/proc`.

/// The kernel's facts about a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) kind: u32,
    pub(super) max_entries: u32,
    pub(super) flags: u32,
}

/// Parses `/proc/PID/fdinfo/FD` of a map; `None` if the fd is not a map.
pub(super) fn facts(text: &str) -> Option<Facts> {
    let (mut kind, mut max_entries, mut flags) = (None, None, None);
    for (name, value) in text.lines().filter_map(|line| line.split_once(":\t")) {
        match name {
            "map_type" => kind = value.parse().ok(),
            "max_entries" => max_entries = value.parse().ok(),
            "map_flags" => flags = u32::from_str_radix(value.strip_prefix("0x")?, 16).ok(),
            _ => {}
        }
    }
    Some(Facts { kind: kind?, max_entries: max_entries?, flags: flags? })
}

#[cfg(test)]
mod tests {
    use super::super::purpose::{F_RB_OVERWRITE, RINGBUF};
    use super::*;

    fn text(kind: &str, entries: &str, flags: &str) -> String {
        format!(
            "pos:\t0\nflags:\t02000002\nmnt_id:\t15\nmap_type:\t{kind}\nkey_size:\t0\nvalue_size:\t0\n\
             max_entries:\t{entries}\nmap_flags:\t{flags}\nmemlock:\t0\nmap_id:\t7\nfrozen:\t0\n"
        )
    }

    #[test]
    fn fdinfo_is_parsed_for_maps_only() {
        let ring = Facts { kind: RINGBUF, max_entries: 4096, flags: F_RB_OVERWRITE };
        assert_eq!(facts(&text("27", "4096", "0x80000")), Some(ring));
        assert_eq!(facts(&text("2", "1", "0x400")), Some(Facts { kind: 2, max_entries: 1, flags: 0x400 }));
        let cut = text("27", "4096", "0x0");
        for text in
            ["", "pos:\t0\nflags:\t0x80000\n", "prog_type:\t27\nmax_entries:\t4096\nmap_flags:\t0x0\n", &cut[..60]]
        {
            assert_eq!(facts(text), None, "{text:?}");
        }
        for (kind, entries, flags) in
            [("x", "1", "0x0"), ("27", "-1", "0x0"), ("27", "1", "-"), ("27", "4294967296", "0x0")]
        {
            assert_eq!(facts(&text(kind, entries, flags)), None, "{kind} {entries} {flags}");
        }
    }
}
