//! The variables with which cargo builds for another architecture: `rust-lld`, which rustup installs with Rust, links
//! against the sysroot.

use std::path::Path;

use crate::arch::Arch;
use crate::error::{Error, Result};
use crate::tool::Tool;

const RUSTC: &str = "install Rust: it is needed to build for another architecture";

/// Returns the name of one of cargo's variables for a target: `CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER`.
fn variable(arch: Arch, end: &str) -> String {
    format!("CARGO_TARGET_{}_{end}", arch.target().replace('-', "_").to_uppercase())
}

/// Returns the name of the variable that names cargo's runner for the test binaries of an architecture.
pub(crate) fn runner(arch: Arch) -> String {
    variable(arch, "RUNNER")
}

/// Returns the variables for cargo. A linker that the user chose stays the linker, with its own libraries.
pub(super) fn variables(arch: Arch, sysroot: Option<&Path>) -> Vec<(String, String)> {
    let Some(root) = sysroot else { return Vec::new() };
    let linker = variable(arch, "LINKER");
    if std::env::var_os(&linker).is_some() {
        return Vec::new();
    }
    let options = options(arch, root).join(" ");
    // Cargo ignores the variable of the target if the general one is set.
    let flags = match std::env::var("RUSTFLAGS") {
        Ok(own) => ("RUSTFLAGS".to_owned(), format!("{own} {options}")),
        Err(_) => (variable(arch, "RUSTFLAGS"), options),
    };
    vec![(linker, "rust-lld".to_owned()), flags]
}

/// Returns rustc's options: those that a C compiler passes to its linker.
fn options(arch: Arch, root: &Path) -> Vec<String> {
    let libraries = Path::new("/usr/lib").join(arch.multiarch());
    let object = |name: &str| root.join(libraries.strip_prefix("/").unwrap_or(&libraries)).join(name);
    let mut words = vec![
        format!("--sysroot={}", root.display()),
        format!("-L={}", libraries.display()),
        format!("--dynamic-linker={}", arch.interpreter()),
    ];
    words.extend(["Scrt1.o", "crti.o", "crtn.o"].map(|name| object(name).display().to_string()));
    words.into_iter().map(|word| format!("-Clink-arg={word}")).collect()
}

/// Returns an error unless the standard library of the target is installed.
pub(crate) fn require(arch: Arch) -> Result<()> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let target = arch.target();
    let directory = Tool::new(&rustc, RUSTC).args(["--print", "target-libdir", "--target", target]).output()?;
    let is_there = std::fs::read_dir(directory.trim()).is_ok_and(|mut entries| entries.next().is_some());
    if is_there { Ok(()) } else { Err(Error::NoTarget { target }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linker_gets_what_a_c_compiler_would_pass() {
        let words = options(Arch::Aarch64, Path::new("/s"));
        assert!(words.contains(&"-Clink-arg=--dynamic-linker=/lib/ld-linux-aarch64.so.1".to_owned()));
        assert!(words.contains(&"-Clink-arg=/s/usr/lib/aarch64-linux-gnu/Scrt1.o".to_owned()));
        assert!(words.contains(&"-Clink-arg=-L=/usr/lib/aarch64-linux-gnu".to_owned()));
        assert_eq!(variables(Arch::OWN, None), []);
    }

    #[test]
    fn own_target_is_installed() {
        require(Arch::OWN).unwrap();
    }
}
