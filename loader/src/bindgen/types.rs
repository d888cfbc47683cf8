//! Writes the definitions of types.

use std::collections::BTreeSet;

use super::{
    model::{Accessor, Def, Defs, Enum, Field, Fields, Flexible, Part, Repr, Role, Shape, Ty, digits},
    naming::{identifier, shown},
    print::{Out, Returned},
    support::Helper,
};

/// Writes all definitions and aliases, and adds the functions that they use to `helpers`.
pub(super) fn write(out: &mut Out, defs: &Defs, aliases: &[(String, String, usize)], helpers: &mut BTreeSet<Helper>) {
    let mut writer = Writer { out, defs, helpers };
    for def in &defs.0 {
        writer.def(def);
    }
    for (name, c_name, index) in aliases {
        let Some(def) = defs.0.get(*index) else { continue };
        writer.out.doc(&format!("`{}`", shown(c_name)));
        writer.out.line(&format!("pub type {name} = {};", def.name));
        writer.out.blank();
    }
}

struct Writer<'w> {
    out: &'w mut Out,
    defs: &'w Defs,
    helpers: &'w mut BTreeSet<Helper>,
}

impl Writer<'_> {
    fn def(&mut self, def: &Def) {
        let bytes = if def.size == 1 { "byte" } else { "bytes" };
        self.out.doc(&format!("`{}`: {} {bytes}.", shown(&def.c_name), digits(def.size)));
        let notes = match &def.shape {
            Shape::Struct(fields) => &fields.notes[..],
            Shape::Bytes { notes, .. } => notes,
            Shape::Enum(_) => &[],
        };
        for note in notes {
            self.out.line("///");
            self.out.doc(note);
        }
        match &def.shape {
            Shape::Struct(fields) => self.structure(def, fields),
            Shape::Bytes { field, accessors, .. } => self.bytes(def, field, accessors),
            Shape::Enum(values) => self.enumeration(def, values),
        }
        self.assertions(def);
        self.out.blank();
    }

    fn derive(&mut self, def: &Def, debug: bool) {
        let mut traits = vec!["Clone", "Copy"];
        traits.extend(debug.then_some("Debug"));
        traits.extend(def.derives_default.then_some("Default"));
        traits.push("PartialEq");
        traits.extend((!def.has_float).then_some(["Eq", "Hash"]).into_iter().flatten());
        self.out.line(&format!("#[derive({})]", traits.join(", ")));
    }

    fn repr(&mut self, repr: Repr) {
        self.out.line(&match repr {
            Repr::C => "#[repr(C)]".to_owned(),
            Repr::Packed(1) => "#[repr(C, packed)]".to_owned(),
            Repr::Packed(align) => format!("#[repr(C, packed({align}))]"),
            Repr::Align(align) => format!("#[repr(C, align({align}))]"),
        });
    }

    fn structure(&mut self, def: &Def, fields: &Fields) {
        let derives_debug = fields.accessors.is_empty();
        self.derive(def, derives_debug);
        self.repr(def.repr);
        if fields.fields.is_empty() {
            self.out.line(&format!("pub struct {} {{}}", def.name));
        } else {
            self.out.open(&format!("pub struct {} {{", def.name));
            for field in &fields.fields {
                self.out.doc(&describe(field));
                self.out.field(&field.name, &self.defs.text(&field.ty));
            }
            self.out.close("}");
        }
        self.out.blank();
        self.out.open(&format!("impl {} {{", def.name));
        self.reader();
        for accessor in &fields.accessors {
            self.out.blank();
            self.accessor(def, accessor);
        }
        if let Some(flexible) = &fields.flexible {
            self.out.blank();
            self.flexible(flexible);
        }
        self.out.close("}");
        self.out.blank();
        if !def.derives_default {
            let zeroes = fields.fields.iter().map(|field| format!("{}: {}", field.name, self.defs.zero(&field.ty)));
            self.default(def, &zeroes.collect::<Vec<_>>());
        }
        if !derives_debug {
            self.debug(def, fields);
        }
        self.pod(def, &fields.fields);
    }

    fn reader(&mut self) {
        self.helpers.insert(Helper::Get);
        self.out.doc("Reads a value from the start of a record, which may be longer. `None` if it is shorter, or if one of its bytes is no `bool`.");
        self.out.line("#[must_use]");
        self.out.open("pub fn from_record(record: &[u8]) -> Option<Self> {");
        self.out.line("get(record, 0)");
        self.out.close("}");
    }

    fn bytes(&mut self, def: &Def, name: &str, accessors: &[Accessor]) {
        self.derive(def, true);
        self.repr(def.repr);
        self.out.open(&format!("pub struct {} {{", def.name));
        let doc =
            if accessors.is_empty() { "The bytes, which have no members in BTF." } else { "The bytes of all members." };
        self.out.doc(doc);
        let ty = Ty::Bytes(def.size);
        self.out.field(name, &self.defs.text(&ty));
        self.out.close("}");
        self.out.blank();
        if !accessors.is_empty() {
            self.out.open(&format!("impl {} {{", def.name));
            for (index, accessor) in accessors.iter().enumerate() {
                if index != 0 {
                    self.out.blank();
                }
                self.accessor(def, accessor);
            }
            self.out.close("}");
            self.out.blank();
        }
        if !def.derives_default {
            self.default(def, &[format!("{name}: {}", self.defs.zero(&ty))]);
        }
        let field = Field { name: name.to_owned(), offset: 0, ty, role: Role::Storage };
        self.pod(def, &[field]);
    }

    fn accessor(&mut self, def: &Def, accessor: &Accessor) {
        let ty = self.defs.text(&accessor.ty);
        let what = format!("`{}` (`{}`)", shown(&accessor.c_name), shown(&accessor.c_type));
        let storage = &accessor.storage;
        let (get, put) = match accessor.part {
            Part::At(at) => {
                self.helpers.extend([Helper::Get, Helper::Put]);
                let at = digits(at);
                (
                    (format!("&self.{storage}"), vec![at.clone()], "get"),
                    (format!("&mut self.{storage}"), vec![at], "put"),
                )
            }
            Part::Bits { start, width, signed } => {
                self.helpers.extend([Helper::GetBits, Helper::PutBits]);
                let part = vec![digits(start), digits(width)];
                let with_sign = [part.clone(), vec![signed.to_string()]].concat();
                (
                    (format!("&self.{storage}"), with_sign, "get_bits"),
                    (format!("&mut self.{storage}"), part, "put_bits"),
                )
            }
        };
        let is_total = self.defs.is_total(&accessor.ty) || matches!(accessor.part, Part::Bits { width: 1, .. });
        let of_value = if is_total { "" } else { ", or `None` if one of its bytes is no `bool`" };
        self.out.doc(&format!("Returns {what}{of_value}."));
        self.out.line("#[must_use]");
        // Clippy wants small values to be passed by value.
        let receiver = if def.size <= 8 { "self" } else { "&self" };
        let name = identifier(&accessor.name);
        let inner = [ty.as_str()];
        let returned = if is_total { Returned::Type(&ty, &[]) } else { Returned::Type("Option", &inner) };
        self.out.function(&format!("pub fn {name}"), &[receiver], &returned);
        let (storage, part, function) = get;
        let arguments: Vec<&str> = std::iter::once(storage.as_str()).chain(part.iter().map(String::as_str)).collect();
        if is_total && self.defs.derives_default(&accessor.ty) {
            self.value(function, &arguments, ".unwrap_or_default()");
        } else if is_total {
            self.value(function, &arguments, &format!(".unwrap_or({})", self.defs.zero(&accessor.ty)));
        } else {
            self.out.call(function, &arguments, "");
        }
        self.out.close("}");
        self.out.blank();
        let bits = matches!(accessor.part, Part::Bits { .. });
        let cut = if bits { " Bits that do not fit are cut off, as in C." } else { "" };
        self.out.doc(&format!("Sets {what}.{cut}"));
        self.out.function(
            &format!("pub fn set_{}", accessor.name),
            &["&mut self", &format!("value: {ty}")],
            &Returned::Nothing,
        );
        let (storage, part, function) = put;
        let part = part.iter().map(String::as_str);
        let arguments: Vec<&str> = std::iter::once(storage.as_str()).chain(part).chain(["value"]).collect();
        self.out.call(function, &arguments, ";");
        self.out.close("}");
    }

    /// Writes a call and a method of its result, in two statements, so that there is no chain to break.
    fn value(&mut self, function: &str, arguments: &[&str], method: &str) {
        self.out.call(&format!("let value = {function}"), arguments, ";");
        self.out.line(&format!("value{method}"));
    }

    fn flexible(&mut self, flexible: &Flexible) {
        let (at, element) = (digits(flexible.offset), self.defs.text(&flexible.element));
        let what = format!("`{}` (`{}`)", shown(&flexible.c_name), shown(&flexible.c_type));
        let parameters = ["record: &[u8]"];
        let name = format!("pub fn {}", identifier(&flexible.name));
        if flexible.element == Ty::Number("u8", 1) {
            self.out.doc(&format!("Returns the bytes of a record from {what} on."));
            self.out.line("#[must_use]");
            self.out.function(&name, &parameters, &Returned::Type("&[u8]", &[]));
            self.out.line(&format!("record.get({at}..).unwrap_or_default()"));
        } else {
            self.out.doc(&format!("Returns the complete elements of {what} in a record."));
            self.out.function(
                &name,
                &parameters,
                &Returned::Type(&format!("impl Iterator<Item = {element}> + '_"), &[]),
            );
            let size = digits(self.defs.size(&flexible.element));
            self.out.line(&format!("let elements = record.get({at}..).unwrap_or_default();"));
            self.out.line(&format!("let elements = elements.chunks_exact({size});"));
            self.out.line("elements.filter_map(|element| get(element, 0))");
        }
        self.out.close("}");
    }

    fn default(&mut self, def: &Def, zeroes: &[String]) {
        self.out.open(&format!("impl Default for {} {{", def.name));
        self.out.open("fn default() -> Self {");
        self.out.literal("Self", zeroes, "");
        self.out.close("}");
        self.out.close("}");
        self.out.blank();
    }

    /// Writes `Debug` with the members that have accessors: bit fields by value, other ones as bytes, since only their
    /// user knows which of them is valid.
    fn debug(&mut self, def: &Def, fields: &Fields) {
        self.out.open(&format!("impl ::core::fmt::Debug for {} {{", def.name));
        self.out.open("fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {");
        self.out.line(&format!("let mut fields = f.debug_struct(\"{}\");", def.name));
        for field in &fields.fields {
            let mine = || fields.accessors.iter().filter(|accessor| accessor.storage == field.name);
            let of_bits = |accessor: &&Accessor| matches!(accessor.part, Part::Bits { .. });
            match field.role {
                Role::Padding => {}
                Role::Storage if mine().all(|accessor| of_bits(&accessor)) => {
                    for accessor in mine() {
                        let (name, value) = (&accessor.name, identifier(&accessor.name));
                        self.out.call("fields.field", &[&format!("\"{name}\""), &format!("&self.{value}()")], ";");
                    }
                }
                Role::Storage | Role::Member { .. } => {
                    let value = self.read(def, &field.name);
                    let name = field.name.trim_start_matches("r#");
                    self.out.call("fields.field", &[&format!("\"{name}\""), &format!("&{value}")], ";");
                }
            }
        }
        self.out.line("fields.finish()");
        self.out.close("}");
        self.out.close("}");
        self.out.blank();
    }

    /// Returns an expression to which a reference may be taken.
    fn read(&self, def: &Def, field: &str) -> String {
        match def.repr {
            Repr::Packed(_) => format!("{{ self.{field} }}"),
            _ => format!("self.{field}"),
        }
    }

    fn pod(&mut self, def: &Def, fields: &[Field]) {
        self.out.open(&format!("impl ::cutaway::Pod for {} {{", def.name));
        self.out.line(&format!("const SIZE: usize = {};", digits(def.size)));
        self.out.blank();
        self.out.open("fn write_to(&self, bytes: &mut [u8]) {");
        self.out.open("if bytes.len() != Self::SIZE {");
        self.out.line("return;");
        self.out.close("}");
        self.out.line("bytes.fill(0);");
        let members = || fields.iter().filter(|field| field.role != Role::Padding);
        for field in members() {
            self.helpers.insert(Helper::Put);
            self.out.call("put", &["bytes", &digits(field.offset), &format!("self.{}", field.name)], ";");
        }
        self.out.close("}");
        self.out.blank();
        self.out.open("fn read_from(bytes: &[u8]) -> Option<Self> {");
        self.out.open("if bytes.len() != Self::SIZE {");
        self.out.line("return None;");
        self.out.close("}");
        let values = fields.iter().map(|field| match field.role {
            Role::Padding => format!("{}: {}", field.name, self.defs.zero(&field.ty)),
            _ => format!("{}: get(bytes, {})?", field.name, digits(field.offset)),
        });
        let values: Vec<String> = values.collect();
        if members().next().is_some() {
            self.helpers.insert(Helper::Get);
        }
        self.out.literal("let value = Self", &values, ";");
        self.out.line("Some(value)");
        self.out.close("}");
        self.out.close("}");
        self.out.blank();
    }

    fn enumeration(&mut self, def: &Def, Enum { integer, values }: &Enum) {
        let is_named = !values.is_empty();
        self.derive(def, !is_named);
        self.out.line("#[repr(transparent)]");
        self.out.line(&format!("pub struct {}(pub {integer});", def.name));
        self.out.blank();
        if is_named {
            self.out.open(&format!("impl {} {{", def.name));
            for (c_name, name, value) in values {
                self.out.doc(&format!("`{}`", shown(c_name)));
                self.out.line(&format!("pub const {name}: Self = Self({value});"));
            }
            self.out.blank();
            self.out.doc("Returns the name in C; `None` if no enumerator has this value. If several have the value, returns the first.");
            self.out.line("#[must_use]");
            self.out.open("pub fn name(self) -> Option<&'static str> {");
            let mut known = BTreeSet::new();
            let distinct: Vec<_> = values.iter().filter(|(_, _, value)| known.insert(value)).collect();
            if let [(c_name, name, _)] = &distinct[..] {
                self.out.line(&format!("let is_it = self == Self::{name};"));
                self.out.line(&format!("is_it.then_some({:?})", shown(c_name)));
            } else {
                self.out.open("match self {");
                for (c_name, name, _) in distinct {
                    self.out.arm(&format!("Self::{name}"), &format!("Some({:?})", shown(c_name)));
                }
                self.out.line("_ => None,");
                self.out.close("}");
            }
            self.out.close("}");
            self.out.close("}");
            self.out.blank();
            self.out.open(&format!("impl ::core::fmt::Debug for {} {{", def.name));
            self.out.open("fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {");
            self.out.open("if let Some(name) = self.name() {");
            self.out.line("return f.write_str(name);");
            self.out.close("}");
            self.out.line(&format!("let mut value = f.debug_tuple(\"{}\");", def.name));
            self.out.line("value.field(&self.0).finish()");
            self.out.close("}");
            self.out.close("}");
            self.out.blank();
        }
        self.out.open(&format!("impl ::cutaway::Pod for {} {{", def.name));
        self.out.line(&format!("const SIZE: usize = {};", def.size));
        self.out.blank();
        self.out.open("fn write_to(&self, bytes: &mut [u8]) {");
        self.out.line("::cutaway::Pod::write_to(&self.0, bytes);");
        self.out.close("}");
        self.out.blank();
        self.out.open("fn read_from(bytes: &[u8]) -> Option<Self> {");
        self.out.line("::cutaway::Pod::read_from(bytes).map(Self)");
        self.out.close("}");
        self.out.close("}");
        self.out.blank();
    }

    /// Writes the layout once more, for the compiler to check.
    fn assertions(&mut self, def: &Def) {
        let fields = match &def.shape {
            Shape::Struct(fields) => &fields.fields[..],
            Shape::Bytes { .. } | Shape::Enum(_) => &[],
        };
        let checks = |name: &str| {
            let whole = [("size_of", def.size), ("align_of", def.align)];
            let whole =
                whole.map(|(of, bytes)| format!("assert!(::core::mem::{of}::<{name}>() == {});", digits(bytes)));
            let offset = |field: &Field| {
                let (field, offset) = (&field.name, digits(field.offset));
                format!("assert!(::core::mem::offset_of!({name}, {field}) == {offset});")
            };
            whole.into_iter().chain(fields.iter().map(offset)).collect::<Vec<_>>()
        };
        self.out.open("const _: () = {");
        let mut lines = checks(&def.name);
        if !lines.iter().all(|line| self.out.fits(line)) {
            self.out.line(&format!("type Checked = {};", def.name));
            lines = checks("Checked");
        }
        for line in lines {
            self.out.line(&line);
        }
        self.out.close("};");
    }
}

/// Returns the text on a field.
fn describe(field: &Field) -> String {
    match &field.role {
        Role::Member { c_name, c_type } => format!("`{}`: `{}`", shown(c_name), shown(c_type)),
        Role::Storage => "The bytes that methods access.".to_owned(),
        Role::Padding => "Padding.".to_owned(),
    }
}
