//! `--reader`: the object reader, for `trace`, `run` and `inspect`.

use clap::ValueEnum;
use cutaway::ObjectReader;

/// The help of `--reader`. With the default, it fits on one line of 80 columns in the help of `run`.
pub(crate) const HELP: &str = "Read with cutaway or aya-obj";

/// The long help of `--reader`.
pub(crate) const LONG_HELP: &str = "\
Object reader: cutaway or aya-obj

cutaway is the loader's own object reader. aya-obj is the crate
aya-obj 0.3.0, which aya 0.14 uses: it reads maps, programs and types,
applies CO-RE relocations and links. The rest of loading is the same.

Default: aya-obj for the built-in programs of trace, cutaway for run
and inspect. With --reader aya-obj, an object that aya-obj would
misread is refused. Values that aya-obj omits or gets wrong are
corrected, each with a warning. inspect compares both in any case.

For an object with CO-RE relocations aya-obj parses all of the
kernel's BTF, which takes tens of milliseconds.";

/// The version of aya-obj, as Cargo.lock has it.
pub(crate) const AYA_OBJ: &str = "aya-obj 0.3.0";

/// The values of `--reader`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Reader {
    /// The loader's own object reader
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
