//! The extent of tests that repeat something many times.

/// Returns `many` on a machine, and `few` in a guest of the VM runner.
///
/// An emulated guest is ten to fifty times slower, and its CPUs take turns on one thread: more repetitions there take
/// minutes, and show nothing that the many on a machine do not show.
pub(crate) fn repetitions<T>(many: T, few: T) -> T {
    if std::env::var_os("CUTAWAY_VM").is_some() { few } else { many }
}
