//! Takes the kernel's types from the caller.

use super::{Object, kernel_btf::KernelBtf};
use crate::{Error, btf::Btf};

impl Object {
    /// Makes CO-RE relocations use the types in `file` instead of the running kernel's. With the types of this kernel,
    /// objects with CO-RE relocations load on kernels without `/sys/kernel/btf/vmlinux`, which are built without
    /// `CONFIG_DEBUG_INFO_BTF`. `file` is the content of one of these files:
    ///
    /// - raw BTF: a copy of `/sys/kernel/btf/vmlinux`, a `.btf` file of the BTFHub archive, or a file of `bpftool gen
    ///   min_core_btf`, which has only the types that an object needs;
    /// - an ELF file with a section `.BTF`, such as a kernel's `vmlinux`.
    ///
    /// The types must be those of the running kernel. With those of another kernel, programs read wrong offsets, and
    /// the verifier does not notice all of them.
    ///
    /// Only CO-RE relocations use these types, as with libbpf's `btf_custom_path`. The types of modules are then not
    /// searched. Attach targets (`fentry`, `lsm`, `tp_btf` …), externs (`__ksym`) and struct_ops maps need the BTF that
    /// the kernel itself has, because the kernel resolves their type ids in it. [`Object::dry_run`] uses these types
    /// for CO-RE relocations too.
    ///
    /// A second call replaces the types of the first. The method makes no system call.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let mut object = cutaway::Object::parse(&std::fs::read("probes.o")?)?;
    /// if !std::fs::exists("/sys/kernel/btf/vmlinux")? {
    ///     object.set_kernel_btf(&std::fs::read("5.8.0-1038-aws.btf")?)?;
    /// }
    /// let loaded = object.load()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`], with the reason, if `file` has no BTF, or if its BTF is broken, of the other byte order, or
    /// that of a kernel module, which continues the kernel's (split BTF).
    #[doc(alias("btf_custom_path", "ProgramOptions.KernelTypes", "EbpfLoader::btf", "min_core_btf", "BTFHub"))]
    pub fn set_kernel_btf(&mut self, file: &[u8]) -> Result<(), Error> {
        let unfit = |why: String| Error::Invalid { operation: "use these types as the kernel's".to_owned(), why };
        let bytes = Btf::in_file(file).map_err(|broken| unfit(broken.to_string()))?;
        if Btf::is_split(bytes) {
            return Err(unfit(
                "they are those of a kernel module (split BTF), which continue the kernel's: pass those of vmlinux"
                    .to_owned(),
            ));
        }
        Btf::parse(bytes).map_err(|broken| unfit(format!("their BTF is broken: {broken}")))?;
        self.kernel_btf = Some(KernelBtf(bytes.into()));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn corpus(name: &str) -> Vec<u8> {
        std::fs::read(format!("{}/../tests/corpus/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
    }

    /// The object's own types stand for a kernel's: all relocations are found in them.
    #[test]
    fn raw_btf_and_elf_files_are_accepted() {
        let file = corpus("kinds/core_reads.o");
        let raw = Object::parse(&file).unwrap().btf().unwrap();
        // A vmlinux is an executable (ET_EXEC) of the machine: here x86-64.
        let mut vmlinux = file.clone();
        vmlinux[16..20].copy_from_slice(&[2, 0, 62, 0]);
        let mut object = Object::parse(&file).unwrap();
        let expected = format!("{:?}", object.dry_run(&raw).unwrap().programs);
        for given in [&raw, &file, &vmlinux] {
            object.set_kernel_btf(given).unwrap();
            // The argument would find no type.
            let dry_run = object.dry_run(&Object::parse(&corpus("kinds/maps.o")).unwrap().btf().unwrap()).unwrap();
            assert_eq!(format!("{:?}", dry_run.programs), expected);
            assert!(!dry_run.relocated.is_empty());
        }
        assert!(format!("{object:?}").contains(&format!("KernelBtf({} bytes)", raw.len())));
    }

    #[test]
    fn wrong_files_are_refused_with_the_reason() {
        let mut object = Object::parse(&corpus("kinds/core_reads.o")).unwrap();
        let raw = object.btf().unwrap();
        let strings = 24 + u32::from_ne_bytes(raw[16..20].try_into().unwrap()) as usize;
        let mut split = raw.clone();
        split[strings] = b'x';
        let swapped: Vec<u8> = [raw[1], raw[0]].iter().chain(&raw[2..]).copied().collect();
        let mut wild = raw.clone();
        wild[24..28].copy_from_slice(&u32::MAX.to_ne_bytes()); // the name of the first type
        for (file, reason) in [
            (&split, "those of a kernel module (split BTF)"),
            (&swapped, "of the other byte order"),
            (&raw[..raw.len() / 2].to_vec(), "BTF is broken: "),
            (&wild, "BTF is broken: "),
            (&b"CONFIG_DEBUG_INFO_BTF=y".to_vec(), "neither BTF nor an ELF file"),
            (&Vec::new(), "it is empty"),
        ] {
            let error = object.set_kernel_btf(file).unwrap_err().to_string();
            assert!(error.starts_with("cannot use these types as the kernel's: "), "{error}");
            assert!(error.contains(reason), "{reason}: {error}");
            assert!(object.kernel_btf.is_none(), "{reason}");
        }
    }
}
