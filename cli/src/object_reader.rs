//! `--reader`: the object reader, for `trace`, `run` and `inspect`.

use clap::ValueEnum;
use cutaway::ObjectReader;

/// The help of `--reader` where the default is cutaway.
pub(crate) const HELP: &str = "Object reader: cutaway (default) or aya-obj";

/// The help of `--reader` where the default is aya-obj.
pub(crate) const HELP_OF_TRACE: &str = "Object reader: cutaway or aya-obj (default)";

/// The long help of `--reader`.
pub(crate) const LONG_HELP: &str = "\
Object reader: cutaway or aya-obj

cutaway is this project's own object reader. aya-obj is the crate
aya-obj 0.3.0, which aya 0.14 uses. The selected reader reads maps,
programs and types, applies CO-RE relocations, and links the programs.
The rest of loading is the same with both readers.

Default: aya-obj for trace, cutaway for run and inspect. inspect
compares both readers, whichever is selected.

If aya-obj omits values or gets them wrong, cutaway's loader corrects
them, with a warning for each. If the loader cannot correct an error
of aya-obj, it refuses the object. If an object has CO-RE relocations,
aya-obj parses the kernel's whole BTF: tens of milliseconds.";

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
