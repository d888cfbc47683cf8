//! Checks that no files of a crate import each other in a circle, and that stages import only what stands before them.
//!
//! Reads each crate's files from its root on, follows `mod` declarations, and resolves every path that begins with `crate`,
//! `self`, `super` or a module's name, through `use` declarations, to the file that defines the item. Items under
//! `#[cfg(test)]` do not count.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    fs,
    path::{Path, PathBuf},
};

use syn::{
    Item, UseTree,
    buffer::{Cursor, TokenBuffer},
    visit::{self, Visit},
};

use xtask::tools::{Outcome, Result};

/// Roots of the crates that are checked.
const ROOTS: &[&str] = &[
    "sys/src/lib.rs",
    "mmap-ring/src/lib.rs",
    "perf-reader/src/lib.rs",
    "programs/src/lib.rs",
    "loader/src/lib.rs",
    "cli/src/main.rs",
    "tests/vm/src/lib.rs",
];

/// The loader's stages in order. A file or folder imports only what stands in its own row or in a row above.
///
/// Data walks down the rows: bytes become sections (`elf`), an object that is a plain value (`object`), what a kernel says of
/// it (`resolve`), instructions (`link`). From `map` and `program` on there are objects in the kernel, each of which can do
/// without the rows below; `load` makes them in order, `attach` takes what is loaded.
const STAGES: &[&[&str]] = &[
    &["privileges", "sorted", "gate"],
    &["error"],
    &["text", "sys", "pin"],
    &["elf"],
    &["btf"],
    &["object"],
    // What the running kernel can do, by trying.
    &["features"],
    &["resolve"],
    &["link"],
    &["map", "program"],
    // Readers of maps, and every map and program of the machine.
    &["variable", "buffers", "system"],
    &["load", "dry_run"],
    &["attach"],
];

/// Where the stages are.
const STAGED: &str = "loader/src";

/// Runs the check and prints each circle and each import against the order.
pub(crate) fn check() -> Result {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut faults = Vec::new();
    for root in ROOTS {
        faults.extend(self::faults(&repository, root)?);
    }
    match faults.as_slice() {
        [] => Ok(Outcome::Done),
        faults => Err(faults.join("\n")),
    }
}

/// Finds the circles of the crate whose root file is `root`, and its imports against the order, one a line.
fn faults(repository: &Path, root: &str) -> std::result::Result<Vec<String>, String> {
    let imports = imports(&repository.join(root))?;
    let name = |file: &Path| file.strip_prefix(repository).unwrap_or(file).display().to_string();
    let mut faults = Vec::new();
    for circle in circles(&imports) {
        faults.push(format!("circle of {} files:", circle.len()));
        let within = |file: &PathBuf| circle.contains(file);
        for ((from, to), path) in imports.iter().filter(|((from, to), _)| within(from) && within(to)) {
            faults.push(format!("    {} imports {path} of {}", name(from), name(to)));
        }
    }
    for ((from, to), path) in &imports {
        let (from, to) = (name(from), name(to));
        match (stage(&from), stage(&to)) {
            (Staged::At(early), Staged::At(late)) if early < late => {
                faults.push(format!("{from} imports {path} of {to}, a later stage"));
            }
            (Staged::Unknown, _) | (_, Staged::Unknown) => {
                faults.push(format!(
                    "{from} imports {path} of {to}: one of them is in no stage (STAGES in structure.rs)"
                ));
            }
            _ => {}
        }
    }
    Ok(faults)
}

/// The place of a file among the stages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Staged {
    At(usize),
    /// The crate has no stages, or the file is the root, which imports everything.
    Free,
    /// A new file, or a new folder, of a crate that has stages.
    Unknown,
}

fn stage(file: &str) -> Staged {
    let Some(file) = file.strip_prefix(STAGED).and_then(|rest| rest.strip_prefix('/')) else { return Staged::Free };
    let first = file.split('/').next().unwrap_or(file);
    let first = first.strip_suffix(".rs").unwrap_or(first);
    if first == "lib" {
        return Staged::Free;
    }
    STAGES.iter().position(|row| row.contains(&first)).map_or(Staged::Unknown, Staged::At)
}

/// Imports of a crate: importing file, imported file, one path that does.
type Imports = BTreeMap<(PathBuf, PathBuf), String>;

fn imports(root: &Path) -> std::result::Result<Imports, String> {
    let mut modules = Modules(Vec::new());
    modules.read(root, &root.with_file_name(""), None, "crate")?;
    let mut imports = Imports::new();
    for (number, module) in modules.0.iter().enumerate() {
        for path in &module.paths {
            let Some(target) = modules.resolve(number, path, &mut HashSet::new()) else { continue };
            let Some(target) = modules.0.get(target) else { continue };
            if target.file != module.file {
                imports.entry((module.file.clone(), target.file.clone())).or_insert_with(|| path.join("::"));
            }
        }
    }
    Ok(imports)
}

struct Module {
    file: PathBuf,
    parent: Option<usize>,
    children: HashMap<String, usize>,
    /// Items that it defines.
    items: HashSet<String>,
    /// Names that `use` brings into it, with their paths.
    uses: HashMap<String, Vec<String>>,
    globs: Vec<Vec<String>>,
    /// Paths that its code names.
    paths: Vec<Vec<String>>,
}

/// Segments of the longest path that is followed.
const MAX_PATH: usize = 12;

struct Modules(Vec<Module>);

impl Modules {
    fn read(
        &mut self,
        file: &Path,
        folder: &Path,
        parent: Option<usize>,
        name: &str,
    ) -> std::result::Result<usize, String> {
        let text = fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
        let parsed = syn::parse_file(&text).map_err(|error| format!("{}: {error}", file.display()))?;
        self.add(file, folder, parent, name, &parsed.items)
    }

    fn add(
        &mut self,
        file: &Path,
        folder: &Path,
        parent: Option<usize>,
        name: &str,
        items: &[Item],
    ) -> std::result::Result<usize, String> {
        let number = self.0.len();
        self.0.push(Module {
            file: file.to_owned(),
            parent,
            children: HashMap::new(),
            items: HashSet::new(),
            uses: HashMap::new(),
            globs: Vec::new(),
            paths: Vec::new(),
        });
        if let Some(parent) = parent.and_then(|parent| self.0.get_mut(parent)) {
            parent.children.insert(name.to_owned(), number);
        }
        for item in items.iter().filter(|item| !is_test(item)) {
            if let Item::Mod(module) = item {
                let name = module.ident.to_string();
                let below = folder.join(&name);
                match &module.content {
                    Some((_, items)) => drop(self.add(file, &below, Some(number), &name, items)?),
                    None => {
                        let flat = folder.join(format!("{name}.rs"));
                        let file = if flat.exists() { flat } else { below.join("mod.rs") };
                        self.read(&file, &below, Some(number), &name)?;
                    }
                }
                continue;
            }
            let mut found = Found::default();
            found.visit_item(item);
            let Some(module) = self.0.get_mut(number) else { continue };
            module.paths.extend(found.paths);
            if let Item::Use(item) = item {
                let mut leaves = Vec::new();
                flatten(&item.tree, &mut Vec::new(), &mut leaves);
                for (path, name) in leaves {
                    match name {
                        Some(name) => drop(module.uses.insert(name, path)),
                        None => module.globs.push(path),
                    }
                }
            }
            module.items.extend(defined(item));
        }
        Ok(number)
    }

    /// Finds the module that defines what `path` names in module `from`; `None` for what is not of this crate.
    fn resolve(&self, from: usize, path: &[String], seen: &mut HashSet<(usize, Vec<String>)>) -> Option<usize> {
        // Names that lead back to themselves grow the path.
        if path.len() > MAX_PATH || !seen.insert((from, path.to_vec())) {
            return None;
        }
        let module = self.0.get(from)?;
        let Some((first, rest)) = path.split_first() else { return Some(from) };
        match first.as_str() {
            "crate" => return self.resolve(0, rest, seen),
            "self" => return self.resolve(from, rest, seen),
            "super" => return self.resolve(module.parent?, rest, seen),
            _ => {}
        }
        if let Some(&child) = module.children.get(first) {
            return self.resolve(child, rest, seen);
        }
        // A `use` of another crate's item may begin with the name that it brings.
        if let Some(used) = module.uses.get(first).filter(|used| used.first() != Some(first))
            && let Some(found) = self.resolve(from, &[used.as_slice(), rest].concat(), seen)
        {
            return Some(found);
        }
        if module.items.contains(first) {
            return Some(from);
        }
        module.globs.iter().find_map(|glob| self.resolve(from, &[glob.as_slice(), path].concat(), seen))
    }
}

/// Paths in an item.
#[derive(Default)]
struct Found {
    paths: Vec<Vec<String>>,
}

impl<'ast> Visit<'ast> for Found {
    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        let mut leaves = Vec::new();
        flatten(&item.tree, &mut Vec::new(), &mut leaves);
        self.paths.extend(leaves.into_iter().map(|(path, _)| path));
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.segments.len() > 1 {
            self.paths.push(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        }
        visit::visit_path(self, path);
    }

    fn visit_item(&mut self, item: &'ast Item) {
        if !is_test(item) {
            visit::visit_item(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        if !is_cfg_test(&item.attrs) {
            visit::visit_impl_item_fn(self, item);
        }
    }

    fn visit_macro(&mut self, invocation: &'ast syn::Macro) {
        named(TokenBuffer::new2(invocation.tokens.clone()).begin(), &mut self.paths);
        visit::visit_macro(self, invocation);
    }
}

/// Collects the paths that a macro is given: names joined by `::`.
fn named(mut cursor: Cursor<'_>, paths: &mut Vec<Vec<String>>) {
    let mut path: Vec<String> = Vec::new();
    // Colons since the last name.
    let mut colons = 0;
    let mut end = |path: &mut Vec<String>| match path.len() {
        0 | 1 => path.clear(),
        _ => paths.push(std::mem::take(path)),
    };
    let mut groups = Vec::new();
    while !cursor.eof() {
        if let Some((name, next)) = cursor.ident() {
            if colons != 2 {
                end(&mut path);
            }
            path.push(name.to_string());
            (colons, cursor) = (0, next);
        } else if let Some((_, next)) = cursor.punct().filter(|(sign, _)| sign.as_char() == ':') {
            (colons, cursor) = (colons + 1, next);
        } else {
            end(&mut path);
            colons = 0;
            cursor = match cursor.any_group() {
                Some((inside, _, _, next)) => {
                    groups.push(inside);
                    next
                }
                None => match cursor.token_tree() {
                    Some((_, next)) => next,
                    None => break,
                },
            };
        }
    }
    end(&mut path);
    groups.into_iter().for_each(|group| named(group, paths));
}

/// The leaves of a `use` tree: whole path, and the name that it brings; `None` for a glob.
fn flatten(tree: &UseTree, before: &mut Vec<String>, leaves: &mut Vec<(Vec<String>, Option<String>)>) {
    match tree {
        UseTree::Path(path) => {
            before.push(path.ident.to_string());
            flatten(&path.tree, before, leaves);
            before.pop();
        }
        UseTree::Name(name) if name.ident == "self" => {
            leaves.push((before.clone(), before.last().cloned()));
        }
        UseTree::Name(name) => {
            let name = name.ident.to_string();
            leaves.push(([before.as_slice(), std::slice::from_ref(&name)].concat(), Some(name)));
        }
        UseTree::Rename(rename) => {
            let path = match rename.ident.to_string() {
                name if name == "self" => before.clone(),
                name => [before.as_slice(), &[name]].concat(),
            };
            leaves.push((path, Some(rename.rename.to_string())));
        }
        UseTree::Glob(_) => leaves.push((before.clone(), None)),
        UseTree::Group(group) => group.items.iter().for_each(|tree| flatten(tree, before, leaves)),
    }
}

fn defined(item: &Item) -> Option<String> {
    Some(match item {
        Item::Const(item) => item.ident.to_string(),
        Item::Enum(item) => item.ident.to_string(),
        Item::Fn(item) => item.sig.ident.to_string(),
        Item::Macro(item) => item.ident.as_ref()?.to_string(),
        Item::Static(item) => item.ident.to_string(),
        Item::Struct(item) => item.ident.to_string(),
        Item::Trait(item) => item.ident.to_string(),
        Item::Type(item) => item.ident.to_string(),
        Item::Union(item) => item.ident.to_string(),
        _ => return None,
    })
}

/// Whether the item is compiled in tests alone.
fn is_test(item: &Item) -> bool {
    match item {
        Item::Mod(item) => is_cfg_test(&item.attrs),
        Item::Fn(item) => is_cfg_test(&item.attrs),
        Item::Use(item) => is_cfg_test(&item.attrs),
        Item::Impl(item) => is_cfg_test(&item.attrs),
        Item::Struct(item) => is_cfg_test(&item.attrs),
        Item::Enum(item) => is_cfg_test(&item.attrs),
        Item::Const(item) => is_cfg_test(&item.attrs),
        Item::Static(item) => is_cfg_test(&item.attrs),
        Item::Trait(item) => is_cfg_test(&item.attrs),
        Item::Type(item) => is_cfg_test(&item.attrs),
        Item::Macro(item) => is_cfg_test(&item.attrs),
        _ => false,
    }
}

fn is_cfg_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute.meta.require_list().is_ok_and(|list| list.tokens.to_string() == "test")
    })
}

/// Sets of files that reach each other.
fn circles(imports: &Imports) -> Vec<BTreeSet<PathBuf>> {
    let mut next: BTreeMap<&PathBuf, Vec<&PathBuf>> = BTreeMap::new();
    for (from, to) in imports.keys() {
        next.entry(from).or_default().push(to);
    }
    let reached = |from: &PathBuf| {
        let (mut seen, mut open) = (BTreeSet::new(), vec![from]);
        while let Some(file) = open.pop() {
            for &to in next.get(file).into_iter().flatten() {
                if seen.insert(to.clone()) {
                    open.push(to);
                }
            }
        }
        seen
    };
    let reach: BTreeMap<PathBuf, BTreeSet<PathBuf>> = next.keys().map(|&file| (file.clone(), reached(file))).collect();
    let mut circles: Vec<BTreeSet<PathBuf>> = Vec::new();
    for (file, reached) in &reach {
        if reached.contains(file) && !circles.iter().any(|circle| circle.contains(file)) {
            let back = |other: &&PathBuf| reach.get(*other).is_some_and(|theirs| theirs.contains(file));
            circles.push(reached.iter().filter(back).cloned().collect());
        }
    }
    circles
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes a crate of these files into a folder of its own and checks it: the faults, one a line.
    fn checked(name: &str, root: &str, files: &[(&str, &str)]) -> Vec<String> {
        let folder = std::env::temp_dir().join(format!("cutaway-structure-{name}-{}", std::process::id()));
        for (file, text) in files {
            let file = folder.join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
        let faults = faults(&folder, root);
        fs::remove_dir_all(folder).unwrap();
        faults.unwrap()
    }

    #[test]
    fn circle_of_two_files_is_found() {
        let faults = checked(
            "two",
            "src/lib.rs",
            &[
                ("src/lib.rs", "mod a; mod b;"),
                ("src/a.rs", "use crate::b::B; pub struct A; fn f() -> B { B }"),
                ("src/b.rs", "pub struct B; fn f(_: super::a::A) {}"),
            ],
        );
        assert_eq!(
            faults,
            [
                "circle of 2 files:",
                "    src/a.rs imports crate::b::B of src/b.rs",
                "    src/b.rs imports super::a::A of src/a.rs",
            ]
        );
    }

    #[test]
    fn circle_of_three_files_is_found_through_a_facade_and_a_renaming() {
        let files = [
            ("src/main.rs", "mod facade; use facade::*; use One as Uno; mod last;"),
            ("src/facade.rs", "mod one; mod two; pub use self::{one::One, two::*};"),
            ("src/facade/one.rs", "use super::Two; pub struct One(Two);"),
            ("src/facade/two.rs", "pub struct Two(crate::last::Last);"),
            (
                "src/last.rs",
                "pub struct Last; impl From<crate::Uno> for Last { fn from(_: crate::Uno) -> Self { Last } }",
            ),
        ];
        let faults = checked("three", "src/main.rs", &files);
        assert_eq!(faults.first().map(String::as_str), Some("circle of 3 files:"), "{faults:?}");
        assert_eq!(faults.len(), 4, "{faults:?}");
        // A facade that only re-exports is in no circle.
        assert!(faults.iter().all(|line| !line.contains("facade.rs")), "{faults:?}");
    }

    #[test]
    fn paths_in_macros_count() {
        let faults = checked(
            "macros",
            "src/lib.rs",
            &[
                ("src/lib.rs", "mod a; mod b;"),
                ("src/a.rs", "pub const A: u8 = 1; fn f() { println!(\"{}\", [crate::b::B].len()) }"),
                ("src/b.rs", "pub const B: u8 = super::a::A;"),
            ],
        );
        assert_eq!(faults.len(), 3, "{faults:?}");
    }

    #[test]
    fn tests_and_impl_blocks_in_later_files_are_no_circles() {
        let faults = checked(
            "fine",
            "src/lib.rs",
            &[
                ("src/lib.rs", "mod ty; mod walk;"),
                (
                    "src/ty.rs",
                    "pub struct Ty; impl Ty { #[cfg(test)] fn seen() { crate::walk::walk(&Ty) } } \
                     #[cfg(test)] use crate::walk::walk; #[cfg(test)] mod tests { use crate::walk::Walk; }",
                ),
                (
                    "src/walk.rs",
                    "use crate::ty::Ty; pub enum Walk {} impl Ty { pub fn go(&self) {} } pub fn walk(_: &Ty) {}",
                ),
            ],
        );
        assert!(faults.is_empty(), "{faults:?}");
    }

    #[test]
    fn import_of_a_later_stage_is_found() {
        let faults = checked(
            "stages",
            "loader/src/lib.rs",
            &[
                ("loader/src/lib.rs", "mod elf; mod link; mod object; mod new;"),
                ("loader/src/elf.rs", "pub struct Elf;"),
                ("loader/src/object.rs", "mod parse;"),
                ("loader/src/object/parse.rs", "use crate::{elf::Elf, link::Linked}; pub struct Parse(Elf, Linked);"),
                ("loader/src/link.rs", "pub struct Linked;"),
                ("loader/src/new.rs", "use crate::elf::Elf;"),
            ],
        );
        assert_eq!(
            faults,
            [
                "loader/src/new.rs imports crate::elf::Elf of loader/src/elf.rs: one of them is in no stage (STAGES in \
                 structure.rs)",
                "loader/src/object/parse.rs imports crate::link::Linked of loader/src/link.rs, a later stage",
            ]
        );
    }
}
