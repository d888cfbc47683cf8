//! Rewrites BTF for kernels that do not know all of its kinds (libbpf's `bpf_object__sanitize_btf`).
//!
//! A kernel refuses all of an object's BTF because of one kind that it does not know. Types have ids, so none can be
//! removed: each type of an unknown kind becomes one of an older kind of the same length. The lost information is of no
//! use to such a kernel.
//!
//! | kind | Linux | becomes |
//! | --- | --- | --- |
//! | `FUNC`, `FUNC_PROTO` | 5.0 | typedef, enumeration |
//! | global `FUNC` | 5.6 | static function |
//! | `VAR` | 5.2 | integer of one byte |
//! | `DATASEC` | 5.2 | unnamed structure of its variables |
//! | `DATASEC` without variables | 5.18 | structure without members |
//! | `FLOAT` | 5.13 | structure without members |
//! | `DECL_TAG` | 5.16 | integer of one byte |
//! | `TYPE_TAG` | 5.17 | `const` |
//! | `ENUM64`, and an `ENUM` marked as signed | 6.0 | union of bytes; enumeration |

use super::{kind::Kind, ty::Type, view::Btf};
use crate::Error;

/// The kinds that the kernel knows, of those that some kernels do not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kinds {
    pub(crate) func: bool,
    pub(crate) func_global: bool,
    pub(crate) datasec: bool,
    /// A section without variables.
    pub(crate) datasec_empty: bool,
    pub(crate) float: bool,
    pub(crate) decl_tag: bool,
    pub(crate) type_tag: bool,
    pub(crate) enum64: bool,
}

impl Kinds {
    /// The kinds that Linux 4.18, the first with BTF, knows.
    pub(crate) const OLDEST: Self = Self {
        func: false,
        func_global: false,
        datasec: false,
        datasec_empty: false,
        float: false,
        decl_tag: false,
        type_tag: false,
        enum64: false,
    };
}

/// The word after an integer's first 12 bytes: 8 bits, unsigned.
const BYTE: u32 = 8;

/// Rewrites the contents of a section `.BTF`, of which `btf` is the view, for a kernel that knows these kinds.
///
/// # Errors
///
/// [`Error::Bug`] if `btf` is the view of other bytes.
pub(crate) fn rewrite(bytes: &mut [u8], btf: &Btf<'_>, kinds: Kinds) -> Result<(), Error> {
    let byte = btf.types().find(|ty| ty.kind() == Kind::Int && ty.size() == 1).map_or(0, Type::id);
    for ty in btf.types() {
        let at = position(bytes, btf, ty).ok_or_else(|| Error::bug(OUTSIDE))?;
        let mut words = Words { bytes, at, outside: false };
        match ty.kind() {
            Kind::FuncProto if !kinds.func => {
                words.info(Kind::Enum, ty.len());
                words.set(2, 4);
            }
            Kind::Func if !kinds.func => words.info(Kind::Typedef, 0),
            Kind::Func if !kinds.func_global => words.info(Kind::Func, 0),
            Kind::Var if !kinds.datasec => words.byte(),
            Kind::DeclTag if !kinds.decl_tag => words.byte(),
            Kind::Datasec if !kinds.datasec || ty.is_empty() && !kinds.datasec_empty => {
                words.info(Kind::Struct, ty.len());
                words.set(0, 0);
                // The size of a structure must not be 0.
                words.set(2, ty.size().max(1));
                for (index, entry) in ty.section_vars().enumerate() {
                    // A member: name, type, offset in bits.
                    let first = 3 + index * 3;
                    words.set(first, btf.ty(entry.type_id).name);
                    words.set(first + 1, entry.type_id);
                    words.set(first + 2, entry.offset.saturating_mul(8));
                }
            }
            Kind::Float if !kinds.float => {
                words.info(Kind::Struct, 0);
                words.set(0, 0);
            }
            Kind::TypeTag if !kinds.type_tag => {
                words.info(Kind::Const, 0);
                words.set(0, 0);
            }
            Kind::Enum if !kinds.enum64 => words.info(Kind::Enum, ty.len()),
            Kind::Enum64 if !kinds.enum64 => {
                words.info(Kind::Union, ty.len());
                // Name, low half, high half become a member's name, type and offset.
                for index in 0..ty.len() as usize {
                    words.set(3 + index * 3 + 1, byte);
                    words.set(3 + index * 3 + 2, 0);
                }
            }
            _ => {}
        }
        if words.outside {
            return Err(Error::bug(OUTSIDE));
        }
    }
    Ok(())
}

const OUTSIDE: &str = "a type to be rewritten lies outside its BTF";

/// Returns the offset of a type in the whole section.
fn position(bytes: &[u8], btf: &Btf<'_>, ty: Type<'_>) -> Option<usize> {
    let word = |at: usize| bytes.get(at..)?.first_chunk().copied().map(u32::from_ne_bytes);
    // hdr_len and type_off
    Some(word(4)? as usize + word(8)? as usize + btf.position(ty.id())?)
}

/// A type's words while they are being rewritten.
struct Words<'b> {
    bytes: &'b mut [u8],
    at: usize,
    /// Set if a word was to be written outside the section.
    outside: bool,
}

impl Words<'_> {
    fn set(&mut self, index: usize, value: u32) {
        let at = self.at + index * 4;
        match self.bytes.get_mut(at..at + 4) {
            Some(word) => word.copy_from_slice(&value.to_ne_bytes()),
            None => self.outside = true,
        }
    }

    fn info(&mut self, kind: Kind, entries: u32) {
        self.set(1, (kind as u32) << 24 | entries);
    }

    /// Turns the type into an integer of one byte.
    fn byte(&mut self) {
        self.info(Kind::Int, 0);
        self.set(2, 1);
        self.set(3, BYTE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn objects() -> impl Iterator<Item = (String, Vec<u8>)> {
        let corpus = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/corpus");
        let directories = std::fs::read_dir(corpus).unwrap();
        let files = directories.flat_map(|directory| std::fs::read_dir(directory.unwrap().path()).unwrap());
        files.map(|file| file.unwrap().path()).filter(|path| path.extension().is_some_and(|end| end == "o")).filter_map(
            |path| {
                use object::read::elf::{ElfFile64, FileHeader as _};
                use object::read::{Object as _, ObjectSection as _};
                let bytes = std::fs::read(&path).unwrap();
                let header = object::elf::FileHeader64::<object::Endianness>::parse(&*bytes).unwrap();
                if header.is_big_endian() != cfg!(target_endian = "big") {
                    return None;
                }
                let file = ElfFile64::<object::Endianness>::parse(&*bytes).unwrap();
                let section = file.section_by_name(".BTF")?.data().unwrap().to_vec();
                Some((path.display().to_string(), section))
            },
        )
    }

    #[test]
    fn oldest_kernel_gets_kinds_that_it_knows() {
        let mut seen = 0;
        for (path, original) in objects() {
            let btf = Btf::parse(&original).unwrap();
            let mut bytes = original.clone();
            rewrite(&mut bytes, &btf, Kinds::OLDEST).unwrap();
            let rewritten = Btf::parse(&bytes).unwrap_or_else(|error| panic!("{path}: {error}"));
            assert_eq!((rewritten.end(), bytes.len()), (btf.end(), original.len()), "{path}");
            for (old, new) in btf.types().zip(rewritten.types()) {
                assert!((new.kind() as u32) < 12, "{path}: {new} is a {:?}", new.kind());
                assert!(new.kind() != Kind::Enum || !new.is_signed(), "{path}: {new} says that it is signed");
                if old.kind() == Kind::Datasec {
                    seen += 1;
                    assert_eq!((new.kind(), new.members().len()), (Kind::Struct, old.section_vars().len()));
                    let mut pairs = new.members().zip(old.section_vars());
                    assert!(pairs.all(|(member, entry)| member.bit_offset == entry.offset * 8));
                }
            }
        }
        assert!(seen > 20, "{seen} sections");
    }

    #[test]
    fn bytes_of_another_view_are_a_bug() {
        let (_, original) = objects().find(|(path, _)| path.ends_with("one_ring.o")).unwrap();
        let btf = Btf::parse(&original).unwrap();
        for length in [0, 8, 30] {
            let mut cut = original[..length].to_vec();
            let line = rewrite(&mut cut, &btf, Kinds::OLDEST).unwrap_err().to_string();
            assert!(line.contains("please report it") && line.contains("sanitize.rs:"), "{line}");
        }
    }

    #[test]
    fn known_kinds_are_not_changed() {
        let all = Kinds {
            func: true,
            func_global: true,
            datasec: true,
            datasec_empty: true,
            float: true,
            decl_tag: true,
            type_tag: true,
            enum64: true,
        };
        for (path, original) in objects() {
            let btf = Btf::parse(&original).unwrap();
            let mut bytes = original.clone();
            rewrite(&mut bytes, &btf, all).unwrap();
            assert!(bytes == original, "{path}");
        }
    }
}
