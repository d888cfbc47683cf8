//! The BTF that is given for kernels that have none: a file for one kernel, or a directory with a file for each
//! release.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::arch::Arch;
use crate::error::{Error, Result};
use crate::kernel::{Kernel, Request};

/// A value of `--btf`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Given {
    /// For the kernel of this name.
    File(String, PathBuf),
    /// For each kernel whose `RELEASE.btf` it contains.
    Directory(PathBuf),
}

/// The BTF for one kernel.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Chosen {
    pub(super) file: Option<PathBuf>,
    /// Names a file that is missing.
    pub(super) note: Option<String>,
}

impl FromStr for Given {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        if Path::new(text).is_dir() {
            return Ok(Self::Directory(text.into()));
        }
        match text.split_once('=') {
            Some((kernel, file)) if !kernel.is_empty() && !file.is_empty() => {
                Ok(Self::File(kernel.to_owned(), file.into()))
            }
            _ => Err("neither KERNEL=FILE nor a directory".to_owned()),
        }
    }
}

/// Returns the name by which `--btf` refers to a kernel. With several architectures in a run it includes the kernel's.
pub(super) fn name(request: &Request, arch: Arch, several: bool) -> String {
    if several { format!("{request}/{arch}") } else { request.to_string() }
}

/// Refuses a file for a kernel that the run does not have.
pub(super) fn check(all: &[Given], requests: &[Request], archs: &[Arch]) -> Result<()> {
    let is_known = |kernel: &str| {
        let names = |request| archs.iter().map(move |&arch| name(request, arch, archs.len() > 1));
        requests.iter().flat_map(names).any(|name| name == kernel)
    };
    for given in all {
        if let Given::File(kernel, file) = given
            && !is_known(kernel)
        {
            let why = format!("--btf names the kernel {kernel}, which is not among those of this run");
            return Err(Error::Unusable { path: file.clone(), why });
        }
    }
    Ok(())
}

/// Returns the BTF for the kernel that has this [`name`]. A file for this kernel precedes directories.
pub(super) fn choose(all: &[Given], name: &str, kernel: &Kernel) -> Chosen {
    let mut directories = Vec::new();
    for given in all {
        match given {
            Given::File(of, file) if of == name => return Chosen { file: Some(file.clone()), note: None },
            Given::File(..) => {}
            Given::Directory(directory) => directories.push(directory),
        }
    }
    if directories.is_empty() {
        return Chosen::default();
    }
    let own = "objects are loaded with the kernel's own BTF, if it has some";
    let Some(release) = &kernel.release else {
        let note = format!("the kernel's release is not known before it boots, so no RELEASE.btf was chosen; {own}");
        return Chosen { file: None, note: Some(note) };
    };
    let files: Vec<PathBuf> = directories.iter().map(|directory| directory.join(format!("{release}.btf"))).collect();
    match files.iter().find(|file| file.is_file()) {
        Some(file) => Chosen { file: Some(file.clone()), note: None },
        None => {
            let files: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
            Chosen { file: None, note: Some(format!("there is no {}; {own}", files.join(" and no "))) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kernel(release: Option<&str>) -> Kernel {
        Kernel {
            image: PathBuf::new(),
            config: None,
            release: release.map(str::to_owned),
            version: None,
            packages: Vec::new(),
        }
    }

    #[test]
    fn values_are_files_for_kernels_or_directories() {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join("a=b");
        std::fs::create_dir(&directory).unwrap();
        assert_eq!(directory.to_str().unwrap().parse(), Ok(Given::Directory(directory)));
        assert_eq!("6.1=a=b".parse(), Ok(Given::File("6.1".into(), "a=b".into())));
        assert!("6.1".parse::<Given>().is_err() && "=f".parse::<Given>().is_err());
    }

    #[test]
    fn release_selects_the_file_and_a_missing_one_is_noted() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("6.1.0-9.btf");
        std::fs::write(&file, "").unwrap();
        let all = [Given::Directory(folder.path().into()), Given::File("5.10".into(), "five.btf".into())];
        let chosen = choose(&all, "6.1", &kernel(Some("6.1.0-9")));
        assert_eq!(chosen, Chosen { file: Some(file), note: None });
        assert_eq!(choose(&all, "5.10", &kernel(None)).file, Some("five.btf".into()));
        let missing = choose(&all, "newest", &kernel(Some("7.3.1")));
        let expected = format!("there is no {}; ", folder.path().join("7.3.1.btf").display());
        assert!(missing.file.is_none() && missing.note.as_ref().unwrap().starts_with(&expected), "{missing:?}");
        assert!(choose(&all, "vmlinuz", &kernel(None)).note.unwrap().contains("not known before it boots"));
        assert_eq!(choose(&[], "6.1", &kernel(None)), Chosen::default());
    }

    #[test]
    fn file_for_a_kernel_of_no_run_is_refused() {
        let all = [Given::File("5.10".into(), "f".into())];
        assert!(check(&all, &["6.1".parse().unwrap()], &[Arch::OWN]).is_err());
        assert!(check(&all, &["5.10".parse().unwrap()], &[Arch::OWN]).is_ok());
    }

    #[test]
    fn each_architecture_has_its_own_btf() {
        let five: Request = "5.10".parse().unwrap();
        let of = |text: &str| vec![Given::File(text.into(), "f".into())];
        assert!(check(&of("5.10"), std::slice::from_ref(&five), &Arch::ALL).is_err(), "of which one?");
        let all = of("5.10/aarch64");
        assert!(check(&all, std::slice::from_ref(&five), &Arch::ALL).is_ok());
        assert!(check(&all, std::slice::from_ref(&five), &[Arch::Aarch64]).is_err());
        let chosen = |arch| choose(&all, &name(&five, arch, true), &kernel(None)).file;
        assert_eq!(chosen(Arch::Aarch64), Some("f".into()));
        assert_eq!(chosen(Arch::X86_64), None);
    }
}
