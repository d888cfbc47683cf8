//! Finds the BTF in a file.

use super::{error::Broken, header::MAGIC};
use crate::elf::{Tables, Unreadable};

impl super::Btf<'_> {
    /// Returns the BTF in the bytes of a file: the bytes themselves if they are raw BTF, or the section `.BTF` of an
    /// ELF file.
    ///
    /// Raw BTF is in copies of `/sys/kernel/btf/vmlinux`, in the `.btf` files of BTFHub, and in the files of
    /// `bpftool gen min_core_btf`. BPF objects and a kernel's `vmlinux` are ELF files.
    ///
    /// The result may still be broken: pass it to [`Btf::parse`](Self::parse).
    ///
    /// # Errors
    ///
    /// [`Broken`] if the file has no BTF, or BTF of the other byte order. The reason names compressed files and
    /// archives, which must be extracted first.
    #[doc(alias("btf__parse", "btf__parse_elf", "btf__parse_raw"))]
    pub fn in_file(file: &[u8]) -> Result<&[u8], Broken> {
        let broken = |why: &str| Err(Broken(why.to_owned()));
        let magic = file.first_chunk().copied().map(u16::from_ne_bytes);
        match magic {
            Some(MAGIC) => return Ok(file),
            Some(swapped) if swapped == MAGIC.swap_bytes() => {
                return broken("it is BTF of the other byte order, of a kernel for other machines");
            }
            None => return broken("it is no BTF: it is empty, or a single byte"),
            _ => {}
        }
        if file.starts_with(b"\x7fELF") {
            return in_elf(file);
        }
        match packed(file) {
            Some(kind) => Err(Broken(format!("it is {kind}, not BTF: extract the BTF first"))),
            None => broken("it is neither BTF nor an ELF file"),
        }
    }
}

/// Returns the section `.BTF` of an ELF file.
fn in_elf(file: &[u8]) -> Result<&[u8], Broken> {
    let broken = |why: &str| Broken(why.to_owned());
    let unread = "it is an ELF file whose sections cannot be read: is it truncated?";
    let tables = Tables::read(file).map_err(|why| match why {
        Unreadable::Header => broken("it is an ELF file, but truncated or not of 64 bits"),
        Unreadable::Sections => broken(unread),
    })?;
    if tables.is_big_endian() != cfg!(target_endian = "big") {
        return Err(broken("it is an ELF file of the other byte order, for other machines"));
    }
    let section = tables.sections().find(|section| tables.name(section) == Ok(b".BTF")).ok_or_else(|| {
        broken(
            "it is an ELF file without the section `.BTF`: compile objects with -g, kernels with CONFIG_DEBUG_INFO_BTF",
        )
    })?;
    tables.bytes(&section).ok_or_else(|| broken(unread))
}

/// Returns the kind of a compressed file or an archive.
fn packed(file: &[u8]) -> Option<&'static str> {
    /// The position of `ustar` in the header of the first file of an archive.
    const TAR: usize = 257;
    const MAGICS: [(&[u8], &str); 5] = [
        (b"\x1f\x8b", "compressed by gzip"),
        (b"\xfd7zXZ\0", "compressed by xz"),
        (b"\x28\xb5\x2f\xfd", "compressed by zstd"),
        (b"BZh", "compressed by bzip2"),
        (b"PK\x03\x04", "a zip archive"),
    ];
    let known = MAGICS.iter().find(|(magic, _)| file.starts_with(magic)).map(|(_, kind)| *kind);
    known.or_else(|| file.get(TAR..).is_some_and(|rest| rest.starts_with(b"ustar")).then_some("a tar archive"))
}

#[cfg(test)]
mod tests {
    use super::super::Btf;

    fn corpus(name: &str) -> Vec<u8> {
        std::fs::read(format!("{}/../tests/corpus/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
    }

    #[test]
    fn btf_is_found_in_objects_and_raw_files() {
        let object = corpus("kinds/core_reads.o");
        let section = Btf::in_file(&object).unwrap();
        assert!(Btf::parse(section).unwrap().types().any(|ty| ty.name() == "task_struct"));
        assert_eq!(Btf::in_file(section).unwrap(), section);
    }

    #[test]
    fn reason_names_the_kind_of_file() {
        let raw = crate::Object::parse(&corpus("kinds/core_reads.o")).unwrap().btf().unwrap();
        let swapped: Vec<u8> = [raw[1], raw[0]].iter().chain(&raw[2..]).copied().collect();
        let mut tar = vec![0; 512];
        tar[257..262].copy_from_slice(b"ustar");
        let text = |file: &[u8]| Btf::in_file(file).unwrap_err().to_string();
        for (file, expected) in [
            (b"".as_slice(), "empty"),
            (b"text of some kind", "neither BTF nor an ELF file"),
            (&swapped, "other byte order"),
            (&corpus("kinds/core_reads_eb.o"), "other byte order"),
            (&corpus("kinds/legacy_no_btf.o"), "without the section `.BTF`"),
            (&corpus("kinds/core_reads.o")[..100], "cannot be read"),
            (b"\x7fELF", "truncated"),
            (b"\x1f\x8b\x08\0", "compressed by gzip"),
            (b"\xfd7zXZ\0\0", "compressed by xz"),
            (&tar, "a tar archive"),
        ] {
            assert!(text(file).contains(expected), "{expected}: {}", text(file));
        }
    }
}
