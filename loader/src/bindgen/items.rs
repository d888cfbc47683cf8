//! The items that a module has methods for: the object's maps, programs and variables.

use super::{
    model::{Ty, digits},
    naming::{Scope, shown},
};

/// The object's maps, programs and variables, with their types in Rust.
#[derive(Debug, Default)]
pub(super) struct Items {
    pub(super) maps: Vec<Item<MapTypes>>,
    pub(super) programs: Vec<Item<()>>,
    pub(super) variables: Vec<Item<VariableType>>,
}

#[derive(Debug)]
pub(super) struct Item<T> {
    /// The name by which the crate finds it.
    pub(super) name: String,
    /// Its description, to follow a verb; it may have more sentences.
    pub(super) doc: String,
    pub(super) detail: T,
}

/// The types of a map's keys and values.
#[derive(Debug)]
pub(super) enum MapTypes {
    Typed {
        key: Option<Ty>,
        value: Ty,
    },
    Untyped,
    /// No elements: attaching registers it.
    StructOps,
}

#[derive(Debug)]
pub(super) struct VariableType {
    /// `None` if Rust has no type for it.
    pub(super) ty: Option<Ty>,
    /// Whether it can be set before loading.
    pub(super) is_settable: bool,
}

/// Names of the types that open, load and attach the object.
#[derive(Debug)]
pub(super) struct Names {
    pub(super) open: String,
    pub(super) loaded: String,
    pub(super) links: String,
}

impl Names {
    /// Makes the names from that of the object in Rust's form, and takes them.
    pub(super) fn new(object: &str, scope: &mut Scope) -> Self {
        let names = |object: &str| {
            let open = ["", "Maps", "Programs", "Globals"].map(|part| format!("Open{object}{part}"));
            let loaded = ["", "Maps", "Programs", "Globals"].map(|part| format!("Loaded{object}{part}"));
            open.into_iter().chain(loaded).chain([format!("{object}Links")]).collect()
        };
        let object = scope.take_all(object.to_owned(), names);
        Self { open: format!("Open{object}"), loaded: format!("Loaded{object}"), links: format!("{object}Links") }
    }
}

/// Returns the documentation of a map.
pub(super) fn describe_map(name: &str, map_type: &str, max_entries: u32, records: &[String]) -> String {
    let mut text = format!("the map `{}` (`{map_type}`, `max_entries` {}).", shown(name), digits(max_entries));
    if let [first, rest @ ..] = records {
        let rest: String = rest.iter().map(|name| format!(", [`{name}`]")).collect();
        text.push_str(&format!(" Its records may be [`{first}`]{rest}."));
    }
    text
}
