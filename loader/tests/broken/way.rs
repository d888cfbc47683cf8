//! All steps from the bytes of a file to the first system call. Everything of the object is read and changed.

use cutaway::{Object, ScalarKind, btf::Btf};

/// The last step that a mutant reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Came {
    Refused,
    Parsed,
    LinkedProgram,
}

/// Takes all steps between the bytes of a file and the first system call; returns the last one that succeeds.
pub(crate) fn everything(bytes: &[u8], kernel: &[u8]) -> Came {
    let mut object = match Object::parse_any_endian(bytes) {
        Ok(object) => object,
        Err(error) => {
            let line = error.to_string();
            assert!(!line.is_empty() && !line.contains('\n') && line.len() < 10_000, "{line:?}");
            return Came::Refused;
        }
    };
    let _ = format!("{:?} {:?} {:?}", object.maps(), object.programs(), object.unknown_programs());
    let _ = format!("{:?} {:?}", object.externs(), object.license());
    for variable in object.variables().to_vec() {
        let _ = variable.to_string();
        // Values of the right size and of wrong sizes. A variable that claims gigabytes gets none of its size.
        if variable.size < 1 << 20 {
            let _ = object.set_variable(&variable.name, &*vec![7; variable.size as usize]);
        }
        let _ = object.set_variable(&variable.name, &-1_i64).map_err(|error| error.to_string());
        let _ = object.set_variable(&variable.name, &Own);
    }
    for name in object.maps().iter().map(|map| map.name.clone()).collect::<Vec<_>>() {
        object.map_mut(&name).unwrap().max_entries = 1;
    }
    for name in object.programs().iter().map(|program| program.name.clone()).collect::<Vec<_>>() {
        object.program_mut(&name).unwrap().section.autoload = true;
    }
    object.set_kconfig("CONFIG_HZ=250\nCONFIG_BPF_SYSCALL=y\nCONFIG_TEXT=\"text\"\nCONFIG_T_MODULE=m\n");
    match object.dry_run(kernel) {
        Ok(dry_run) => {
            for relocated in &dry_run.relocated {
                let _ = relocated.to_string();
            }
            for program in &dry_run.programs {
                let _ = program.instructions.as_ref().map(Vec::len).map_err(ToString::to_string);
            }
            for btf in [&dry_run.btf, &dry_run.btf_of_old].into_iter().flatten() {
                let _ = Btf::parse(btf).map(|btf| btf.types().count());
            }
            Came::LinkedProgram
        }
        Err(error) => {
            assert!(!error.to_string().is_empty());
            Came::Parsed
        }
    }
}

/// A value of a type that the caller defines.
struct Own;

impl cutaway::ToBytes for Own {
    const KIND: ScalarKind = ScalarKind::Bytes;

    fn bytes(&self) -> std::borrow::Cow<'_, [u8]> {
        std::borrow::Cow::Borrowed(&[1, 2, 3])
    }
}
