//! Names of maps and processes, of which the kernel keeps the first bytes.

use crate::pattern::Pattern;

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
pub(super) fn comm(pattern: &str) -> Result<Pattern, String> {
    match Pattern::new(pattern) {
        _ if pattern.is_empty() => Err("must not be empty".to_owned()),
        exact if !exact.has_wildcards() => Ok(Pattern::new(&kept(pattern))),
        pattern => Ok(pattern),
    }
}
