//! Kernel modules that a run asks for: finds their files and those that they depend on, in the order in which they are
//! loaded.
//!
//! ```text
//!     directory.rs   the files of a directory of modules        packed.rs    decompresses them
//!     about.rs       parses a module's description              listed.rs    the list that process 1 loads
//!     name.rs        names of modules
//! ```
//!
//! The packages contain no `modules.dep`: depmod(8) writes it where they are installed. The dependencies come from the
//! modules themselves, as depmod's do.

mod about;
mod directory;
mod listed;
mod name;
mod packed;

use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

pub(crate) use listed::{Listed, load_list};

use crate::error::{Error, Result};
use crate::initramfs::Tree;
use about::About;
use directory::Directory;
use name::normal;

/// A module that the user asks for, with its parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    name: String,
    parameters: String,
}

impl FromStr for Request {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, parameters) = text.trim().split_once(char::is_whitespace).unwrap_or((text.trim(), ""));
        if name.is_empty() || name.contains(['/', '.']) {
            return Err("not the name of a module, such as veth".to_owned());
        }
        Ok(Self { name: normal(name), parameters: parameters.trim().to_owned() })
    }
}

/// Adds the requested modules and those that they depend on to a guest's files. `release` is the kernel's, if it is
/// known.
///
/// # Errors
/// [`Error::NoModule`] for a module that is neither in the directory nor built into the kernel;
/// [`Error::Unusable`] for one that cannot be read, or that is for another kernel.
pub(crate) fn add(requests: &[Request], from: &Path, release: Option<&str>, tree: &mut Tree) -> Result<()> {
    let directory = Directory::open(from)?;
    let mut order = Order { directory: &directory, release, found: Vec::new(), entered: Vec::new() };
    for (index, request) in requests.iter().enumerate() {
        check_parameters(request, requests.get(..index).unwrap_or_default(), &directory)
            .map_err(|why| Error::Unusable { path: from.to_path_buf(), why })?;
        order.enter(&request.name, None)?;
    }
    // The merged /usr of this machine: a path in the archive must not lead through a link that comes after it.
    let root = fs::canonicalize("/lib").unwrap_or_else(|_| "/lib".into()).join("modules");
    let root = root.join(release.unwrap_or("unknown"));
    let mut list = Vec::new();
    for Found { name, inside, bytes } in order.found {
        let path = root.join(inside);
        let parameters = requests.iter().find(|request| request.name == name);
        let parameters = parameters.map(|request| request.parameters.clone()).unwrap_or_default();
        list.push(Listed { name, path: path.display().to_string(), parameters });
        tree.write(path, bytes);
    }
    listed::write(&list, tree)
}

/// Refuses parameters that would not reach their module. `before` are the requests before this one.
fn check_parameters(request: &Request, before: &[Request], directory: &Directory) -> std::result::Result<(), String> {
    let Request { name, parameters } = request;
    if !parameters.is_empty() && directory.is_built_in(name) {
        return Err(format!(
            "{name} is built into the kernel, which ignores `{parameters}` here: pass them as {name}.PARAMETER=VALUE on \
             the kernel's command line, by --append"
        ));
    }
    match before.iter().find(|other| other.name == *name && other.parameters != *parameters) {
        Some(other) => Err(format!(
            "{name} is requested twice, with the parameters `{}` and `{parameters}`: request it once",
            other.parameters
        )),
        None => Ok(()),
    }
}

/// A module to load.
struct Found {
    name: String,
    /// The path in the directory, without the compression's suffix.
    inside: PathBuf,
    bytes: Vec<u8>,
}

/// The modules in the order in which they are loaded.
struct Order<'a> {
    directory: &'a Directory,
    release: Option<&'a str>,
    found: Vec<Found>,
    entered: Vec<String>,
}

impl Order<'_> {
    /// Appends a module after those that it depends on. `user` is the module that depends on this one.
    fn enter(&mut self, name: &str, user: Option<&str>) -> Result<()> {
        if self.entered.iter().any(|other| other == name) || self.directory.is_built_in(name) {
            return Ok(());
        }
        self.entered.push(name.to_owned());
        let Some(path) = self.directory.file(name) else {
            return Err(self.directory.lacks(name, user));
        };
        let bytes = packed::read(path)?;
        let about = About::of(&bytes).map_err(|why| Error::Unusable { path: path.to_path_buf(), why })?;
        if let (Some(own), Some(release)) = (&about.release, self.release)
            && own != release
        {
            let why = format!("a module of the kernel {own}, but the guest's kernel is {release}");
            return Err(Error::Unusable { path: path.to_path_buf(), why });
        }
        // Some modules work better after another one, but do without it where it is absent.
        for other in about.wants.iter().filter(|other| self.directory.file(other).is_some()) {
            self.enter(other, Some(name))?;
        }
        for other in &about.needs {
            self.enter(other, Some(name))?;
        }
        let inside = packed::without_suffix(self.directory.inside(path));
        self.found.push(Found { name: name.to_owned(), inside, bytes });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_is_a_name_with_parameters() {
        let request: Request = "nf-tables  a=1 b=2 ".parse().unwrap();
        assert_eq!((request.name.as_str(), request.parameters.as_str()), ("nf_tables", "a=1 b=2"));
        for bad in ["", "  ", "/lib/x.ko", "../veth"] {
            assert!(bad.parse::<Request>().is_err(), "{bad:?}");
        }
    }

    /// Writes modules with these dependencies, in `kernel/` of a new directory.
    fn directory(modules: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("kernel")).unwrap();
        for (file, text) in modules {
            let bytes = about::example(text);
            fs::write(folder.path().join("kernel").join(file), bytes).unwrap();
        }
        fs::write(folder.path().join("modules.builtin"), "kernel/lib/built-in.ko\n").unwrap();
        folder
    }

    fn loaded(folder: &Path, names: &[&str], release: Option<&str>) -> Result<Vec<String>> {
        let requests: Vec<Request> = names.iter().map(|name| name.parse().unwrap()).collect();
        let mut tree = Tree::new(false);
        add(&requests, folder, release, &mut tree)?;
        let list: Vec<Listed> = serde_json::from_slice(tree.bytes(listed::LIST).unwrap()).unwrap();
        assert!(list.iter().all(|one| tree.bytes(&one.path).is_some()), "{list:?}");
        Ok(list.into_iter().map(|one| one.name).collect())
    }

    #[test]
    fn dependencies_are_loaded_first_and_once() {
        let folder = directory(&[
            ("top.ko", "depends=middle-a,middle_b,built_in\0softdep=pre: hint absent\0"),
            ("middle-a.ko", "depends=bottom\0"),
            ("middle_b.ko", "depends=bottom\0"),
            ("bottom.ko", "depends=\0"),
            ("hint.ko", ""),
        ]);
        let order = loaded(folder.path(), &["bottom", "top", "built-in"], None).unwrap();
        assert_eq!(order, ["bottom", "hint", "middle_a", "middle_b", "top"]);
    }

    #[test]
    fn parameters_that_no_module_gets_are_refused() {
        let folder = directory(&[("a.ko", "")]);
        let said = |names: &[&str]| loaded(folder.path(), names, None).unwrap_err().to_string();
        assert!(said(&["built-in x=1"]).contains("built_in is built into the kernel, which ignores `x=1` here"));
        assert!(said(&["a x=1", "a x=2"]).contains("a is requested twice, with the parameters `x=1` and `x=2`"));
        assert!(said(&["a", "a x=2"]).contains("a is requested twice"));
        assert_eq!(loaded(folder.path(), &["a x=1", "a x=1", "built-in"], None).unwrap(), ["a"]);
    }

    #[test]
    fn module_in_updates_replaces_another() {
        for (first, second) in [("kernel", "updates"), ("updates", "kernel")] {
            let folder = tempfile::tempdir().unwrap();
            for place in [first, second] {
                fs::create_dir(folder.path().join(place)).unwrap();
                fs::write(folder.path().join(place).join("a.ko"), about::example("")).unwrap();
            }
            fs::create_dir(folder.path().join("extra")).unwrap();
            fs::write(folder.path().join("extra/a.ko"), about::example("")).unwrap();
            let directory = Directory::open(folder.path()).unwrap();
            assert_eq!(directory.inside(directory.file("a").unwrap()), Path::new("updates/a.ko"));
            fs::remove_dir_all(folder.path().join("updates")).unwrap();
            let directory = Directory::open(folder.path()).unwrap();
            assert_eq!(directory.inside(directory.file("a").unwrap()), Path::new("extra/a.ko"));
        }
    }

    /// The digest of the files is a part of a saved guest's key.
    #[test]
    fn other_modules_or_parameters_make_another_saved_guest() {
        let folder = directory(&[("a.ko", "depends=b\0"), ("b.ko", "")]);
        let digest = |words: &[&str]| {
            let requests: Vec<Request> = words.iter().map(|word| word.parse().unwrap()).collect();
            let mut tree = Tree::new(false);
            add(&requests, folder.path(), None, &mut tree).unwrap();
            tree.digest().unwrap()
        };
        let all = [digest(&["a"]), digest(&["b"]), digest(&["a x=1"]), digest(&["a", "b x=1"])];
        for (index, one) in all.iter().enumerate() {
            assert!(!all.iter().skip(index + 1).any(|other| other == one), "{index}");
        }
        assert_eq!(digest(&["a"]), all[0]);
    }

    #[test]
    fn circle_ends() {
        let folder = directory(&[("a.ko", "depends=b\0"), ("b.ko", "depends=a\0")]);
        assert_eq!(loaded(folder.path(), &["a"], None).unwrap(), ["b", "a"]);
    }

    #[test]
    fn unknown_modules_get_the_nearest_names() {
        let folder = directory(&[("veth.ko", "depends=gone\0"), ("vxlan.ko", ""), ("nf_tables.ko", "")]);
        let said = |name: &str| loaded(folder.path(), &[name], None).unwrap_err().to_string();
        let line = said("vet");
        assert!(line.starts_with("no kernel module vet in ") && line.contains("similar names: veth"), "{line}");
        let line = said("tables");
        assert!(line.contains("similar names: nf_tables"), "{line}");
        let line = said("veth");
        assert!(line.contains("no kernel module gone, which veth needs, in "), "{line}");
        assert!(said("qqqqqqqq").ends_with("no similar name is there"));
    }

    #[test]
    fn module_of_another_kernel_is_refused() {
        let folder = directory(&[("a.ko", "vermagic=6.1.0-9 SMP mod_unload \0"), ("b.ko", "depends=a\0")]);
        assert_eq!(loaded(folder.path(), &["b"], Some("6.1.0-9")).unwrap(), ["a", "b"]);
        let line = loaded(folder.path(), &["b"], Some("6.1.0-8")).unwrap_err().to_string();
        assert!(line.contains("a.ko: a module of the kernel 6.1.0-9, but the guest's kernel is 6.1.0-8"), "{line}");
        fs::write(folder.path().join("kernel/b.ko"), "no ELF").unwrap();
        assert!(loaded(folder.path(), &["b"], None).unwrap_err().to_string().contains("b.ko: not a kernel module"));
    }
}
