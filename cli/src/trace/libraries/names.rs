//! Finds the library of an event by the cookie of the link for which the program ran.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

/// The paths of the traced libraries by cookie. The thread that attaches and the thread that prints share them.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    paths: Arc<Mutex<BTreeMap<u32, String>>>,
    by_cookie: bool,
}

impl Names {
    /// Creates an empty table. `by_cookie` is true if events have cookies.
    pub(crate) fn new(by_cookie: bool) -> Self {
        Self { paths: Arc::default(), by_cookie }
    }

    pub(crate) fn by_cookie(&self) -> bool {
        self.by_cookie
    }

    pub(crate) fn add(&self, cookie: u32, path: &str) {
        self.paths.lock().unwrap_or_else(PoisonError::into_inner).insert(cookie, path.to_owned());
    }

    /// Returns the library's path, or `None` if it is unknown. Without cookies it is known while there is only one.
    pub(crate) fn get(&self, cookie: u32) -> Option<String> {
        let paths = self.paths.lock().unwrap_or_else(PoisonError::into_inner);
        match paths.len() {
            1 if !self.by_cookie => paths.values().next().cloned(),
            _ => paths.get(&cookie).cloned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn library_is_found_by_cookie_or_if_it_is_the_only_one() {
        let names = Names::new(true);
        names.add(1, "/a");
        names.add(2, "/b");
        assert_eq!((names.get(1).as_deref(), names.get(2).as_deref(), names.get(0)), (Some("/a"), Some("/b"), None));
        let names = Names::new(false);
        names.add(1, "/a");
        assert_eq!(names.get(0).as_deref(), Some("/a"));
        names.add(2, "/b");
        assert_eq!(names.get(0), None);
    }
}
