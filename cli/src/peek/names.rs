//! Names of maps and processes, of which the kernel keeps the first bytes.

use cutaway_programs::getaddrinfo::HostGlob;

/// Bytes of a name that the kernel keeps (`BPF_OBJ_NAME_LEN` and `TASK_COMM_LEN`, without the NUL).
pub(super) const NAME: usize = 15;

/// Returns the part of a name that the kernel keeps.
pub(super) fn kept(name: &str) -> String {
    let within = |bytes: &mut usize, c: char| {
        *bytes += c.len_utf8();
        (*bytes <= NAME).then_some(c)
    };
    name.chars().scan(0, within).collect()
}

/// Parses a pattern of `--comm`. The kernel keeps 15 bytes of a name, so a longer name without wildcards is cut.
pub(super) fn comm(pattern: &str) -> Result<HostGlob, String> {
    let pattern = if pattern.contains(['*', '?']) { pattern.to_owned() } else { kept(pattern) };
    HostGlob::new(&pattern).map_err(|error| error.to_string())
}
