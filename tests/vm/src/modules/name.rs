//! Names of modules.

/// Returns a module's name as the kernel writes it: in the name of a file, `-` and `_` are the same.
pub(super) fn normal(name: &str) -> String {
    name.replace('-', "_")
}
