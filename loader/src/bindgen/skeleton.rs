//! Writes the types for open, load and attach: one method for each map, program and global variable.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    items::{Item, Items, MapTypes, Names, VariableType},
    model::{Defs, Ty},
    naming::{Scope, identifier, plain},
    print::{Out, Returned},
};

const ERROR: &str = "::cutaway::Error";

/// Writes these types.
pub(super) fn write(out: &mut Out, names: &Names, items: &Items, defs: &Defs) {
    let mut skeleton = Skeleton { out, names, items, defs };
    skeleton.opened();
    skeleton.loaded();
    skeleton.links();
}

/// A group of methods: the name of the method that returns it, and of its type.
const GROUPS: [(&str, &str); 3] = [("maps", "Maps"), ("programs", "Programs"), ("globals", "Globals")];

struct Skeleton<'s> {
    out: &'s mut Out,
    names: &'s Names,
    items: &'s Items,
    defs: &'s Defs,
}

impl Skeleton<'_> {
    /// Returns whether a group has methods, before and after loading.
    fn has(&self, group: &str) -> (bool, bool) {
        let items = self.items;
        match group {
            "maps" => (!items.maps.is_empty(), !items.maps.is_empty()),
            "programs" => (!items.programs.is_empty(), !items.programs.is_empty()),
            _ => {
                let settable =
                    |variable: &Item<VariableType>| variable.detail.is_settable && variable.detail.ty.is_some();
                (items.variables.iter().any(settable), !items.variables.is_empty())
            }
        }
    }

    fn opened(&mut self) {
        let (open, loaded) = (&self.names.open, &self.names.loaded);
        self.out.doc("The object, not yet loaded: sizes of maps, values of global variables and the choice of programs can still be changed.");
        self.out.line("#[derive(Debug)]");
        self.out.open(&format!("pub struct {open} {{"));
        self.out.line("object: ::cutaway::Object,");
        self.out.close("}");
        self.out.blank();
        self.out.open(&format!("impl {open} {{"));
        self.out.doc("Reads the object. Makes no system call.");
        self.out.line("///");
        errors(self.out, "[`Error::Object`](::cutaway::Error::Object) if this crate's version cannot read it.");
        self.out.open(&format!("pub fn open() -> Result<Self, {ERROR}> {{"));
        self.out.line("let object = ::cutaway::Object::parse(OBJECT)?;");
        self.out.line("Ok(Self { object })");
        self.out.close("}");
        for (method, suffix) in GROUPS {
            if self.has(method).0 {
                let ty = format!("{open}{suffix}");
                self.out.blank();
                self.out.doc(&format!("Returns the {method}, to change them before loading."));
                self.out.function(&format!("pub fn {method}"), &["&mut self"], &Returned::Type(&ty, &["'_"]));
                self.out.literal(&ty, &["object: &mut self.object".to_owned()], "");
                self.out.close("}");
            }
        }
        self.out.blank();
        self.out.doc("Returns the whole description.");
        self.out.line("#[must_use]");
        self.out.open("pub fn object(&self) -> &::cutaway::Object {");
        self.out.line("&self.object");
        self.out.close("}");
        self.out.blank();
        self.out.doc("Returns the whole description, to change it before loading.");
        self.out.open("pub fn object_mut(&mut self) -> &mut ::cutaway::Object {");
        self.out.line("&mut self.object");
        self.out.close("}");
        self.out.blank();
        self.out.doc(&format!("Returns the whole description, to load it otherwise: the programs that the kernel accepts by [`Object::load_partial`](::cutaway::Object::load_partial), then `{loaded}::from_loaded`."));
        self.out.line("#[must_use]");
        self.out.open("pub fn into_object(self) -> ::cutaway::Object {");
        self.out.line("self.object");
        self.out.close("}");
        for (name, options, argument) in
            [("load", None, ""), ("load_with", Some("options: &::cutaway::LoadOptions<'_>"), "options")]
        {
            self.out.blank();
            self.out.doc("Creates the maps and loads the programs into the kernel.");
            self.out.line("///");
            errors(self.out, &format!("As [`Object::{name}`](::cutaway::Object::{name})."));
            let parameters: Vec<&str> = std::iter::once("self").chain(options).collect();
            self.out.function(&format!("pub fn {name}"), &parameters, &Returned::Type("Result", &[loaded, ERROR]));
            self.out.line(&format!("let loaded = self.object.{name}({argument})?;"));
            self.out.literal(&format!("Ok({loaded}"), &["loaded".to_owned()], ")");
            self.out.close("}");
        }
        self.out.close("}");
        self.out.blank();
        self.open_groups();
    }

    fn open_groups(&mut self) {
        let open = &self.names.open;
        let field = ("object", "&'o mut ::cutaway::Object");
        if self.has("maps").0 {
            borrowing(self.out, &format!("{open}Maps"), "'o", "The descriptions of the maps.", field);
            self.out.open(&format!("impl<'o> {open}Maps<'o> {{"));
            let mut methods = Methods::default();
            for map in &self.items.maps {
                let name = methods.next(self.out, &map.name, &format!("Returns the description of {}", map.doc));
                errors(self.out, "[`Error::NoSuchName`](::cutaway::Error::NoSuchName) if it was removed.");
                let returned = ["&'o mut ::cutaway::MapSpec", ERROR];
                self.out.function(&format!("pub fn {name}"), &["self"], &Returned::Type("Result", &returned));
                self.out.by_name("", "self.object.map_mut", &map.name, &[], "");
                self.out.close("}");
            }
            self.out.close("}");
            self.out.blank();
        }
        if self.has("programs").0 {
            borrowing(self.out, &format!("{open}Programs"), "'o", "The descriptions of the programs.", field);
            self.out.open(&format!("impl<'o> {open}Programs<'o> {{"));
            let mut methods = Methods::default();
            for program in &self.items.programs {
                let name =
                    methods.next(self.out, &program.name, &format!("Returns the description of {}", program.doc));
                errors(self.out, "[`Error::NoSuchName`](::cutaway::Error::NoSuchName) if it was removed.");
                let returned = ["&'o mut ::cutaway::ProgramSpec", ERROR];
                self.out.function(&format!("pub fn {name}"), &["self"], &Returned::Type("Result", &returned));
                self.out.by_name("", "self.object.program_mut", &program.name, &[], "");
                self.out.close("}");
            }
            self.out.close("}");
            self.out.blank();
        }
        if self.has("globals").0 {
            borrowing(self.out, &format!("{open}Globals"), "'o", "The initial values of the global variables.", field);
            self.out.open(&format!("impl {open}Globals<'_> {{"));
            let mut methods = Methods::default();
            for variable in self.items.variables.iter().filter(|variable| variable.detail.is_settable) {
                let Some(ty) = &variable.detail.ty else { continue };
                let setter = format!("set_{}", plain(&variable.name));
                let name = methods.next(self.out, &setter, &format!("Sets {}", variable.doc));
                errors(self.out, "As [`Object::set_variable`](::cutaway::Object::set_variable).");
                let text = self.defs.text(ty);
                // Clippy wants small values to be passed by value.
                let is_small = matches!(ty, Ty::Number(..) | Ty::Bool) || self.defs.size(ty) <= 8;
                let (text, value) = if is_small { (text, "&value") } else { (format!("&{text}"), "value") };
                let parameters = ["self", &format!("value: {text}")];
                self.out.function(&format!("pub fn {name}"), &parameters, &Returned::Type("Result", &["()", ERROR]));
                self.out.by_name("", "self.object.set_variable", &variable.name, &[value], "");
                self.out.close("}");
            }
            self.out.close("}");
            self.out.blank();
        }
    }

    fn loaded(&mut self) {
        let (loaded, links) = (&self.names.loaded, &self.names.links);
        self.out.doc("The object's maps and programs in the kernel. Dropping it closes their file descriptors.");
        self.out.line("#[derive(Debug)]");
        self.out.open(&format!("pub struct {loaded} {{"));
        self.out.line("loaded: ::cutaway::Loaded,");
        self.out.close("}");
        self.out.blank();
        self.out.open(&format!("impl {loaded} {{"));
        self.out.doc("Takes maps and programs that were loaded from this object. Those of another object have other names: the methods then return errors.");
        self.out.line("#[must_use]");
        self.out.open("pub fn from_loaded(loaded: ::cutaway::Loaded) -> Self {");
        self.out.line("Self { loaded }");
        self.out.close("}");
        self.out.blank();
        for (method, suffix) in GROUPS {
            if self.has(method).1 {
                let ty = format!("{loaded}{suffix}");
                self.out.doc(&format!("Returns the {method}."));
                self.out.line("#[must_use]");
                self.out.function(&format!("pub fn {method}"), &["&self"], &Returned::Type(&ty, &["'_"]));
                self.out.literal(&ty, &["loaded: &self.loaded".to_owned()], "");
                self.out.close("}");
                self.out.blank();
            }
        }
        self.out.doc("Attaches every program whose section names a target, and registers every `struct_ops` map.");
        self.out.line("///");
        errors(self.out, "As [`Loaded::attach`](::cutaway::Loaded::attach).");
        self.out.function("pub fn attach", &["&self"], &Returned::Type("Result", &[links, ERROR]));
        self.out.line("let links = self.loaded.attach_named()?;");
        self.out.literal(&format!("Ok({links}"), &["links".to_owned()], ")");
        self.out.close("}");
        self.out.blank();
        self.out.doc("Returns the maps and programs without their types in Rust.");
        self.out.line("#[must_use]");
        self.out.open("pub fn loaded(&self) -> &::cutaway::Loaded {");
        self.out.line("&self.loaded");
        self.out.close("}");
        self.out.blank();
        self.out.doc("Returns the maps and programs without their types in Rust.");
        self.out.line("#[must_use]");
        self.out.open("pub fn into_loaded(self) -> ::cutaway::Loaded {");
        self.out.line("self.loaded");
        self.out.close("}");
        self.out.close("}");
        self.out.blank();
        self.loaded_groups();
    }

    fn loaded_groups(&mut self) {
        let loaded = &self.names.loaded;
        let field = ("loaded", "&'l ::cutaway::Loaded");
        let skipped = "[`Error::NoSuchName`](::cutaway::Error::NoSuchName) if it was not created.";
        if self.has("maps").1 {
            borrowing(self.out, &format!("{loaded}Maps"), "'l", "The maps.", field);
            self.out.open(&format!("impl<'l> {loaded}Maps<'l> {{"));
            let mut methods = Methods::default();
            for map in &self.items.maps {
                let name = methods.next(self.out, &map.name, &format!("Returns {}", map.doc));
                let head = format!("pub fn {name}");
                match &map.detail {
                    MapTypes::Typed { key, value } => {
                        errors(
                            self.out,
                            &format!(
                                "{skipped} [`Error::Invalid`](::cutaway::Error::Invalid) if keys or values got another size."
                            ),
                        );
                        let key = key.as_ref().map_or_else(|| "()".to_owned(), |key| self.defs.text(key));
                        let typed = format!("::cutaway::TypedMap<'l, {key}, {}>", self.defs.text(value));
                        self.out.function(&head, &["self"], &Returned::Type("Result", &[&typed, ERROR]));
                        self.out.by_name("let map = ", "self.loaded.map", &map.name, &[], "?;");
                        self.out.line("map.typed()");
                    }
                    MapTypes::Untyped | MapTypes::StructOps => {
                        errors(self.out, skipped);
                        self.out.function(&head, &["self"], &Returned::Type("Result", &["&'l ::cutaway::Map", ERROR]));
                        self.out.by_name("", "self.loaded.map", &map.name, &[], "");
                    }
                }
                self.out.close("}");
            }
            self.out.close("}");
            self.out.blank();
        }
        if self.has("programs").1 {
            borrowing(self.out, &format!("{loaded}Programs"), "'l", "The programs.", field);
            self.out.open(&format!("impl<'l> {loaded}Programs<'l> {{"));
            let mut methods = Methods::default();
            for program in &self.items.programs {
                let name = methods.next(self.out, &program.name, &format!("Returns {}", program.doc));
                errors(
                    self.out,
                    "[`Error::Invalid`](::cutaway::Error::Invalid), with the reason, if it was not loaded.",
                );
                let returned = ["&'l ::cutaway::Program", ERROR];
                self.out.function(&format!("pub fn {name}"), &["self"], &Returned::Type("Result", &returned));
                self.out.by_name("", "self.loaded.program", &program.name, &[], "");
                self.out.close("}");
            }
            self.out.close("}");
            self.out.blank();
        }
        if self.has("globals").1 {
            borrowing(self.out, &format!("{loaded}Globals"), "'l", "The global variables.", field);
            self.out.open(&format!("impl<'l> {loaded}Globals<'l> {{"));
            let mut methods = Methods::default();
            for variable in &self.items.variables {
                let name = methods.next(self.out, &variable.name, &format!("Returns {}", variable.doc));
                errors(self.out, skipped);
                let head = format!("pub fn {name}");
                match &variable.detail.ty {
                    Some(ty) => {
                        let typed = format!("::cutaway::TypedVariable<'l, {}>", self.defs.text(ty));
                        self.out.function(&head, &["self"], &Returned::Type("Result", &[&typed, ERROR]));
                        self.out.by_name("let variable = ", "self.loaded.variable", &variable.name, &[], "?;");
                        self.out.line("variable.typed()");
                    }
                    None => {
                        let returned = ["::cutaway::Variable<'l>", ERROR];
                        self.out.function(&head, &["self"], &Returned::Type("Result", &returned));
                        self.out.by_name("", "self.loaded.variable", &variable.name, &[], "");
                    }
                }
                self.out.close("}");
            }
            self.out.close("}");
            self.out.blank();
        }
    }

    fn links(&mut self) {
        let links = &self.names.links;
        self.out.doc("The links of the attached programs. Dropping it detaches them, the last one attached first.");
        self.out.line("#[derive(Debug)]");
        self.out.line("#[must_use = \"dropping links detaches the programs\"]");
        self.out.open(&format!("pub struct {links} {{"));
        self.out.doc("All links, and the programs that are not attached, with the reasons.");
        self.out.line("pub links: ::cutaway::NamedLinks,");
        self.out.close("}");
        let programs = self.items.programs.iter().map(|program| (&program.name, &program.doc));
        let maps = self.items.maps.iter().filter(|map| matches!(map.detail, MapTypes::StructOps));
        let all: BTreeMap<_, _> = programs.chain(maps.map(|map| (&map.name, &map.doc))).collect();
        if all.is_empty() {
            return;
        }
        self.out.blank();
        self.out.open(&format!("impl {links} {{"));
        let mut methods = Methods::default();
        for (name, doc) in all {
            let method = methods.begin(self.out, name);
            self.out.doc(&format!("Returns the link of {doc} `None` if it is not attached."));
            self.out.line("#[must_use]");
            let returned = Returned::Type("Option", &["&::cutaway::Link"]);
            self.out.function(&format!("pub fn {method}"), &["&self"], &returned);
            self.out.by_name("", "self.links.get", name, &[], "");
            self.out.close("}");
        }
        self.out.close("}");
    }
}

/// Writes a type that borrows.
fn borrowing(out: &mut Out, name: &str, lifetime: &str, doc: &str, (field, ty): (&str, &str)) {
    out.doc(doc);
    out.line("#[derive(Debug)]");
    out.open(&format!("pub struct {name}<{lifetime}> {{"));
    out.line(&format!("{field}: {ty},"));
    out.close("}");
    out.blank();
}

fn errors(out: &mut Out, text: &str) {
    out.line("/// # Errors");
    out.line("///");
    out.doc(text);
}

/// The methods of one type.
#[derive(Default)]
struct Methods {
    scope: Scope,
    known: BTreeSet<String>,
}

impl Methods {
    /// Writes what is before a method, and its documentation up to the errors. Returns its identifier.
    fn next(&mut self, out: &mut Out, name: &str, doc: &str) -> String {
        let method = self.begin(out, name);
        out.doc(doc);
        out.line("///");
        method
    }

    fn begin(&mut self, out: &mut Out, name: &str) -> String {
        if !self.known.is_empty() {
            out.blank();
        }
        self.known.insert(name.to_owned());
        identifier(&self.scope.take(plain(name)))
    }
}
