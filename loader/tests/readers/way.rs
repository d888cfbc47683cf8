//! All steps of aya-obj's reader from the bytes of a file to the first system call.

use cutaway::{Object, ObjectReader, ReaderComparison, aya_obj, compare_readers};

/// Returns whether a message can be printed: it is short, not empty, and has no control characters.
fn is_message(text: &str) -> bool {
    !text.is_empty() && !text.contains(char::is_control) && text.len() < 4096
}

/// Compares the readers on an object, reads it by aya-obj, and links its programs against BTF of a kernel. Returns
/// whether it is read and linked; any error must be one message.
pub(crate) fn is_read(bytes: &[u8], kernel: &[u8]) -> bool {
    if let Ok(
        ReaderComparison::Refused { why: text }
        | ReaderComparison::Withheld { why: text }
        | ReaderComparison::Unlinked { why: text }
        | ReaderComparison::Different { what: text },
    ) = compare_readers(bytes, kernel)
    {
        assert!(is_message(&text), "{text:?}");
    }
    let result = Object::parse_with(ObjectReader::AyaObj, bytes).and_then(|mut object| {
        let _ = format!("{:?} {:?}", object.programs(), object.unknown_programs());
        for variable in object.variables().to_vec() {
            let _ = object.set_variable(&variable.name, &-1_i64);
        }
        object.dry_run(kernel).map(|run| run.programs.iter().all(|program| program.instructions.is_ok()))
    });
    // An object that aya-obj parses can be converted without the file, too.
    if result.is_ok()
        && let Ok(parsed) = aya_obj::Object::parse(bytes)
    {
        match Object::from_aya(parsed).and_then(|object| object.dry_run(kernel)) {
            Ok(run) => assert!(run.maps.len() < 1 << 16),
            Err(error) => assert!(is_message(&error.to_string()), "{error:?}"),
        }
    }
    match result {
        Ok(is_linked) => is_linked,
        Err(error) => {
            let text = error.to_string();
            assert!(is_message(&text), "{text:?}");
            false
        }
    }
}
