//! Checks whether this build has the cargo features that an object needs.

use super::Object;
use crate::{
    Error, MapType, ProgramType,
    gate::{READS_EXTERNS, READS_STRUCT_OPS},
};

impl Object {
    /// Errors if the object has the wrong byte order or needs a disabled cargo feature.
    pub(crate) fn check_features(&self) -> Result<(), Error> {
        self.elf.must_be_native()?;
        if !cfg!(feature = "core-relo") && self.core {
            return Err(Error::left_out("adapt programs to this kernel's structures (CO-RE)".to_owned(), "core-relo"));
        }
        if !READS_EXTERNS && let Some(first) = self.externs.first() {
            return Err(Error::left_out(format!("find `{}` in the kernel", first.name), "externs"));
        }
        let tables = self.maps.iter().find(|map| map.autocreate && map.map_type == MapType::STRUCT_OPS);
        if !READS_STRUCT_OPS && let Some(table) = tables {
            return Err(Error::left_out(format!("create the map `{}` (STRUCT_OPS)", table.name), "struct-ops"));
        }
        for program in self.programs.iter().filter(|program| program.section.autoload) {
            let feature = match program.section.program_type {
                ProgramType::TRACING | ProgramType::LSM | ProgramType::EXT if !cfg!(feature = "tracing") => "tracing",
                ProgramType::STRUCT_OPS if !cfg!(feature = "struct-ops") => "struct-ops",
                _ => continue,
            };
            let attempt = format!("load the program `{}` ({})", program.name, program.section.program_type);
            return Err(Error::left_out(attempt, feature));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::Object;

    /// Returns why the object cannot be loaded, found without a kernel; empty if it can.
    fn refusal(object: &str) -> String {
        let path = format!("{}/../tests/corpus/{object}", env!("CARGO_MANIFEST_DIR"));
        let object = Object::parse(&std::fs::read(path).unwrap()).unwrap();
        object.dry_run(&[]).err().map_or_else(String::new, |error| error.to_string())
    }

    // `cargo xtask minimal` runs this test with no features.
    #[test]
    fn object_is_refused_by_name_of_a_disabled_feature_only() {
        for (object, feature, there) in [
            ("kinds/core_reads.o", "core-relo", cfg!(feature = "core-relo")),
            ("externs/kfuncs.o", "externs", cfg!(feature = "externs")),
            ("kinds/struct_ops.o", "struct-ops", cfg!(feature = "struct-ops")),
            ("kinds/freplace_by.o", "tracing", cfg!(feature = "tracing")),
        ] {
            let said = refusal(object);
            let left_out = said.contains(&format!("without the feature `{feature}`"));
            assert_eq!(left_out, !there, "{object}: {said}");
        }
    }
}
