//! `--reader`: the reader of object files, for `trace`, `run` and `inspect`.

use clap::ValueEnum;
use cutaway::ObjectReader;

/// The help of `--reader`. With clap's list of values it would not fit on one line.
pub(crate) const HELP: &str = "Reader: cutaway or aya-obj";

/// The long help of `--reader`.
pub(crate) const LONG_HELP: &str = "\
Reader: cutaway or aya-obj

cutaway is the loader's own reader. aya-obj is the crate aya-obj
0.3.0, which aya 0.14 uses: maps, programs, types, CO-RE relocation
and linking are its own; the rest of loading is the same.

trace reads its built-in programs by aya-obj; run and inspect read by
cutaway. With --reader aya-obj they refuse an object that aya-obj
would misread. Values that aya-obj omits or gets wrong are corrected,
each with a warning. inspect compares both readers in any case.

For an object with CO-RE relocations aya-obj parses all of the
kernel's BTF, which takes tens of milliseconds.";

/// The version of aya-obj, as Cargo.lock has it.
pub(crate) const AYA_OBJ: &str = "aya-obj 0.3.0";

/// The values of `--reader`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Reader {
    /// The loader's own reader
    Cutaway,
    /// The crate aya-obj 0.3.0, which aya 0.14 uses
    AyaObj,
}

impl From<Reader> for ObjectReader {
    fn from(reader: Reader) -> Self {
        match reader {
            Reader::Cutaway => Self::Cutaway,
            Reader::AyaObj => Self::AyaObj,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_is_that_of_the_lock_file() {
        let (name, version) = AYA_OBJ.split_once(' ').unwrap();
        let package = format!("name = \"{name}\"\nversion = \"{version}\"\n");
        assert!(include_str!("../../Cargo.lock").contains(&package), "{package}");
    }
}
