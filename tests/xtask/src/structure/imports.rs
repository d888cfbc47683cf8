//! The imports between the files of a crate.
//!
//! It reads the files from the crate's root on and follows `mod` declarations. It resolves each path that begins with
//! `crate`, `self`, `super` or a module's name, through `use` declarations, to the file that defines the item. It
//! ignores items under `#[cfg(test)]`.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs,
    path::{Path, PathBuf},
};

use syn::{
    Item, UseTree,
    buffer::{Cursor, TokenBuffer},
    visit::{self, Visit},
};

/// The imports of a crate: importing file, imported file, and one path that imports it.
pub(super) type Imports = BTreeMap<(PathBuf, PathBuf), String>;

/// Reads the crate whose root file is `root`.
pub(super) fn imports(root: &Path) -> std::result::Result<Imports, String> {
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
    /// Names of the items that it defines.
    items: HashSet<String>,
    /// Names that `use` imports, with their paths.
    uses: HashMap<String, Vec<String>>,
    globs: Vec<Vec<String>>,
    /// Paths in its code.
    paths: Vec<Vec<String>>,
}

/// The maximum number of segments of a path that is resolved.
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

    /// Finds the module that defines the item of `path` in module `from`; `None` for an item of another crate.
    fn resolve(&self, from: usize, path: &[String], seen: &mut HashSet<(usize, Vec<String>)>) -> Option<usize> {
        // A name that resolves to itself grows the path.
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
        // A `use` of another crate's item may begin with the name that it imports.
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

/// The paths in an item.
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

    /// Skips the path in `pub(in path)`: it names the files that may import an item, and imports nothing.
    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {}

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

/// Collects the paths in the arguments of a macro: names joined by `::`.
fn named(mut cursor: Cursor<'_>, paths: &mut Vec<Vec<String>>) {
    let mut path: Vec<String> = Vec::new();
    // Number of colons since the last name.
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

/// Collects the leaves of a `use` tree: the whole path, and the name that it imports; `None` for a glob.
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

/// Returns the name of the item, if it defines one that a path can end in.
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

/// Returns whether the item is compiled only in tests.
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
