//! Writes the object's bytes.

use super::{model::digits, print::Out};

/// The location of the object's bytes.
#[derive(Debug)]
pub(super) enum Embedded<'o> {
    /// `include_bytes!` of this path, and the size of the file.
    Path(&'o str, usize),
    /// A literal.
    Bytes(&'o [u8]),
}

/// Writes the object's bytes, at an address that suits all parts of an ELF file.
pub(super) fn write(out: &mut Out, embedded: &Embedded<'_>) {
    let bytes = match embedded {
        Embedded::Path(_, size) => *size,
        Embedded::Bytes(bytes) => bytes.len(),
    };
    out.doc("The bytes of the object file.");
    out.open("pub static OBJECT: &[u8] = {");
    out.line("#[repr(C, align(16))]");
    out.line("struct Aligned<B: ?Sized>(B);");
    let left = format!("const FILE: &[u8; {}]", digits(bytes as u64));
    match embedded {
        Embedded::Path(path, _) => out.assign_call(&left, "include_bytes!", &format!("{path:?}")),
        Embedded::Bytes(bytes) => {
            out.line(&format!("{left} = b\"\\"));
            out.verbatim(&literal(bytes));
            out.verbatim("\";\n");
        }
    }
    out.line("static BYTES: &Aligned<[u8]> = &Aligned(*FILE);");
    out.line("&BYTES.0");
    out.close("};");
    out.blank();
}

/// Returns the inside of a byte string, in lines that end with a backslash.
fn literal(bytes: &[u8]) -> String {
    const WIDTH: usize = 98;
    let (mut text, mut column) = (String::new(), 0);
    for &byte in bytes {
        let escaped = match byte {
            b'\\' | b'"' => format!("\\{}", char::from(byte)),
            0 => "\\0".to_owned(),
            // A space at a line's start would be skipped.
            b' ' if column == 0 => "\\x20".to_owned(),
            b' '..=b'~' => char::from(byte).to_string(),
            _ => format!("\\x{byte:02x}"),
        };
        column += escaped.len();
        text.push_str(&escaped);
        if column >= WIDTH - 4 {
            text.push_str("\\\n");
            column = 0;
        }
    }
    text
}
