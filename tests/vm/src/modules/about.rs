//! Parses a module's section `.modinfo`: strings `KEY=VALUE`, each with a zero byte.

use object::{Object, ObjectSection};

use super::name::normal;

/// The parts of `.modinfo` that decide what is loaded before a module.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct About {
    /// `depends`: modules whose symbols it uses.
    pub(super) needs: Vec<String>,
    /// `softdep=pre:`: modules that it uses if they are there.
    pub(super) wants: Vec<String>,
    /// The first word of `vermagic`: the release of its kernel.
    pub(super) release: Option<String>,
}

impl About {
    /// Reads a module's file. The error is the reason why it is not usable.
    pub(super) fn of(file: &[u8]) -> Result<Self, String> {
        let elf = object::File::parse(file).map_err(|error| format!("not a kernel module: {error}"))?;
        let section = elf.section_by_name(".modinfo").ok_or("not a kernel module: it has no section .modinfo")?;
        let bytes = section.data().map_err(|error| format!("not a kernel module: {error}"))?;
        Ok(Self::parse(bytes))
    }

    fn parse(bytes: &[u8]) -> Self {
        let mut about = Self::default();
        for text in bytes.split(|byte| *byte == 0).map(String::from_utf8_lossy) {
            match text.split_once('=') {
                Some(("depends", names)) => {
                    about.needs.extend(names.split(',').filter(|name| !name.is_empty()).map(normal));
                }
                Some(("softdep", words)) => about.wants.extend(before(words)),
                Some(("vermagic", words)) => about.release = words.split_whitespace().next().map(str::to_owned),
                _ => {}
            }
        }
        about
    }
}

/// Returns the names after `pre:` and before `post:` (modprobe.d(5)).
fn before(words: &str) -> impl Iterator<Item = String> + '_ {
    let words = words.split_whitespace();
    words.skip_while(|word| *word != "pre:").skip(1).take_while(|word| !word.ends_with(':')).map(normal)
}

/// Returns a file that has this text as its `.modinfo`.
#[cfg(test)]
pub(super) fn example(text: &str) -> Vec<u8> {
    use object::build::elf::{Builder, SectionData};
    let mut builder = Builder::new(object::Endianness::Little, true);
    builder.header.e_type = object::elf::ET_REL;
    builder.header.e_machine = object::elf::EM_X86_64;
    let section = builder.sections.add();
    section.name = b".modinfo"[..].into();
    section.sh_type = object::elf::SHT_PROGBITS;
    section.data = SectionData::Data(text.as_bytes().to_vec().into());
    let section = builder.sections.add();
    section.name = b".shstrtab"[..].into();
    section.sh_type = object::elf::SHT_STRTAB;
    section.data = SectionData::SectionString;
    let mut bytes = Vec::new();
    builder.write(&mut bytes).unwrap();
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_are_parsed() {
        let text = "license=GPL\0vermagic=6.1.0-9-amd64 SMP preempt\0depends=nf-conntrack,libcrc32c\0\
             softdep=pre: crypto-a b post: c\0softdep=post: d\0alias=x\0";
        let about = About::of(&example(text)).unwrap();
        assert_eq!(about.needs, ["nf_conntrack", "libcrc32c"]);
        assert_eq!(about.wants, ["crypto_a", "b"]);
        assert_eq!(about.release.as_deref(), Some("6.1.0-9-amd64"));
        assert_eq!(About::parse(b"depends=\0"), About::default());
    }

    #[test]
    fn other_files_are_refused() {
        assert!(About::of(b"text").unwrap_err().starts_with("not a kernel module: "));
        let me = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        assert!(About::of(&me).unwrap_err().ends_with("it has no section .modinfo"));
    }
}
